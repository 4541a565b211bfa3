"""What counting the atoms of L ensembles shows after local phases and a common pulse.

The state gets local phases exp[-i sum_l phi_l S_l^z] and one pulse, the same for all
ensembles: a turn by `pulse_area` about the axis at `pulse_azimuth` in the x-y plane (0 is
x, the axis of the preparation drive). No pulse (area 0) reads S_l^z itself. Then each ensemble
shows n_l = S + m_l atoms up. Outcomes are ASCENDING, n = 0 … 2S, on every axis. Chu et
al., "Reconfigurable dissipative entanglement", Sec. IV B.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import finite, whole
from .many_ensembles import ManyEnsembleState
from .spins import magnetic_numbers, wigner_d
from .table_draws import cells_of

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

_DROPPED_WEIGHT = 1e-18
_CHUNK = 2_000_000  # amplitudes worked on at one time by the sampler


def readout_distribution(
    state: ManyEnsembleState,
    phases: ArrayLike = 0.0,
    pulse_area: float = math.pi / 2.0,
    pulse_azimuth: float = 0.0,
    random_common_phase: bool = False,
) -> Array:
    """Probabilities P[n_1, …, n_L] of the counted atoms, ascending on each axis.

    Args:
        state: the steady state.
        phases: phi_l in radians, one number for each ensemble or one for all.
        pulse_area: turn of the common pulse in radians.
        pulse_azimuth: direction of its axis in radians; the same as a common phase of the
            opposite sign.
        random_common_phase: average over a common phase that is uniform in every shot.

    The average costs one rotation of the tensor for each m_1 + … + m_L that occurs.
    """
    count = state.parameters.ensembles
    kernels = _kernels(state, _phases(phases, count), pulse_area, pulse_azimuth)
    if not random_common_phase:
        return _turned_populations(state.amplitudes, kernels)
    down = sum(np.ogrid[tuple(slice(0, size) for size in state.amplitudes.shape)])
    populations = state.populations
    weights = np.bincount(np.asarray(down).ravel(), weights=populations.ravel())
    probability: Array = np.zeros_like(populations)
    for value in np.flatnonzero(weights > _DROPPED_WEIGHT):
        probability += _turned_populations(np.where(down == value, state.amplitudes, 0.0), kernels)
    return probability


def sample_outcomes(probability: Array, shots: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw (shots, L) counts n_l from a table P[n_1, …, n_L]."""
    flat = np.cumsum(np.clip(probability, 0.0, None).ravel())
    draws = rng.random(whole(shots, "shots")) * flat[-1]
    return np.stack(np.unravel_index(cells_of(flat, draws), probability.shape), axis=-1).astype(
        np.int64
    )


def sample_readout(
    state: ManyEnsembleState,
    phases: ArrayLike,
    shots: int,
    rng: np.random.Generator,
    pulse_area: float = math.pi / 2.0,
    pulse_azimuth: float = 0.0,
) -> NDArray[np.int64]:
    """Draw (shots, L) counts n_l with phases of their own in every shot, exactly.

    Args:
        state: the steady state.
        phases: (shots, L) radians, or anything that broadcasts to it; here go the common
            phase of each shot and a fluctuating gradient.
        shots: number of shots.
        rng: source of randomness; takes shots x L uniform numbers.
        pulse_area: turn of the common pulse in radians.
        pulse_azimuth: direction of its axis in radians.

    Ensembles are drawn one after the other, each from its distribution given the earlier
    counts: about 2 (2S+1)^L multiply-adds a shot.
    """
    count = state.parameters.ensembles
    total = whole(shots, "shots")
    angles = np.broadcast_to(np.asarray(phases, dtype=np.float64), (total, count))
    if not np.isfinite(angles).all():
        raise ValueError("Argument `phases` must be finite, but holds nan or infinity.")
    kernel = _kernels(state, np.zeros(1), pulse_area, pulse_azimuth)[0]
    uniform = rng.random((total, count))
    outcomes = np.empty((total, count), dtype=np.int64)
    chunk = max(1, _CHUNK // max(1, state.amplitudes.size // state.parameters.dimension))
    for start in range(0, total, chunk):
        rows = slice(start, start + chunk)
        outcomes[rows] = _sample_chunk(state.amplitudes, kernel, angles[rows], uniform[rows])
    return outcomes


def _sample_chunk(
    psi: ComplexArray, kernel: ComplexArray, angles: Array, uniform: Array
) -> NDArray[np.int64]:
    """Counts of some shots, ensemble after ensemble."""
    shots, count = angles.shape
    dimension = kernel.shape[0]
    m = magnetic_numbers(0.5 * (dimension - 1))
    every = np.arange(shots)
    outcomes = np.empty((shots, count), dtype=np.int64)
    conditional = psi.reshape(1, dimension, -1)
    for axis in range(count):
        density = conditional @ conditional.conj().swapaxes(1, 2)
        turned = kernel[None] * np.exp(-1j * angles[:, axis, None] * m)[:, None, :]
        likely = np.einsum("sni,sij,snj->sn", turned, density, turned.conj(), optimize=True).real
        cumulative = np.cumsum(np.clip(likely, 0.0, None), axis=1)
        threshold = uniform[:, axis] * cumulative[:, -1]
        counted = np.minimum((cumulative <= threshold[:, None]).sum(axis=1), dimension - 1)
        outcomes[:, axis] = counted
        if axis < count - 1:
            rows = turned[every, counted][:, None, :]
            conditional = (rows @ conditional).reshape(shots, dimension, -1)
            conditional /= np.sqrt(likely[every, counted])[:, None, None]
    return outcomes


def _kernels(
    state: ManyEnsembleState, phases: Array, pulse_area: float, pulse_azimuth: float
) -> list[ComplexArray]:
    """<n| pulse . phase |m> for each ensemble up to phases of n; rows n ascending, m descending."""
    spin = state.parameters.spin
    m = magnetic_numbers(spin)
    turn = wigner_d(spin, finite(pulse_area, "pulse_area"))[::-1]
    offset = 0.5 * math.pi - finite(pulse_azimuth, "pulse_azimuth")
    return [turn * np.exp(-1j * (phase + offset) * m) for phase in phases]


def _turned_populations(psi: ComplexArray, kernels: list[ComplexArray]) -> Array:
    for axis, kernel in enumerate(kernels):
        psi = np.moveaxis(np.tensordot(kernel, psi, (1, axis)), 0, axis)
    populations: Array = np.abs(psi) ** 2
    return np.ascontiguousarray(populations)


def _phases(phases: ArrayLike, count: int) -> Array:
    values = np.asarray(phases, dtype=np.float64)
    if values.shape not in ((), (count,)) or not np.isfinite(values).all():
        raise ValueError(
            f"Argument `phases` must hold one finite number or {count}, but is {phases!r}."
        )
    return np.broadcast_to(values, (count,))
