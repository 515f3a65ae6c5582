"""A convolutional LSTM over the reader's class maps: where in the slice, and how that goes on in the next.

Source: ours, after Shi 2015 (convolutional LSTM) and Rajagopal 2023, which has one over a CNN.

Differs from `bigru`: the head looks at each class's map of where the slice network looked (Grad-CAM) besides features
and logits, eight planes in each direction. Over so few cells a convolution is a small matrix, and the bundle's graph
holds it as one: ONNX has no convolutional LSTM.

Expected: not measured yet.
Cost: as `bigru`; the head has 16,000 parameters.
Command: ichnos train conv_lstm --data SET --out RUN
"""

from ichnos.recipe import SequenceHead
from ichnos.recipes.bigru import RECIPE as BIGRU

RECIPE = BIGRU.derive(
    name="conv_lstm",
    title="Convolutional LSTM over the reader's class maps",
    head=SequenceHead(kind="conv-lstm", hidden=8),
)
