"""Trajectories of the second-order cumulant expansion from all atoms down, one or many.

With numba (the optional `fast`) a compiled Runge-Kutta method of order 8 follows one after
the other (`cumulants_kernel`). Without it one trajectory runs on plain floats under LSODA;
many run side by side as array columns under a Dormand-Prince 5(4) method in which every
column keeps its own step. Cost grows as S Gamma t: the drive makes the moments turn at Omega
and 2 Omega, and about 15 evaluations go into each radian.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import odeint

from ._checks import between
from .cumulants import (
    HALF_MOMENTS,
    MOMENTS,
    DecayingEnsembles,
    all_down,
    half_moment_rates,
    rate_columns,
)

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_LEAST_DRIVE = 0.4  # Omega / (S Gamma) below which the closed equations turn unphysical
_MARGIN = 1e-3  # by how much a mean of +-1-valued operators may exceed 1
_RUNAWAY = 2.0  # means of +-1-valued operators: a run beyond is lost

_NODES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


@dataclass(frozen=True, slots=True)
class CumulantTrajectory:
    """Moments over time and what follows from them; S in units of hbar.

    Attributes:
        parameters: one set, or a tuple of n sets.
        times: (times,) or (n, times), in the inverse unit of the rates.
        moments: (15, times) or (15, n, times) in the order `HALF_MOMENTS`; nan from where
            an integration ran away.

    Two estimates of Var(S1y + S2y) are given (physics of Chu Fig. 10). `variance` counts
    the pairs exactly and is the better one at short times (0.2 % at 6 atoms up to the
    first dip); `large_spin_variance` replaces S(S - 1/2) by S^2, is the better one near
    the steady state (within 6 % at S = 30, 4 % at S = 1000), and is the one for the optimum.
    Both relax more slowly than the exact state. Neither is bound to be positive: where one
    is not, its flag is False and its squeezing nan.
    """

    parameters: DecayingEnsembles | tuple[DecayingEnsembles, ...]
    times: Array = field(repr=False)
    moments: Array = field(repr=False)

    def __getitem__(self, name: str) -> Array:
        """One moment over time by its name in `MOMENTS` (or `HALF_MOMENTS`)."""
        if name in HALF_MOMENTS:
            own: Array = self.moments[HALF_MOMENTS.index(name)]
            return own
        if name not in MOMENTS:
            raise ValueError(f"Argument `name` must be one of {', '.join(MOMENTS)}, not {name!r}.")
        letters = name.strip("C12")
        if name.startswith("C"):
            kept, odd = "C" + letters[::-1], name in ("Cyx", "Czx")
        else:
            kept, odd = letters, name.endswith("2") and letters in ("x", "xy", "xz")
        row: Array = self.moments[HALF_MOMENTS.index(kept)]
        return -row if odd else row

    @property
    def spin_length_x(self) -> Array:
        """X = <S1x - S2x>, negative for Delta > 0 near the steady state."""
        length: Array = 2.0 * self._spin * self["x1"]
        return length

    @property
    def mean_sum_y(self) -> Array:
        """<S1y + S2y>."""
        mean: Array = 2.0 * self._spin * self["y1"]
        return mean

    @property
    def variance(self) -> Array:
        """Var(S1y + S2y) with the number of pairs of a finite ensemble."""
        s = self._spin
        square = s + 2.0 * s * (s - 0.5) * self["yy1"] + 2.0 * s**2 * self["Cyy"]
        return square - self.mean_sum_y**2

    @property
    def large_spin_variance(self) -> Array:
        """Var(S1y + S2y) with S(S - 1/2) replaced by S^2."""
        s = self._spin
        return s + 2.0 * s**2 * (self["yy1"] + self["Cyy"]) - self.mean_sum_y**2

    @property
    def variance_valid(self) -> Flags:
        """Where `variance` is above zero."""
        return self.variance > 0.0

    @property
    def large_spin_variance_valid(self) -> Flags:
        """Where `large_spin_variance` is above zero."""
        return self.large_spin_variance > 0.0

    @property
    def physical(self) -> Flags:
        """Where no mean of +-1-valued operators exceeds 1, and no Bloch vector is too long."""
        with np.errstate(invalid="ignore"):
            bounded = np.abs(self.moments).max(axis=0) <= 1.0 + _MARGIN
            length = np.sqrt(sum(self[name] ** 2 for name in ("x1", "y1", "z1")))
            inside: Flags = bounded & (length <= 1.0 + _MARGIN)
        return inside

    @property
    def drive_in_range(self) -> Flags:
        """Whether Omega is at least 0.4 S Gamma, below which the closure turns unphysical."""
        sets = self.parameters if isinstance(self.parameters, tuple) else (self.parameters,)
        ratios = [p.rabi_frequency / (p.spin * p.collective_decay) for p in sets]
        flags = np.array(ratios) >= _LEAST_DRIVE
        return flags if isinstance(self.parameters, tuple) else flags[0]

    @property
    def xi2(self) -> Array:
        """Wineland parameter 4S Var/X^2 from `variance`; nan where that is not positive."""
        return self._squeezing(self.variance)

    @property
    def large_spin_xi2(self) -> Array:
        """Wineland parameter 4S Var/X^2 from `large_spin_variance`; nan where not positive."""
        return self._squeezing(self.large_spin_variance)

    @property
    def _spin(self) -> Array:
        if isinstance(self.parameters, tuple):
            return np.array([p.spin for p in self.parameters], dtype=np.float64)[:, None]
        return np.array(self.parameters.spin, dtype=np.float64)

    def _squeezing(self, variance: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return (
                4.0
                * self._spin
                * np.where(variance > 0.0, variance, np.nan)
                / (self.spin_length_x**2)
            )


def cumulant_trajectory(
    parameters: DecayingEnsembles, times: ArrayLike, *, rtol: float = 1e-8
) -> CumulantTrajectory:
    """One trajectory from all atoms down (Chu App. E).

    Args:
        parameters: the pair and its rates.
        times: (n,) ascending, not negative, in the inverse unit of the rates.
        rtol: relative accuracy of each step, between 1e-13 and 1e-2.

    Raises:
        ValueError: on times that are negative or do not ascend.
    """
    points = _checked_times(times, 1)
    rtol = between(rtol, 1e-13, 1e-2, "rtol")
    columns = rate_columns(parameters)
    compiled = _compiled()
    if compiled is not None:
        found = compiled(np.array(columns)[:, None], points[None], _start(), rtol, _RUNAWAY)
        return CumulantTrajectory(parameters, points, found[:, 0])

    def rates(_: float, y: Array) -> tuple[float, ...]:
        return half_moment_rates(y.tolist(), columns)

    grid = np.concatenate(([0.0], points))
    rows, report = odeint(
        rates,
        _start(),
        grid,
        tfirst=True,
        rtol=rtol,
        atol=1e-2 * rtol,
        mxstep=10_000_000,
        full_output=True,
    )
    reached = np.concatenate(([True], np.asarray(report["tcur"]) >= 0.999999 * grid[1:]))
    moments = np.where(reached & np.isfinite(rows).all(axis=1), rows.T, np.nan)
    return CumulantTrajectory(parameters, points, moments[:, 1:])


def cumulant_trajectories(
    parameters: Sequence[DecayingEnsembles], times: ArrayLike, *, rtol: float = 1e-6
) -> CumulantTrajectory:
    """Many trajectories side by side, each with its own parameters and times.

    Args:
        parameters: n sets.
        times: (n, m) ascending along the second axis, or (m,) for all sets alike.
        rtol: relative accuracy of each step, between 1e-13 and 1e-2.

    Returns:
        A trajectory with arrays of shape (n, m).

    Raises:
        ValueError: on no parameters, or on times that do not fit, are negative or do not
            ascend.
    """
    sets = tuple(parameters)
    if not sets:
        raise ValueError("Argument `parameters` must hold at least one set, but is empty.")
    given = np.asarray(times, dtype=np.float64)
    grid = _checked_times(np.tile(given, (len(sets), 1)) if given.ndim == 1 else given, 2)
    if grid.shape[0] != len(sets):
        raise ValueError(
            f"Argument `times` must have a row for each of the {len(sets)} parameter sets, "
            f"but has shape {grid.shape}."
        )
    rtol = between(rtol, 1e-13, 1e-2, "rtol")
    columns = np.array([rate_columns(p) for p in sets]).T
    compiled = _compiled()
    if compiled is not None:
        return CumulantTrajectory(sets, grid, compiled(columns, grid, _start(), rtol, _RUNAWAY))
    moments = _dormand_prince(columns, grid, rtol)
    return CumulantTrajectory(sets, grid, moments)


def _compiled() -> Callable[[Array, Array, Array, float, float], Array] | None:
    """The compiled stepper, where numba is installed; numba is loaded here and not before."""
    try:
        from .cumulants_kernel import integrate
    except ImportError:
        return None
    return integrate


def _dormand_prince(columns: Array, times: Array, rtol: float) -> Array:
    """Moments (15, n, m) at the times; every column steps on its own and lands on its times."""
    out = np.full((15, *times.shape), np.nan)
    lanes = np.arange(times.shape[0])
    y = np.repeat(_start()[:, None], lanes.size, axis=1)
    t, todo = np.zeros(lanes.size), np.zeros(lanes.size, dtype=np.intp)
    n, omega, d, collective, single = columns[:5]
    h = 0.01 / (omega + np.abs(d) + n * (collective + single))
    stages = np.empty((7, 15, lanes.size))
    stages[0] = half_moment_rates(y, tuple(columns))
    while lanes.size:
        rest = times[lanes, todo] - t
        step = np.minimum(h, rest)
        new, error = _try_step(y, step, stages, columns, rtol)
        accepted = error <= 1.0
        growth = np.clip(0.9 * np.maximum(error, 1e-10) ** -0.2, 0.2, 5.0)
        # a step cut short to land on a time says nothing against the longer one
        h = np.where(accepted, np.maximum(step * growth, np.where(step < h, h, 0.0)), step * growth)
        y = np.where(accepted, new, y)
        stages[0] = np.where(accepted, stages[6], stages[0])
        landed = accepted & (step >= rest)
        t = np.where(landed, times[lanes, todo], np.where(accepted, t + step, t))
        out[:, lanes[landed], todo[landed]] = y[:, landed]
        todo = todo + landed
        lost = (np.abs(y).max(axis=0) > _RUNAWAY) | (t + step == t) & ~landed
        alive = (todo < times.shape[1]) & ~lost
        if not alive.all():
            lanes, y, t, todo, h = lanes[alive], y[:, alive], t[alive], todo[alive], h[alive]
            # taking columns out may change the order in memory, and the stages are reshaped
            stages = np.ascontiguousarray(stages[:, :, alive])
            columns = columns[:, alive]
    return out


def _try_step(
    y: Array, step: Array, stages: Array, columns: Array, rtol: float
) -> tuple[Array, Array]:
    """The fifth-order step and its error in units of the tolerance; fills stages 1 to 6."""
    new = y
    flat = stages.reshape(7, -1)
    with np.errstate(over="ignore", invalid="ignore"):
        for stage, weights in enumerate(_NODES, start=1):
            new = y + step * (np.array(weights) @ flat[:stage]).reshape(y.shape)
            stages[stage] = half_moment_rates(new, tuple(columns))
        wrong = step * (np.array(_ERROR) @ flat).reshape(y.shape)
        scale = rtol * (0.01 + np.maximum(np.abs(y), np.abs(new)))
        error = np.sqrt(np.mean((wrong / scale) ** 2, axis=0))
    return new, np.where(np.isfinite(error), error, 1e10)


def _start() -> Array:
    full = all_down()
    names = [name if name.startswith("C") else name + "1" for name in HALF_MOMENTS]
    return np.array([full[MOMENTS.index(name)] for name in names])


def _checked_times(times: ArrayLike, dimensions: int) -> Array:
    grid = np.asarray(times, dtype=np.float64)
    if grid.ndim != dimensions or not grid.size or not np.all(np.isfinite(grid)):
        raise ValueError(
            f"Argument `times` must hold finite numbers along {dimensions} axes, "
            f"but has shape {grid.shape}."
        )
    if np.any(grid < 0.0) or np.any(np.diff(grid, axis=-1) <= 0.0):
        raise ValueError("Argument `times` must ascend from zero or above, but does not.")
    return grid
