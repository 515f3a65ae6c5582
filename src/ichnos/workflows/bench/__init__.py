"""Benchmarks: ours timed against peers and against what the machine can do at best, in one run. No test is timed."""
