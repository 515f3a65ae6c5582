"""ichnos.inputs.resize by SciPy's sparse product: the same sums in the same order, in a third of the time."""

from functools import lru_cache

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from ichnos.inputs import resize_matrix


def resize(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """As ichnos.inputs.resize, which the reader has without SciPy; (rows, columns) → (size, size), float32.

    Not one bit apart where the compiler of SciPy kept products and sums apart, as on x86-64; within rounding elsewhere.
    """
    return _shrink(np.ascontiguousarray(_shrink(image, size).T), size).T


def _shrink(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    return image if image.shape[0] == size else _sparse(image.shape[0], size) @ image


@lru_cache(maxsize=32)
def _sparse(n_in: int, n_out: int) -> scipy.sparse.csr_array:
    """The filter as a matrix that holds its few taps alone: it multiplies by nothing else."""
    return scipy.sparse.csr_array(resize_matrix(n_in, n_out))
