"""Peer of `ichnos bench prepare`: MONAI's loader on each file, and its array written as NumPy's."""

import json
import shutil
import sys
import time
from pathlib import Path

import monai
import numpy as np
from monai.data import PydicomReader
from monai.transforms import LoadImage


def main() -> None:
    work = json.loads(Path(sys.argv[1]).read_bytes())
    files = sorted(Path(work["cohort"], "stage_2_train").iterdir())
    load = LoadImage(reader=PydicomReader(), image_only=True)
    out = Path(work["out"], "monai")
    about = {"title": "MONAI's LoadImage, arrays by np.save", "versions": {"monai": monai.__version__}, "threads": 1}
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        begun = time.perf_counter()
        for path in files:
            np.save(out / path.stem, np.asarray(load(path)).astype(np.int16))
        print(json.dumps({"seconds": time.perf_counter() - begun}), flush=True)


if __name__ == "__main__":
    main()
