"""Networks in torch: the input layer, backbones, heads, first weights and checkpoints."""

from ichnos.models.checkpoint import load_checkpoint, load_classifier, save_checkpoint
from ichnos.models.classifier import SliceClassifier

__all__ = ["SliceClassifier", "load_checkpoint", "load_classifier", "save_checkpoint"]
