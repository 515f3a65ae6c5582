"""The reader from random weights, to show what the phantom's weights are worth.

Source: ours.

Differs from `reader`:
- No synthetic lesions; batches of 32.
- Random first weights; Adam 1e-3, 18 epochs instead of 6.
- The best epoch by validation loss, which on the first fold's validation patients gave any hemorrhage the higher AUC.
- BatchNorm's statistics are measured afresh before every evaluation, as in `from_scratch`.

Expected: results/reader-from-scratch-ct-ich.json has what it gave over five folds of ct-ich.
Cost: as `reader`, three times as long.
Command: ichnos train reader_from_scratch --data SET --out RUN
"""

from ichnos.recipes.reader import RECIPE as READER

RECIPE = READER.derive(
    name="reader_from_scratch",
    title="Reader from scratch",
    **{
        "network.init": "random",
        "synthetic": None,
        "fit.batch_size": 32,
        "fit.learning_rate": 1e-3,
        "fit.epochs": 18,
        "fit.best": "loss",
        "fit.reestimate_batchnorm": True,
    },
)
