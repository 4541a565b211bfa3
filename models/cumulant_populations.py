"""Atom numbers and light of two large relaxing ensembles: means, covariances and their slopes.

From all atoms down the second-order cumulant equations are followed in connected moments
(`cumulant_polynomials`); slopes by the rates are followed beside them (augmented equations), so
that they cost a fraction of further solutions. Cost does not depend on the number of atoms.

How far the closure holds is measured from the equations themselves: with N Gamma kept, the part of
a mean that is of second order in 1/N is m(N) - 2 m(2N) + m(infinity). The closure has that order
wrong, so that this is about its error (`closure_error`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import DOP853

from ._checks import finite, not_negative, positive
from .cumulant_polynomials import EVERY, HALF, RATES, Equations, equations

Array = NDArray[np.float64]

SLOPES = (
    *("collective_decay", "rabi_frequency", "detuning_difference"),
    *("exchange", "single_spin_decay", "atoms"),
)
"""What slopes can be taken by: the logarithms, of exchange and single-atom decay the value."""

_RTOL = 1e-7
_RUNAWAY = 1e3
_LEAST_ATOMS = 2.0
_MOST_LOOKS = 2000


@dataclass(frozen=True, slots=True)
class RelaxingClouds:
    """Two large ensembles driven and damped together; angular rates in one unit.

    Args:
        atoms: N of each ensemble, 2 or more; need not be whole, being a mean.
        rabi_frequency: common drive Omega, above zero.
        detuning_difference: Delta, ensemble 1 at +Delta/2, ensemble 2 at -Delta/2.
        exchange: chi.
        single_spin_decay: gamma of every atom, not negative.
        collective_decay: Gamma, above zero.

    Raises:
        ValueError: on any value outside these rules.
    """

    atoms: float
    rabi_frequency: float
    detuning_difference: float
    exchange: float = 0.0
    single_spin_decay: float = 0.0
    collective_decay: float = 1.0

    def __post_init__(self) -> None:
        if not finite(self.atoms, "atoms") >= _LEAST_ATOMS:
            raise ValueError(f"Argument `atoms` must be at least 2, but is {self.atoms!r}.")
        positive(self.rabi_frequency, "rabi_frequency")
        finite(self.detuning_difference, "detuning_difference")
        finite(self.exchange, "exchange")
        not_negative(self.single_spin_decay, "single_spin_decay")
        positive(self.collective_decay, "collective_decay")

    def rates(self) -> Array:
        """Values of `RATES`."""
        n, decay = self.atoms, self.collective_decay
        return np.array(
            [
                1.0 / n,
                self.rabi_frequency,
                0.5 * self.detuning_difference,
                n * decay,
                self.single_spin_decay,
                -self.exchange / decay,
            ]
        )

    def turns(self, names: Sequence[str]) -> Array:
        """How `RATES` change with each of `names` (see `SLOPES`)."""
        share, rabi, detuning, collective, _, skew = self.rates()
        rows = {
            "collective_decay": {"collective": collective, "skew": -skew},
            "rabi_frequency": {"rabi": rabi},
            "detuning_difference": {"half_detuning": detuning},
            "exchange": {"skew": -1.0 / self.collective_decay},
            "single_spin_decay": {"single": 1.0},
            "atoms": {"share": -share, "collective": collective},
        }
        found = np.zeros((len(names), len(RATES)))
        for row, name in zip(found, names, strict=True):
            for rate, value in rows[name].items():
                row[RATES.index(rate)] = value
        return found


@dataclass(frozen=True, slots=True, eq=False)
class CloudMoments:
    """Numbers of atoms up (n1, n2) and of photons M that left the cavity since the start.

    Attributes:
        parameters: the clouds.
        times: (T,) rising.
        mean: (T, 3).
        covariance: (T, 3, 3); of the photons in normal order, Var M - <M>, so that a counter of
            efficiency eta sees eta <M> + eta^2 times it. What belongs to the photons is of
            leading order in 1/N.
        names: by what the slopes are, see `SLOPES`.
        mean_slopes, covariance_slopes: (k, T, 3) and (k, T, 3, 3).
    """

    parameters: RelaxingClouds
    times: Array
    mean: Array = field(repr=False)
    covariance: Array = field(repr=False)
    names: tuple[str, ...] = ()
    mean_slopes: Array = field(repr=False, default_factory=lambda: np.zeros((0, 0, 3)))
    covariance_slopes: Array = field(repr=False, default_factory=lambda: np.zeros((0, 0, 3, 3)))

    @property
    def physical(self) -> NDArray[np.bool_]:
        """(T,): numbers within 0 and N, variances above zero and below N^2/4 times 1.5."""
        n = self.parameters.atoms
        atoms, variance = self.mean[:, :2], np.diagonal(self.covariance, axis1=1, axis2=2)[:, :2]
        with np.errstate(invalid="ignore"):
            inside = (atoms >= -1e-6 * n) & (atoms <= (1.0 + 1e-6) * n)
            firm = (variance > -1e-9 * n) & (variance < 0.375 * n * n)
        return np.asarray((inside & firm).all(axis=1), dtype=np.bool_)


def cloud_moments(
    parameters: RelaxingClouds, times: ArrayLike, slopes: Sequence[str] = ()
) -> CloudMoments:
    """Means and covariances after holds of the given lengths, all atoms down at zero.

    Args:
        parameters: the clouds.
        times: (T,) rising, not negative, in the inverse unit of the rates.
        slopes: names out of `SLOPES`.

    Raises:
        ValueError: on times that do not rise, or names that are not known.
    """
    unknown = set(slopes) - set(SLOPES)
    if unknown:
        raise ValueError(f"Argument `slopes` may hold {', '.join(SLOPES)}, not {sorted(unknown)}.")
    grid = _rising(times)
    exchange = parameters.exchange != 0.0 or "exchange" in slopes
    rows = follow(equations(exchange), parameters.rates(), parameters.turns(slopes), grid)
    mean, covariance = _numbers(rows, parameters.atoms, exchange)
    if "atoms" in slopes:
        place = 1 + tuple(slopes).index("atoms")
        mean[place] += mean[0]
        covariance[place] += covariance[0]
        for a in (0, 1):
            inside = rows[0, _row("zz2" if a and exchange else "zz1", exchange)]
            covariance[place, :, a, a] += 0.25 * inside
    return CloudMoments(
        parameters, grid, mean[0], covariance[0], tuple(slopes), mean[1:], covariance[1:]
    )


@dataclass(frozen=True, slots=True, eq=False)
class ClosureError:
    """About how wrong the closure is, the largest up to each time.

    Attributes:
        mean: (T, 3) of n1, n2 and M.
        covariance: (T, 2, 2) of the atoms.
    """

    mean: Array
    covariance: Array


def closure_error(parameters: RelaxingClouds, times: ArrayLike) -> ClosureError:
    """Second order in 1/N of the means, and first order of the covariances, at N Gamma kept.

    An error once made does not go away: what is given is the largest up to each time, looked for
    twice in every radian of the drive, whatever the times are.
    """
    wanted = _rising(times)
    exchange = parameters.exchange != 0.0
    looks = math.ceil(2.0 * parameters.rabi_frequency * float(wanted[-1])) + 1
    grid = np.union1d(wanted, np.linspace(0.0, float(wanted[-1]), min(looks, _MOST_LOOKS)))
    system, found = equations(exchange), []
    for part in (1.0, 0.5, 0.0):
        rates = parameters.rates()
        rates[0] *= part
        row = follow(system, rates, np.zeros((0, len(RATES))), grid)
        found.append(_numbers(row, parameters.atoms, exchange, share=rates[0]))
    (plain, spread), (twice, narrow), (endless, _) = found
    with np.errstate(invalid="ignore"):
        wrong = np.abs(plain[0] - 2.0 * twice[0] + endless[0])
        spreads = np.abs(spread[0] - narrow[0])[:, :2, :2]
        wrong = np.where(np.isfinite(wrong), wrong, np.inf)
        spreads = np.where(np.isfinite(spreads), spreads, np.inf)
    at = np.searchsorted(grid, wanted)
    return ClosureError(np.maximum.accumulate(wrong)[at], np.maximum.accumulate(spreads)[at])


def follow(
    system: Equations, rates: Array, turns: Array, times: Array, start: Array | None = None
) -> Array:
    """Moments and their slopes, (1 + k, m, T); nan from where a solution runs away.

    Args:
        system: the equations.
        rates: values of `RATES`.
        turns: (k, rates) how they change with what slopes are wanted by.
        times: (T,) rising.
        start: (m,) moments at zero; all atoms down by default.
    """
    plain, by_rate = system.matrices(rates)
    size, count = len(system.names), len(turns)
    by_turn = np.einsum("kr,rmz->kmz", turns, by_rate)
    state = np.zeros((size, 1 + count))
    for name in ("z1", "z2"):
        if name in system.names:
            state[system.names.index(name), 0] = -1.0
    if start is not None:
        state[:, 0] = start

    def rate(_: float, flat: Array) -> Array:
        products, changed = system.products_of(flat.reshape(size, 1 + count))
        out = np.empty((size, 1 + count))
        out[:, 0] = plain @ products
        out[:, 1:] = plain @ changed + (by_turn @ products).T
        return out.ravel()

    found = np.full((1 + count, size, times.size), np.nan)
    solver = DOP853(rate, 0.0, state.ravel(), float(times[-1]), rtol=_RTOL, atol=1e-2 * _RTOL)
    here = int(np.searchsorted(times, 0.0, side="right"))
    found[:, :, :here] = state.T[:, :, None]
    while here < times.size:
        solver.step()
        if solver.status == "failed" or not np.abs(solver.y).max() < _RUNAWAY * (1.0 + solver.t):
            break
        end = int(np.searchsorted(times, solver.t, side="right"))
        if end > here:
            values = solver.dense_output()(times[here:end])
            found[:, :, here:end] = np.moveaxis(values.reshape(size, 1 + count, end - here), 1, 0)
            here = end
    return found


def _numbers(
    rows: Array, atoms: float, exchange: bool, share: float | None = None
) -> tuple[Array, Array]:
    """Means (1 + k, T, 3) and covariances (1 + k, T, 3, 3) from moments and slopes."""
    n, nu = atoms, 1.0 / atoms if share is None else share
    zeroth = np.zeros((len(rows), 1))
    zeroth[0] = 1.0
    names = [("z1", "zz1", "kz1"), ("z2", "zz2", "kz2")] if exchange else [("z1", "zz1", "kz1")] * 2
    mean = np.empty((len(rows), rows.shape[2], 3))
    covariance = np.empty((*mean.shape, 3))
    for a, (z_name, pair, shared) in enumerate(names):
        z, k, kz = (rows[:, _row(name, exchange)] for name in (z_name, pair, shared))
        mean[..., a] = 0.5 * n * (zeroth + z)
        square = z * z[:1] * np.where(zeroth == 1.0, 1.0, 2.0)
        covariance[..., a, a] = 0.25 * n * (zeroth - square + (1.0 - nu) * k)
        covariance[..., a, 2] = covariance[..., 2, a] = 0.5 * n * kz
    across = 0.25 * n * rows[:, _row("Czz", exchange)]
    covariance[..., 0, 1] = covariance[..., 1, 0] = across
    mean[..., 2] = n * rows[:, _row("light", exchange)]
    covariance[..., 2, 2] = n * rows[:, _row("bunching", exchange)]
    return mean, covariance


def _row(name: str, exchange: bool) -> int:
    return (EVERY if exchange else HALF).index(name)


def _rising(times: ArrayLike) -> Array:
    grid = np.asarray(times, dtype=np.float64)
    if grid.ndim != 1 or not grid.size or not np.isfinite(grid).all():
        raise ValueError("Argument `times` must hold finite numbers along one axis.")
    if grid[0] < 0.0 or np.any(np.diff(grid) <= 0.0):
        raise ValueError("Argument `times` must rise from zero or above, but does not.")
    return grid
