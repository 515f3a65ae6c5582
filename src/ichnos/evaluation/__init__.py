"""How good predictions are: metrics, intervals by patient, comparison of models, curves."""
