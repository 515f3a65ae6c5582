"""Peer of `ichnos bench prepare`: prepare_pydicom_png.py with pictures of a network's size, ready to be learnt from."""

from prepare_pydicom_png import main

if __name__ == "__main__":
    main("pydicom, windows, resize and PNG in a loop", small=True)
