"""The training loop and its parts: sampling, augmentation, loss, journal."""

from ichnos.training.devices import Execution
from ichnos.training.loop import TrainingSummary, train
from ichnos.training.prediction import predict
from ichnos.training.slices import TrainingSlices

__all__ = ["Execution", "TrainingSlices", "TrainingSummary", "predict", "train"]
