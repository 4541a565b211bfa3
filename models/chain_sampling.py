"""Single shots of a chain, and the string correlator that they give.

A shot counts the atoms that are up in every ensemble, n_l = S + m_l. Chu et al.,
"Reconfigurable dissipative entanglement", Eq. 36.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import dimension_of, finite, whole
from .chain import Chain, cell_tensor, cells_between, left_boundary
from .chain_order import check_cells
from .spins import wigner_d

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

_CHUNK = 4_000_000  # amplitudes worked on at one time


def sample_chain(
    chain: Chain, ensembles: int, shots: int, rng: np.random.Generator, tilt: float = 0.0
) -> NDArray[np.int64]:
    """Draw (shots, L) counts n_l = 0 … 2S of the chain's steady state, exactly.

    Args:
        chain: its parameters, at any drive; 2S+1 up to 32.
        ensembles: L, even.
        shots: number of shots.
        rng: source of randomness; takes shots x L/2+1 uniform numbers.
        tilt: turn of all spins about y before counting; 0 reads S^z and pi/2 reads -S^x.

    Cells are drawn from left to right, about (2S+1)^4 multiply-adds for each shot and cell.
    """
    cells = cells_between(ensembles)
    turn = wigner_d(chain.spin, finite(tilt, "tilt"))[::-1]  # rows: counts, ascending
    boundary = turn @ left_boundary(chain)
    tensor = np.zeros((chain.dimension,) * 4, dtype=np.complex128)
    if cells:
        parts = (turn, turn, cell_tensor(chain))
        tensor = np.einsum("xa,yb,abuv->uxyv", *parts, optimize=True)
    uniform = rng.random((whole(shots, "shots"), cells + 2))
    outcomes = np.empty((len(uniform), ensembles), dtype=np.int64)
    chunk = max(1, _CHUNK // chain.dimension**3)
    for start in range(0, len(uniform), chunk):
        rows = slice(start, start + chunk)
        outcomes[rows] = _sample_chunk(boundary, tensor, turn, uniform[rows])
    return outcomes


def string_correlator(
    outcomes: ArrayLike, spin: float, first: int, last: int, angle: float = math.pi
) -> Array:
    """One value for each shot; its mean is the string correlator of two cells.

    Args:
        outcomes: (shots, L) counts n_l of atoms up.
        spin: S of each ensemble.
        first: cell k, from 1; it holds the ensembles 2k and 2k+1.
        last: cell l above k.
        angle: phi of the string, radians.

    Returns:
        Z_k cos[phi (Z_k + … + Z_{l-1})] Z_l with Z_q = m_2q + m_2q+1, the real part of
        Chu Eq. 36 shot by shot.

    Raises:
        ValueError: on outcomes that are not (shots, L) with L even, or on wrong cells.
    """
    atoms = dimension_of(spin) - 1
    counts = np.asarray(outcomes, dtype=np.float64)
    if counts.ndim != 2:
        raise ValueError(
            f"Argument `outcomes` must have shape (shots, L), but has shape {counts.shape!r}."
        )
    check_cells(counts.shape[1], first, last)
    cells = counts[:, 1:-1:2] + counts[:, 2:-1:2] - atoms
    turned = np.cos(finite(angle, "angle") * cells[:, first - 1 : last - 1].sum(axis=1))
    values: Array = cells[:, first - 1] * turned * cells[:, last - 1]
    return values


def _sample_chunk(
    boundary: ComplexArray, tensor: ComplexArray, turn: Array, uniform: Array
) -> NDArray[np.int64]:
    """Counts of some shots: first ensemble, cells, last ensemble."""
    shots, steps = uniform.shape
    dimension = turn.shape[0]
    outcomes = np.empty((shots, 2 * steps - 2), dtype=np.int64)
    every_shot = (shots, dimension, dimension)
    counted, bond = _draw(np.broadcast_to(boundary, every_shot), uniform[:, 0])
    outcomes[:, 0] = counted
    matrix = tensor.reshape(dimension, -1)
    for cell in range(1, steps - 1):
        options = (bond @ matrix).reshape(shots, dimension * dimension, dimension)
        counted, bond = _draw(options, uniform[:, cell])
        outcomes[:, 2 * cell - 1] = counted // dimension
        outcomes[:, 2 * cell] = counted % dimension
    counted, _ = _draw((bond @ turn.T)[:, :, None], uniform[:, -1])
    outcomes[:, -1] = counted
    return outcomes


def _draw(options: ComplexArray, uniform: Array) -> tuple[NDArray[np.int64], ComplexArray]:
    """Choose one of the middle index with the weight of its vector; return it normalised."""
    weights = (np.abs(options) ** 2).sum(axis=2)
    cumulative = np.cumsum(weights, axis=1)
    threshold = uniform * cumulative[:, -1]
    chosen = np.minimum((cumulative <= threshold[:, None]).sum(axis=1), weights.shape[1] - 1)
    every = np.arange(chosen.size)
    vectors = options[every, chosen] / np.sqrt(weights[every, chosen])[:, None]
    return chosen.astype(np.int64), vectors
