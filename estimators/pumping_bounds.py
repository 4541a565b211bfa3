"""The precision that pumping scans allow: Cramer-Rao bounds, calibrations included."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..models.pumped_superradiance import PumpedEnsemble, log_populations, pumped_steady_state
from ..models.pumped_superradiance_counts import FluorescenceReadout, hold_bound
from .likelihood_table import bin_kernels
from .pumping_beliefs import Calibrated, HoldBeliefs, SnapshotBeliefs, SweepBeliefs
from .pumping_chain import ChainValues, Ramp, filter_sweeps, space_of
from .pumping_moments import expected_counts, merged
from .pumping_ramps import ramp_information
from .pumping_ramps_model import RampBeliefs, Stairs
from .pumping_sampling import draw_sweeps

Array = NDArray[np.float64]

_BIN = 0.2  # width of a bin of counts in counting noises
_STEP = 1e-4


@dataclass(frozen=True, slots=True)
class PumpingBounds:
    """Least standard deviations, in the units of the quantities.

    Attributes:
        std: by name, all others free within their calibrations.
        information: on the logarithms (of the background itself), priors included.
    """

    std: Mapping[str, float]
    information: Array = field(repr=False, compare=False)

    def __getitem__(self, name: str) -> float:
        return self.std[name]


def snapshot_bounds(
    beliefs: SnapshotBeliefs, critical: float, gain: float, background: float, pumps: ArrayLike
) -> PumpingBounds:
    """Bound for one snapshot at each of `pumps`, at true u_c, g and b, N = beliefs.atoms.

    Summed over (finely binned) counts and over all numbers of atoms; a droop of the pump and
    an uncertainty of N are not included.

    Raises:
        ValueError: when the beliefs have either.
    """
    if beliefs.pump_droop > 0.0 or beliefs.atoms_std > 0.0:
        raise ValueError(
            "Argument `beliefs` must have a known atom number and no droop for the bound, but "
            f"has atoms_std = {beliefs.atoms_std!r} and pump_droop = {beliefs.pump_droop!r}."
        )
    atoms = round(beliefs.atoms)
    numbers = np.arange(atoms + 1.0)
    edges = _count_edges(gain * atoms + background)
    kernel, slope = bin_kernels(edges, gain, background, atoms)
    by_gain = slope * (gain * numbers)
    information = np.zeros((3, 3))
    knobs, shots = np.unique(np.asarray(pumps, dtype=np.float64), return_counts=True)
    for knob, repeats in zip(knobs, shots, strict=True):
        if knob == 0.0:
            p = np.eye(1, atoms + 1)[0]
        else:
            p = np.exp(log_populations(PumpedEnsemble(atoms, float(knob / critical))))
        probability = kernel @ p
        slopes = np.stack([-kernel @ ((numbers - p @ numbers) * p), by_gain @ p, slope @ p])
        seen = probability > 1e-14
        scaled = slopes[:, seen] / np.sqrt(probability[seen])
        information += repeats * (scaled @ scaled.T)
    values = {"critical_pump": critical, "gain": gain, "background": background}
    priors = (beliefs.critical_pump, beliefs.gain, beliefs.background)
    return _bounds(values, priors, information)


def ramp_bounds(
    beliefs: RampBeliefs, values: tuple[float, float, float, float], shots: Mapping[Stairs, int]
) -> PumpingBounds:
    """Bound for shots along ramps at true u_c, gamma, g and b, calibrations included.

    Args:
        beliefs: N, the ramps, the calibrations.
        values: u_c, gamma, gain, background.
        shots: how many at each place.
    """
    information = ramp_information(beliefs, values, shots)
    root = np.sqrt(np.diag(np.linalg.inv(information)))
    names = ("critical_pump", "decay", "gain", "background")
    scale = (*values[:3], 1.0)
    std = {name: float(s * r) for name, s, r in zip(names, scale, root, strict=True)}
    return PumpingBounds(std, information)


def sweep_bounds(
    beliefs: SweepBeliefs,
    truth: ChainValues,
    ramps: ArrayLike,
    duration: float,
    bins: int,
    rng: np.random.Generator,
    *,
    simulated: int = 400,
) -> PumpingBounds:
    """Bound of the full likelihood of sweeps, from simulated ones.

    The score's increments from bin to bin are martingale differences; the mean of their
    products over exactly simulated sweeps is the information, with a relative error of the
    standard deviations of about 0.2/sqrt(simulated).

    Args:
        beliefs: N and the calibrations.
        truth: u_c, gamma, a and b.
        ramps: (sweeps, 2) knob at the ends of each sweep.
        duration: of a sweep.
        bins: of a sweep, at most 0.1/gamma long.
        rng: for the simulated sweeps.
        simulated: how many for each distinct ramp.
    """
    knob, sweeps = np.unique(np.asarray(ramps, dtype=np.float64), axis=0, return_counts=True)
    information = np.zeros((4, 4))
    for (start, stop), repeats in zip(knob, sweeps, strict=True):
        given = [[start, stop]] * simulated
        records = draw_sweeps(beliefs.atoms, truth, given, duration, bins, rng)
        reach = max(abs(0.5 * beliefs.atoms * (u / truth.critical - 1.0)) for u in (start, stop))
        space = space_of(beliefs.atoms, reach, truth.half_rate / truth.decay)
        ramp = Ramp(float(start), float(stop), duration, records["counts"])
        found = filter_sweeps(space, beliefs.atoms, ramp, truth)
        information += found.information * (repeats / simulated)
    return _sweep_bounds(beliefs, truth, information)


def sweep_mean_bounds(
    beliefs: SweepBeliefs, truth: ChainValues, ramps: ArrayLike, duration: float, bins: int
) -> PumpingBounds:
    """Standard deviations of the fast path: mean counts weighed with their covariance."""
    knob, sweeps = np.unique(np.asarray(ramps, dtype=np.float64), axis=0, return_counts=True)
    information = np.zeros((4, 4))
    for (start, stop), repeats in zip(knob, sweeps, strict=True):
        ramp = merged(Ramp(float(start), float(stop), duration, np.zeros((1, bins))))
        _, slopes, noise = expected_counts(beliefs.atoms, ramp, truth, covariance=True)
        information += repeats * slopes.T @ np.linalg.solve(noise, slopes)
    return _sweep_bounds(beliefs, truth, information)


def hold_bounds(
    beliefs: HoldBeliefs, truth: ChainValues, pumps: ArrayLike, times: ArrayLike
) -> PumpingBounds:
    """Bound from Gaussian counts of one window at each of (pumps, times)."""
    information = np.zeros((4, 4))
    centre = np.log([truth.critical, truth.half_rate, 1.0, truth.decay])

    def law(x: Array, b: float, pump: float, time: float) -> Array:
        critical, a, _, decay = np.exp(x)
        ensemble = PumpedEnsemble(beliefs.atoms, float(decay * pump / critical), float(decay))
        found = hold_bound(ensemble, FluorescenceReadout(float(a), b), time)
        return np.array([found.mean, found.variance])

    pairs = np.column_stack(np.broadcast_arrays(np.asarray(pumps), np.asarray(times)))
    for pump, time in pairs.astype(np.float64):
        slopes = np.zeros((4, 2))
        for index in range(4):
            step = np.zeros(4)
            step[index] = _STEP * (index != 2)
            lift = _STEP * truth.background * (index == 2) + 1e-9 * (index == 2)
            low_b = max(truth.background - lift, 0.0)
            high = law(centre + step, truth.background + lift, pump, time)
            low = law(centre - step, low_b, pump, time)
            width = truth.background + lift - low_b if index == 2 else 2.0 * _STEP
            slopes[index] = (high - low) / width
        variance = law(centre, truth.background, pump, time)[1]
        information += np.outer(slopes[:, 0], slopes[:, 0]) / variance
        information += 0.5 * np.outer(slopes[:, 1], slopes[:, 1]) / variance**2
    values = {
        "critical_pump": truth.critical,
        "half_rate": truth.half_rate,
        "background": truth.background,
        "decay": truth.decay,
    }
    priors = (beliefs.critical_pump, beliefs.half_rate, beliefs.background, beliefs.decay)
    return _bounds(values, priors, information)


def perfect_snapshot_std(atoms: int, critical: float, pump: float) -> float:
    """Std of u_c from one snapshot that counts the excited atoms exactly, u_c/sqrt(Var n)."""
    return critical / math.sqrt(
        pumped_steady_state(PumpedEnsemble(atoms, pump / critical)).variance
    )


def _sweep_bounds(beliefs: SweepBeliefs, truth: ChainValues, information: Array) -> PumpingBounds:
    values = {
        "critical_pump": truth.critical,
        "decay": truth.decay,
        "half_rate": truth.half_rate,
        "background": truth.background,
    }
    priors = (beliefs.critical_pump, beliefs.decay, beliefs.half_rate, beliefs.background)
    return _bounds(values, priors, information)


def _bounds(
    values: Mapping[str, float], priors: Sequence[Calibrated | None], information: Array
) -> PumpingBounds:
    total = information.copy()
    scales = [1.0 if name == "background" else value for name, value in values.items()]
    for index, (name, prior) in enumerate(zip(values, priors, strict=True)):
        if prior is not None:
            spread = prior.std if name == "background" else prior.std / prior.value
            total[index, index] += spread**-2
    std = np.sqrt(np.diag(np.linalg.inv(total))) * scales
    return PumpingBounds(dict(zip(values, (float(v) for v in std), strict=True)), total)


def _count_edges(largest_mean: float) -> Array:
    """Edges equally spaced in the root of the counts, where Poisson noise is constant."""
    top = largest_mean + 9.0 * math.sqrt(largest_mean) + 9.0
    steps = math.ceil(2.0 * math.sqrt(top) / _BIN)
    edges = np.unique(np.rint((0.5 * _BIN * np.arange(steps + 1)) ** 2))
    return np.append(edges, max(edges[-1] + 1.0, math.ceil(top)))
