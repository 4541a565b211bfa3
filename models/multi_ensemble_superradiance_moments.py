"""Mean field with linearised covariance: ramps of the drive, local decay and dephasing.

State: mean spins s (M, 3) and the symmetrised covariance of all 3M components, O(M^2) numbers,
with an error O(1/N). The local part is exact. Mean field: Shen et al., "Multi-ensemble
superradiance for distributed quantum sensing", Eq. 2; the covariance and the local processes
are not in the paper. Where couplings differ a slow ramp does not end in the state that a pulse
followed by a hold gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from ._checks import finite, not_negative
from .multi_ensemble_superradiance import CoupledEnsembles, real_vector, time_grid
from .multi_ensemble_superradiance_sensing import squeezing_matrix_from_moments

Array = NDArray[np.float64]

_MOST_ENSEMBLES = 64


@dataclass(frozen=True, slots=True)
class DriveProfile:
    """A drive that is linear between given points and constant outside them.

    Args:
        times: strictly ascending.
        drives: Omega at these times.

    Raises:
        ValueError: when the lengths differ or the times do not rise.
    """

    times: tuple[float, ...]
    drives: tuple[float, ...]

    def __post_init__(self) -> None:
        times = real_vector(self.times, "times")
        drives = real_vector(self.drives, "drives", times.size)
        if np.any(np.diff(times) <= 0.0):
            raise ValueError(f"Argument `times` must be strictly ascending, but is {self.times!r}.")
        object.__setattr__(self, "times", tuple(times.tolist()))
        object.__setattr__(self, "drives", tuple(drives.tolist()))

    @classmethod
    def constant(cls, drive: float) -> DriveProfile:
        """One drive throughout."""
        return cls((0.0,), (finite(drive, "drive"),))

    @classmethod
    def ramp(cls, drive: float, duration: float) -> DriveProfile:
        """From zero at time 0 up to `drive` at `duration`, then held."""
        return cls((0.0, duration), (0.0, finite(drive, "drive")))

    def at(self, time: float) -> float:
        """Omega at a time."""
        return float(np.interp(time, self.times, self.drives))


@dataclass(frozen=True, slots=True)
class SpinMoments:
    """First and second moments along a trajectory, spins in units of hbar.

    Attributes:
        times: (T,).
        mean_spins: (T, M, 3), laboratory x, y, z.
        covariance: (T, 3M, 3M), symmetrised, ordered ensemble by ensemble.
        squeezing_matrix: (T, M, M) from Cov(S_x,k, S_x,l) and the mean spins' lengths.
        smallest_eigenvalue: (T,) of the squeezing matrix.
    """

    times: Array = field(repr=False)
    mean_spins: Array = field(repr=False)
    covariance: Array = field(repr=False)
    squeezing_matrix: Array = field(repr=False)
    smallest_eigenvalue: Array = field(repr=False)


def evolve_moments(
    ensembles: CoupledEnsembles,
    start: float,
    drive: DriveProfile | float,
    times: ArrayLike,
    local_decay: float = 0.0,
    local_dephasing: float = 0.0,
) -> SpinMoments:
    """Follow the moments from the product state |start> (Shen Eqs. 2, 8).

    Args:
        ensembles: the ensembles, at most 64.
        start: angle theta of the initial product state, radians (0: the ground state).
        drive: Omega, constant or as a profile in time.
        times: ascending times from 0 or later, in the inverse unit of the rates.
        local_decay: gamma, decay rate of each single atom, D[sigma_-].
        local_dephasing: gamma_phi, decay rate of each single atom's coherence.

    Raises:
        ValueError: on a negative rate, times that do not rise, or too many ensembles.
    """
    size = ensembles.p.size
    if size > _MOST_ENSEMBLES:
        raise ValueError(
            f"Argument `ensembles` must have at most {_MOST_ENSEMBLES} members here (the "
            f"covariance has (3M)^2 entries), but has {size}."
        )
    grid = time_grid(times)
    profile = drive if isinstance(drive, DriveProfile) else DriveProfile.constant(drive)
    flow = _Flow(
        ensembles,
        not_negative(local_decay, "local_decay"),
        not_negative(local_dephasing, "local_dephasing"),
    )
    states = _integrate(flow, flow.product_state(finite(start, "start")), profile, grid)
    spins = states[:, : 3 * size].reshape(-1, size, 3)
    covariance = states[:, 3 * size :].reshape(-1, 3 * size, 3 * size)
    lengths = np.linalg.norm(spins, axis=2)
    numbers = ensembles.atom_numbers
    matrices = np.array(
        [
            squeezing_matrix_from_moments(numbers, c[::3, ::3], r)
            for c, r in zip(covariance, lengths, strict=True)
        ]
    )
    least = np.linalg.eigvalsh(matrices)[:, 0].astype(np.float64)
    return SpinMoments(grid, spins, covariance, matrices, least)


class _Flow:
    """Right-hand side of the moment equations, with everything constant built once."""

    def __init__(self, ensembles: CoupledEnsembles, decay: float, dephasing: float) -> None:
        self.numbers = ensembles.atom_numbers
        self.eta = ensembles.eta
        self.gamma = ensembles.collective_decay
        self.size = self.eta.size
        transverse = 0.5 * decay + dephasing
        self.local = -np.array([transverse, transverse, decay])
        self.pull = np.array([0.0, 0.0, -0.5 * decay])
        self.h_x = np.kron(self.eta, [1.0, 0.0, 0.0])
        self.h_y = np.kron(self.eta, [0.0, 1.0, 0.0])

    def product_state(self, theta: float) -> Array:
        angles = self.eta * theta
        axes = np.stack([np.zeros(self.size), np.sin(angles), -np.cos(angles)], axis=1)
        covariance = np.zeros((3 * self.size, 3 * self.size))
        for k, axis in enumerate(axes):
            block = 0.25 * self.numbers[k] * (np.eye(3) - np.outer(axis, axis))
            covariance[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] = block
        means = 0.5 * self.numbers[:, None] * axes
        return np.concatenate((means.ravel(), covariance.ravel()))

    def __call__(self, state: Array, drive: float) -> Array:
        size = self.size
        s = state[: 3 * size].reshape(size, 3)
        sigma = state[3 * size :].reshape(3 * size, 3 * size)
        x, y = float(self.eta @ s[:, 0]), float(self.eta @ s[:, 1])
        t_x, t_y = drive - self.gamma * y, self.gamma * x
        turn = np.array([[0.0, 0.0, t_y], [0.0, 0.0, -t_x], [-t_y, t_x, 0.0]])
        zero = np.zeros(size)
        b_x = (self.eta[:, None] * np.stack([zero, -s[:, 2], s[:, 1]], axis=1)).ravel()
        b_y = (self.eta[:, None] * np.stack([s[:, 2], zero, -s[:, 0]], axis=1)).ravel()
        means = self.eta[:, None] * (s @ turn.T) + s * self.local
        means += self.numbers[:, None] * self.pull
        jacobian = np.kron(np.diag(self.eta), turn) + np.diag(np.tile(self.local, size))
        jacobian += self.gamma * (np.outer(b_y, self.h_x) - np.outer(b_x, self.h_y))
        half = jacobian @ sigma
        change = half + half.T
        change += self.gamma * (np.outer(b_x, b_x) + np.outer(b_y, b_y))
        for k in range(size):
            place = slice(3 * k, 3 * k + 3)
            pulled = np.outer(self.pull, s[k])
            change[place, place] -= 0.5 * self.numbers[k] * np.diag(self.local)
            change[place, place] -= pulled + pulled.T
        return np.concatenate((means.ravel(), change.ravel()))


def _integrate(flow: _Flow, state: Array, profile: DriveProfile, grid: Array) -> Array:
    """States at the times of `grid`, restarted at each corner of the drive."""
    corners = [t for t in profile.times if 0.0 < t < grid[-1]]
    legs: Sequence[float] = [0.0, *corners, float(grid[-1])]
    scale = np.concatenate((flow.numbers.repeat(3), np.ones(9 * flow.size**2) * flow.numbers.max()))
    states = np.empty((grid.size, state.size))
    states[grid == 0.0] = state

    def change(time: float, y: Array) -> Array:
        return flow(y, profile.at(time))

    for begin, end in zip(legs[:-1], legs[1:], strict=True):
        if end == begin:
            continue
        inside = (grid > begin) & (grid <= end)
        stops = np.unique(np.append(grid[inside], end))
        solution = solve_ivp(
            change, (begin, end), state, "DOP853", t_eval=stops, rtol=1e-10, atol=1e-11 * scale
        )
        if not solution.success:
            raise ArithmeticError(
                f"The moments could not be followed from t = {begin:g} to {end:g} "
                f"({math.inf if solution.y.size == 0 else solution.t[-1]:g} reached): "
                f"{solution.message}"
            )
        path = solution.y.T
        states[inside] = path[np.searchsorted(stops, grid[inside])]
        state = path[-1]
    return states
