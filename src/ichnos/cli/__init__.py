"""The command line: parsing, progress and printing, no science."""

import gc

# Imports make hundreds of thousands of objects that all stay: looking through them time and again, as Python does from
# every 700th on, takes a tenth of the start.
gc.set_threshold(100_000)
