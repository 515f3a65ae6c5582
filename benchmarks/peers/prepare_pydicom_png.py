"""Peer of `ichnos bench prepare`: the loop of published Kaggle solutions, pydicom to three windows to a PNG by OpenCV.

As large as the scanner's picture; prepare_pydicom_png_224.py makes it as small as a network's.

Its pixels are rounded to 8 bits in fixed windows, where ours keep Hounsfield units.
"""

import json
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pydicom

WINDOWS = ((40, 80), (80, 200), (600, 2800))


def convert(out: Path, size: int | None, path: Path) -> None:
    dataset = pydicom.dcmread(path, force=True)
    hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    planes = [np.clip((hu - centre + width / 2) / width, 0, 1) for centre, width in WINDOWS]
    picture = (np.stack(planes, axis=2) * 255).astype(np.uint8)
    if size is not None:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(out / f"{path.stem}.png"), picture)


def main(title: str, *, pooled: bool = False, small: bool = False) -> None:
    work = json.loads(Path(sys.argv[1]).read_bytes())
    files = sorted(Path(work["cohort"], "stage_2_train").iterdir())
    out = Path(work["out"], f"png{'-pooled' * pooled}{'-small' * small}")
    size = work["size"] if small else None
    versions = {"pydicom": pydicom.__version__, "opencv": cv2.__version__}
    pool = ProcessPoolExecutor(work["cores"], mp_context=get_context("spawn")) if pooled else None
    if pool:
        list(pool.map(abs, range(work["cores"])))
    print(json.dumps({"title": title, "versions": versions, "threads": work["cores"] if pool else 1}), flush=True)
    for _ in sys.stdin:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        begun = time.perf_counter()
        if pool:
            list(pool.map(partial(convert, out, size), files, chunksize=32))
        else:
            for path in files:
                convert(out, size, path)
        print(json.dumps({"seconds": time.perf_counter() - begun}), flush=True)


if __name__ == "__main__":
    main("pydicom, windows and PNG in a loop")
