"""Peer of `ichnos bench evaluate`: scikit-learn's metrics on every resample's slices, as notebooks do it.

Slices alone, and two resamples, from which the time of all is reckoned.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import sklearn
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, log_loss, roc_auc_score

TIMED = 2


def main() -> None:
    work = json.loads(Path(sys.argv[1]).read_bytes())
    frame = pl.read_parquet(work["predictions"])
    classes = [name.removeprefix("p_") for name in frame.columns if name.startswith("p_")]
    said = frame.select([f"p_{c}" for c in classes]).to_numpy()
    labels = frame.select([f"y_{c}" for c in classes]).to_numpy()
    patients, rows = np.unique(frame["patient"].to_numpy(), return_inverse=True)
    of_patient = np.split(np.argsort(rows, kind="stable"), np.cumsum(np.bincount(rows))[:-1])
    rng = np.random.default_rng(0)

    def measure(chosen: np.ndarray) -> None:
        for k in range(len(classes)):
            p, y = said[chosen, k], labels[chosen, k]
            roc_auc_score(y, p)
            average_precision_score(y, p)
            confusion_matrix(y, p >= 0.5, labels=[False, True])
            log_loss(y, p, labels=[False, True])
            brier_score_loss(y, p)

    about = {"title": "scikit-learn on each resample, slices alone", "versions": {"scikit-learn": sklearn.__version__}}
    print(json.dumps(about | {"threads": 1, "reckoned_from": TIMED}), flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        for _ in range(TIMED):
            drawn = rng.integers(0, len(patients), len(patients))
            measure(np.concatenate([of_patient[each] for each in drawn]))
        seconds = (time.perf_counter() - begun) / TIMED * work["resamples"]
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
