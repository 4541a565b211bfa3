"""The collective spin on its way to the squeezed steady state, and its Husimi function.

Density matrices have rows and columns m = j, j-1, …, -j (descending). Equation numbers:
Bai & An, "Generating stable spin squeezing by squeezed-reservoir engineering".
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import gammaln

from ._checks import finite, positive
from .squeezed_reservoir import SqueezedReservoir, SqueezedState
from .squeezed_reservoir_exact import amplitude_matrix
from .squeezed_reservoir_generator import HermitianCoordinates, evolve, steady_coordinates
from .squeezed_reservoir_lossy import collective_generator, moments_of

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

_MOST_LEVELS = 400
_MOST_MATRIX_ATOMS = 2000
_LOG_TAIL = 14.0 * math.log(10.0)
_LEAK = 1e-9


def squeezed_evolution(
    parameters: SqueezedReservoir,
    times: Sequence[float],
    start: float | None = None,
    tolerance: float = 1e-10,
) -> list[SqueezedState]:
    """Moments at several times after starting in |j, start> (Bai & An Eq. 7, Figs. 1b-c).

    Args:
        parameters: the spin and its reservoir, with or without loss.
        times: ascending, not negative, in the inverse unit of the rates.
        start: m of the first state, by default -j (all atoms down).
        tolerance: of the state, in the Hilbert-Schmidt norm.

    Raises:
        ValueError: for bad times or `start`, or where more than 400 states are needed: from
            -j the number grows like e^(2r), from elsewhere it is N+1.
    """
    _, states = _propagate(parameters, times, start, tolerance)
    turn = cmath.exp(1j * parameters.phase)
    found = []
    for rho in states:
        diagonal = rho.diagonal().real
        sz, planar, pair = moments_of(parameters.atoms, diagonal, rho.diagonal(-2))
        v_min = 0.5 * (planar - abs(pair))
        found.append(SqueezedState(parameters.atoms, sz, planar, pair * turn, v_min))
    return found


def evolved_density_matrices(
    parameters: SqueezedReservoir,
    times: Sequence[float],
    start: float | None = None,
    tolerance: float = 1e-10,
) -> ComplexArray:
    """Density matrices (times, N+1, N+1) at the times of `squeezed_evolution` (Fig. 2)."""
    atoms = _few_enough(parameters)
    _, states = _propagate(parameters, times, start, tolerance)
    stack = np.zeros((len(states), atoms + 1, atoms + 1), dtype=np.complex128)
    for index, rho in enumerate(states):
        stack[index] = _descending(rho, parameters)
    return stack


def steady_density_matrix(parameters: SqueezedReservoir) -> ComplexArray:
    """Density matrix (N+1, N+1) of the steady state (Bai & An Eq. 8), N up to 2000.

    Raises:
        ValueError: above that, or with loss and more than 399 atoms.
    """
    atoms = _few_enough(parameters)
    if parameters.transmission == 1.0:
        amplitudes = amplitude_matrix(atoms, parameters.squeezing, parameters.relative_detuning)
        return _descending(amplitudes @ amplitudes.conj().T, parameters)
    coordinates, generator = _generator(parameters, _size_below_limit(parameters, atoms + 1))
    rho = coordinates.matrix(steady_coordinates(generator, 0))
    return _descending(rho / np.trace(rho).real, parameters)


def husimi(density: ComplexArray, theta: Array | float, phi: Array | float) -> Array:
    """Q = (N+1)/(4 pi) <theta, phi|rho|theta, phi>, normalised over the sphere (Fig. 2).

    Args:
        density: (N+1, N+1), rows and columns m descending.
        theta: polar angles, 0 at m = +j, any shape.
        phi: azimuths, of a shape that broadcasts with `theta`.

    The coherent state is sum_k sqrt(C(N,k)) cos^(N-k)(theta/2) sin^k(theta/2) e^(i k phi)
    |j, j-k>, which equals the printed definition.
    """
    matrix = np.asarray(density, dtype=np.complex128)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 2:
        raise ValueError(f"Argument `density` must be a square matrix, but is {matrix.shape}.")
    polar, azimuth = np.broadcast_arrays(
        np.asarray(theta, dtype=np.float64), np.asarray(phi, dtype=np.float64)
    )
    atoms = matrix.shape[0] - 1
    k = np.arange(atoms + 1, dtype=np.float64)
    log_binomial = gammaln(atoms + 1.0) - gammaln(k + 1.0) - gammaln(atoms - k + 1.0)
    half = 0.5 * polar.ravel()[:, None]
    cosine, sine = np.cos(half), np.sin(half)
    with np.errstate(divide="ignore", invalid="ignore"):
        # 0 log 0 = 0: a power of zero is 1 when its exponent is
        logs = np.where(k < atoms, (atoms - k) * np.log(np.abs(cosine)), 0.0)
        logs = logs + np.where(k > 0.0, k * np.log(np.abs(sine)), 0.0)
    signs = np.sign(np.where(cosine == 0.0, 1.0, cosine)) ** (atoms - k)
    signs = signs * np.sign(np.where(sine == 0.0, 1.0, sine)) ** k
    states = signs * np.exp(0.5 * log_binomial + logs + 1j * k * azimuth.ravel()[:, None])
    overlaps = np.einsum("pa,ab,pb->p", states.conj(), matrix, states, optimize=True)
    values: Array = (atoms + 1.0) / (4.0 * math.pi) * overlaps.real
    return values.reshape(polar.shape)


def _propagate(
    parameters: SqueezedReservoir,
    times: Sequence[float],
    start: float | None,
    tolerance: float,
) -> tuple[int, list[ComplexArray]]:
    """States on l = m + j = 0 … size-1 (ascending, alpha = 0) at each time."""
    instants = parameters.collective_decay * ascending(times)
    positive(tolerance, "tolerance")
    level = _start_level(parameters.atoms, start)
    size = _expected_levels(parameters) if level == 0 else parameters.atoms + 1
    while True:
        size = _size_below_limit(parameters, min(size, parameters.atoms + 1))
        coordinates, generator = _generator(parameters, size)
        first = np.zeros((size, size), dtype=np.complex128)
        first[level, level] = 1.0
        found = evolve(generator, coordinates.of(first), instants, tolerance)
        states = [coordinates.matrix(row) for row in found]
        edge = max((float(rho.diagonal()[-2:].real.sum()) for rho in states), default=0.0)
        if size == parameters.atoms + 1 or edge < _LEAK / parameters.atoms:
            return size, states
        size *= 2


def ascending(times: Sequence[float]) -> Array:
    """Return times as an array; raise ValueError unless finite, not negative and ascending."""
    instants = np.asarray(times, dtype=np.float64)
    if instants.ndim != 1 or not np.isfinite(instants).all():
        raise ValueError(f"Argument `times` must be a list of finite numbers, but is {times!r}.")
    if instants.size and (instants[0] < 0.0 or (np.diff(instants) < 0.0).any()):
        raise ValueError(f"Argument `times` must ascend from 0 or later, but is {times!r}.")
    return instants


def _start_level(atoms: int, start: float | None) -> int:
    """l = m + j of the first state."""
    if start is None:
        return 0
    level = finite(start, "start") + 0.5 * atoms
    if level != round(level) or not 0 <= level <= atoms:
        raise ValueError(
            f"Argument `start` must be one of -{atoms / 2:g} … {atoms / 2:g} in steps of 1, "
            f"but is {start!r}."
        )
    return round(level)


def _expected_levels(parameters: SqueezedReservoir) -> int:
    """Levels that the state can reach from below, from the tail of a squeezed thermal state."""
    if parameters.squeezing == 0.0:
        return min(3, parameters.atoms + 1)
    widest = 1.0 + 2.0 * parameters.occupation + 2.0 * abs(parameters.correlation)
    tail = math.log1p(2.0 / (widest - 1.0))  # the populations fall by e^-tail a level
    return min(parameters.atoms + 1, math.ceil((_LOG_TAIL + math.log(parameters.atoms)) / tail) + 4)


def _generator(
    parameters: SqueezedReservoir, size: int
) -> tuple[HermitianCoordinates, sparse.csc_array]:
    """Coordinates and generator of Bai & An Eq. 7 in units of A, alpha = 0."""
    return collective_generator(
        parameters.atoms,
        size,
        parameters.occupation,
        abs(parameters.correlation),
        parameters.relative_detuning,
    )


def _size_below_limit(parameters: SqueezedReservoir, size: int) -> int:
    """Return the basis size; raise ValueError where the generator would be too large."""
    if size > _MOST_LEVELS:
        raise ValueError(
            f"Argument `parameters` needs {size} levels at atoms = {parameters.atoms}, "
            f"squeezing = {parameters.squeezing!r}, but at most {_MOST_LEVELS} can be kept; "
            "for steady moments use squeezed_steady_state."
        )
    return size


def _few_enough(parameters: SqueezedReservoir) -> int:
    """Return N; raise ValueError where a density matrix would be too large."""
    if parameters.atoms > _MOST_MATRIX_ATOMS:
        raise ValueError(
            f"Argument `parameters` must have at most {_MOST_MATRIX_ATOMS} atoms for a density "
            f"matrix, but has {parameters.atoms}."
        )
    return parameters.atoms


def _descending(rho: ComplexArray, parameters: SqueezedReservoir) -> ComplexArray:
    """The whole density matrix, m descending, with the phase alpha turned in."""
    full = np.zeros((parameters.atoms + 1, parameters.atoms + 1), dtype=np.complex128)
    turn = np.exp(0.5j * parameters.phase * np.arange(rho.shape[0]))
    full[: rho.shape[0], : rho.shape[0]] = rho * turn[:, None] * turn.conj()
    return full[::-1, ::-1].copy()
