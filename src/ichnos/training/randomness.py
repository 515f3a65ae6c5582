"""Where all randomness of training comes from: generators that are functions of (seed, purpose, place), no more."""

import numpy as np
import torch

_ORDER, _STEP, _EXAMS = 0, 1, 2
"""What a generator is for; keeps the streams apart."""


def order_generator(seed: int, pool: int, round_: int) -> np.random.Generator:
    """The generator that shuffles one pool of slices for the `round_`-th time."""
    return np.random.default_rng([seed, _ORDER, pool, round_])


def exams_generator(seed: int, epoch: int, step: int) -> np.random.Generator:
    """The generator that reverses and thins the exams of one step."""
    return np.random.default_rng([seed, _EXAMS, epoch, step])


def seed_step(seed: int, epoch: int, step: int, rank: int = 0) -> None:
    """Seed torch's global generators for one step: kornia, dropout and drop-connect draw from them, from nowhere else.

    kornia ignores a generator that it is given, so this is the one way to make a resumed run exact. rank: of several
    processes that share the step, each draws for its own images.
    """
    place = [seed, _STEP, epoch, step] + ([rank] if rank else [])
    state = np.random.SeedSequence(place).generate_state(2, np.uint32)
    torch.manual_seed((int(state[0]) << 32) | int(state[1]))
