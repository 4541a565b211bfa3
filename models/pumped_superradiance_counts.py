r"""Counting the side fluorescence of the pumped ensemble: noise that is not Poisson's.

Counts come at the rate a (1 + x) + b, x = 2 Jz/N: a = eta Gamma_ind N/2 from the atoms, b
from background. The atoms hold their number for about 1/gamma, so counts of different
times are correlated, and an error bar from Poisson's law alone can be several times too
small. The papers speak of this readout only in words (below Eq. 4); the equations here
are derived from the master equation, Eq. 1 of Shimshi & Shahmoon, "Dissipative phase
transition and metrology in collectively pumped superradiance" (2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ._checks import finite, not_negative, positive
from .pumped_superradiance import PumpedEnsemble, inversion_limit, pumped_steady_state
from .pumped_superradiance_modes import (
    correlation_modes,
    couplings,
    mode_ramp,
    modes_needed,
    stationary_modes,
)
from .pumped_superradiance_scans import centred_x, checked_rate, first_moment, march, on_ladder
from .pumped_superradiance_stepping import ElementSolver, Factors, tableau

Array = NDArray[np.float64]

_TOLERANCE = 1e-9
_SHIFT = 0.02


@dataclass(frozen=True, slots=True)
class FluorescenceReadout:
    """Rate of counts a (1 + x) + b.

    Args:
        half_rate: a, counts per time at <Jz> = 0 less background, above zero.
        background: b, counts per time without excited atoms, not negative.

    Raises:
        ValueError: on any value outside these rules.
    """

    half_rate: float
    background: float = 0.0

    def __post_init__(self) -> None:
        positive(self.half_rate, "half_rate")
        not_negative(self.background, "background")

    @classmethod
    def of_atoms(
        cls, atoms: int, emission: float, efficiency: float, background: float = 0.0
    ) -> FluorescenceReadout:
        """a = efficiency * emission * N/2, with the single-atom emission rate Gamma_ind."""
        half = 0.5 * positive(float(atoms), "atoms") * positive(emission, "emission")
        return cls(half * positive(efficiency, "efficiency"), background)


@dataclass(frozen=True, slots=True)
class HoldBound:
    """Counts at a constant pump over a time T, and what they say about s.

    Attributes:
        mean: mean number of counts.
        variance: its variance, the atoms' included.
        sigma_s: standard deviation of s from the count, a and b known.
        sigma_s_poisson_only: what Poisson's law alone would give; too small.
    """

    mean: float
    variance: float
    sigma_s: float
    sigma_s_poisson_only: float


@dataclass(frozen=True, slots=True)
class BinnedInversion:
    """Statistics of A_k = int x dt over time bins, and their slopes along s.

    Attributes:
        durations: (bins,) lengths of the bins.
        areas: (bins,) means of A_k.
        covariance: (bins, bins), Cov(A_k, A_l).
        area_slopes: (bins,) d areas/ds, all of the pump shifted by ds.
        covariance_slopes: (bins, bins) d covariance/ds.
    """

    durations: Array = field(repr=False)
    areas: Array = field(repr=False)
    covariance: Array = field(repr=False)
    area_slopes: Array = field(repr=False)
    covariance_slopes: Array = field(repr=False)

    def mean_counts(self, readout: FluorescenceReadout) -> Array:
        """(bins,) means."""
        a, b = readout.half_rate, readout.background
        counts: Array = a * (self.areas + self.durations) + b * self.durations
        return counts

    def count_covariance(self, readout: FluorescenceReadout) -> Array:
        """(bins, bins): Poisson's variance on the diagonal, and a^2 Cov(A_k, A_l)."""
        noise: Array = np.diag(self.mean_counts(readout)) + readout.half_rate**2 * self.covariance
        return noise

    def information(self, readout: FluorescenceReadout) -> Array:
        """Fisher information of the Gaussian law of the counts on (s, a, b), (3, 3).

        Its inverse bounds an estimate from means and covariances; with one bin, or a
        constant pump, (s, a, b) are not identifiable together and it is (nearly) singular:
        add the information of a calibration of a and b, or invert the part that is unknown.
        """
        a = readout.half_rate
        slopes = [
            a * self.area_slopes,
            self.areas + self.durations,
            self.durations,
        ]
        noise_slopes = [
            np.diag(slopes[0]) + a * a * self.covariance_slopes,
            np.diag(slopes[1]) + 2.0 * a * self.covariance,
            np.diag(slopes[2]),
        ]
        return gaussian_information(slopes, self.count_covariance(readout), noise_slopes)


def gaussian_information(
    slopes: Sequence[Array], covariance: Array, covariance_slopes: Sequence[Array]
) -> Array:
    """Fisher information of Gaussian data, mu_i C^-1 mu_j + tr(C^-1 C_i C^-1 C_j)/2.

    Args:
        slopes: for each parameter, the derivative of the mean (n,).
        covariance: C, (n, n), positive definite.
        covariance_slopes: for each parameter, the derivative of C (n, n).
    """
    if len(slopes) != len(covariance_slopes):
        raise ValueError(
            "Argument `covariance_slopes` must have one entry per parameter "
            f"({len(slopes)}), but has {len(covariance_slopes)}."
        )
    means = np.stack(list(slopes), axis=1)
    weighted = np.linalg.solve(covariance, means)
    turned = [np.linalg.solve(covariance, slope) for slope in covariance_slopes]
    spread = np.array([[float(np.sum(one * other.T)) for other in turned] for one in turned])
    information: Array = means.T @ weighted + 0.5 * spread
    return information


def long_hold_bound(
    readout: FluorescenceReadout, scaled_pump: float, duration: float, correlation_time: float
) -> HoldBound:
    """Large N, T >> 1/gamma: Var = mean + (a T)^2 2 L'(s) tau/T, sigma_s = sqrt(Var)/(a T L').

    L and L' are those of `inversion_limit` (Eq. 4). An error of w is (2 gamma/N) sigma_s.

    Args:
        readout: a and b.
        scaled_pump: s.
        duration: T.
        correlation_time: tau, of `integrated_correlation_time`; 1/(2 gamma) at s = 0.
    """
    time = positive(duration, "duration")
    tau = positive(correlation_time, "correlation_time")
    level, slope = inversion_limit(scaled_pump)
    return _bound(readout, time, level, slope, 2.0 * slope * tau * time)


def hold_bound(
    parameters: PumpedEnsemble, readout: FluorescenceReadout, duration: float
) -> HoldBound:
    """Counts in one bin at constant w, for any N and any T (steady state at its beginning)."""
    time = positive(duration, "duration")
    state = pumped_steady_state(parameters)
    rates, weights = correlation_modes(parameters)
    noise = float(np.sum(2.0 * weights * _same_bin(rates, time)))
    return _bound(readout, time, state.scaled_mean, _inversion_slope(parameters), noise)


def resolved_record_sigma_s(parameters: PumpedEnsemble, duration: float) -> float:
    """The least sigma_s from a record of every jump, sqrt(3/(2 gamma T)) at s = 0, large N."""
    rate = pumped_steady_state(parameters).record_information_rate
    scale = 0.5 * parameters.atoms / parameters.decay
    return scale / math.sqrt(rate * positive(duration, "duration"))


def hold_inversion(parameters: PumpedEnsemble, edges: Sequence[float] | Array) -> BinnedInversion:
    """Statistics of int x dt over bins at constant w, exact, the steady state at the first edge.

    Args:
        parameters: the ensemble.
        edges: (bins + 1,) times, ascending.
    """
    times = _ascending(edges, "edges")
    durations = np.diff(times)
    s, n, gamma = parameters.scaled_pump, parameters.atoms, parameters.decay

    def at(shift: float) -> tuple[Array, Array]:
        shifted = PumpedEnsemble.at(n, s + shift, gamma)
        mean = pumped_steady_state(shifted).scaled_mean
        return mean * durations, _hold_covariance(shifted, times)

    areas, covariance = at(0.0)
    d_areas, d_covariance = _slopes(at, s, float(n))
    return BinnedInversion(durations, areas, covariance, d_areas, d_covariance)


def sweep_inversion(
    atoms: float, edges: Sequence[float] | Array, rate: float, *, decay: float = 1.0
) -> BinnedInversion:
    """Statistics of int x dt over the bins of a linear ramp of the pump, exact.

    The covariances follow from the equation of x p by the same matrix as p: any N, and
    the cost does not grow with N. The ramp begins in its steady state.

    Args:
        atoms: N, or math.inf.
        edges: (bins + 1,) values of s, ascending (scan up) or descending (down).
        rate: r = |ds/dt|, in the unit of `decay`.
        decay: gamma.

    Raises:
        ValueError: naming the argument that breaks these rules.
    """
    nu, speed = checked_rate(atoms, rate, decay)
    given = np.asarray(edges, dtype=np.float64)
    falling = given.ndim == 1 and given.size > 1 and given[0] > given[-1]
    places = (-1.0 if falling else 1.0) * _ascending(-given if falling else given, "edges")
    lowest = on_ladder(float(places.min()), atoms, "edges")

    def at(shift: float) -> tuple[Array, Array]:
        mean, covariance = _sweep_statistics(nu, places + shift, speed)
        return mean / decay, covariance / decay**2

    areas, covariance = at(0.0)
    d_areas, d_covariance = _slopes(at, lowest, atoms)
    durations = np.abs(np.diff(places)) / float(rate)
    return BinnedInversion(durations, areas, covariance, d_areas, d_covariance)


def _bound(
    readout: FluorescenceReadout, time: float, level: float, slope: float, noise: float
) -> HoldBound:
    """Assemble a bound; noise is Var int x dt, slope d<x>/ds."""
    a, b = readout.half_rate, readout.background
    mean = (a * (1.0 + level) + b) * time
    variance = mean + a * a * noise
    gain = a * time * slope
    return HoldBound(mean, variance, math.sqrt(variance) / gain, math.sqrt(mean) / gain)


def _inversion_slope(parameters: PumpedEnsemble) -> float:
    """d<x>/ds = Var x (gamma/w), any N."""
    variance = pumped_steady_state(parameters).scaled_variance
    return variance * parameters.decay / parameters.pump


def _same_bin(rates: Array, time: float | Array) -> Array:
    """(rate t - 1 + e^{-rate t})/rate^2, half the double integral of e^{-rate |t - t'|}."""
    product = rates * time
    small = product < 1e-3
    series = 0.5 - product / 6.0 + product**2 / 24.0 - product**3 / 120.0
    whole = (product + np.expm1(-product)) / np.where(small, 1.0, product) ** 2
    integral: Array = np.where(small, series, whole) * np.square(time)
    return integral


def _hold_covariance(parameters: PumpedEnsemble, times: Array) -> Array:
    """Cov of int x dt over bins, by the relaxation modes."""
    rates, weights = correlation_modes(parameters)
    durations = np.diff(times)
    covariance = np.diag(2.0 * _same_bin(rates, durations[:, None]) @ weights)
    inside = -np.expm1(-durations[:, None] * rates) / rates
    for k in range(durations.size - 1):
        gaps = times[k + 1 : -1] - times[k + 1]
        row = (inside[k + 1 :] * np.exp(-gaps[:, None] * rates)) @ (weights * inside[k])
        covariance[k, k + 1 :] = covariance[k + 1 :, k] = row
    return covariance


def _sweep_statistics(nu: float, places: Array, speed: float) -> tuple[Array, Array]:
    """Means and covariances of int x dt over the bins of a ramp, times in 1/gamma."""
    bins = places.size - 1
    areas, covariance = np.zeros(bins), np.zeros((bins, bins))
    signed = math.copysign(speed, places[-1] - places[0])
    reach = max(abs(float(places[0])), abs(float(places[-1])))
    last = modes_needed(math.inf if nu == 0.0 else round(1.0 / nu), reach)
    solver, b = ElementSolver(mode_ramp(nu, last)), couplings(nu, last + 1)
    rule, state = tableau(), stationary_modes(nu, float(places[0]), last)
    response = np.zeros((last + 1, bins))
    for k in range(bins):
        start, stop = float(places[k]), float(places[k + 1])
        for step in march(nu, start, stop, speed, state, _TOLERANCE, reach):
            source = np.zeros((last + 1, rule.nodes.size - 1, k + 1))
            source[:, :, k] = centred_x(b, step.values)[:, 1:, 0]
            factors = Factors(solver, start + signed * step.start, signed, step.length)
            values = factors.solve(response[:, : k + 1], source)
            response[:, : k + 1] = values[:, -1]
            areas[k] += step.length * float(rule.weights @ first_moment(b, step))
            covariance[k, : k + 1] += step.length * (rule.weights @ (b[1] * values[1]))
            state = step.end[:, 0]
    below = np.tril(covariance, -1)
    return areas, below + below.T + np.diag(2.0 * np.diag(covariance))


def _slopes(
    at: Callable[[float], tuple[Array, Array]], lowest: float, atoms: float
) -> tuple[Array, Array]:
    """Derivatives along s by central differences of fourth order (one-sided next to w = 0)."""
    h = _SHIFT
    steps: tuple[float, ...] = (-2.0, -1.0, 1.0, 2.0)
    weights: tuple[float, ...] = (1.0, -8.0, 8.0, -1.0)
    if 2.0 * (lowest - 2.0 * h) < -atoms:
        steps, weights = (0.0, 1.0, 2.0, 3.0, 4.0), (-25.0, 48.0, -36.0, 16.0, -3.0)
    found = [at(h * step) for step in steps]
    areas = sum(w * pair[0] for w, pair in zip(weights, found, strict=True))
    covariance = sum(w * pair[1] for w, pair in zip(weights, found, strict=True))
    return np.asarray(areas) / (12.0 * h), np.asarray(covariance) / (12.0 * h)


def _ascending(edges: Sequence[float] | Array, name: str) -> Array:
    """Finite, strictly ascending edges of at least one bin."""
    values = np.asarray(edges, dtype=np.float64)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"Argument `{name}` must list at least two edges, but is {edges!r}.")
    for value in values:
        finite(float(value), name)
    if not np.all(np.diff(values) > 0.0):
        raise ValueError(f"Argument `{name}` must be strictly monotonic, but is {edges!r}.")
    return values
