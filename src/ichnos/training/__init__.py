"""The training loop and its parts: sampling, augmentation, loss, journal."""
