"""Peer of `ichnos bench prepare`: the loop of prepare_pydicom_png.py, its files shared out among processes."""

from prepare_pydicom_png import main

if __name__ == "__main__":
    main("the same, a process a core", pooled=True)
