"""Differential phase of two ensembles whose common phase is new in every shot.

The facade: shots go in block by block, the estimate may be asked for at any time and does
not depend on how the shots were divided. Only phi in [0, pi/2] can be told from the counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm

from .ellipse_beliefs import NUISANCE_UNITS, NUISANCES, EllipseBeliefs
from .ellipse_choice import choose_likelihood
from .ellipse_posterior import (
    FOLD_MARGIN,
    EllipsePosterior,
    beyond_all_atoms,
    phase_of,
    too_quiet,
)
from .ellipse_search import Search, search
from .estimate import Estimate, GoodnessOfFit, Quantity
from .fit_check import check_fit
from .fringe_check import NO_FRINGE, without_fringe
from .gaussian_ring import fringe_parameter
from .records import read_counts
from .rotor_mixture import MOST_SHOTS
from .scoring import Optimum, inverse_on, maximise, profile_limit

Array = NDArray[np.float64]

IDENTIFIABLE = (0.0, math.pi / 2.0)
FEWEST_SHOTS = 10
_FEW_SHOTS = 30  # below it intervals cover a little less than they say
_FOLD_STANDARD_DEVIATIONS = 6.0
_MOST_OUTLIERS = 0.2
_POOR_FIT = 1e-4
_MODELS = {
    "exact_table": "exact outcome probabilities of the steady state",
    "gaussian_ring": "Gaussian atom numbers at each common phase",
    "rotor_mixture": f"rotor of mean J, Gaussian at each n_z (to {MOST_SHOTS} shots)",
}


class EllipsePhase:
    """Phase of an ellipse by the full likelihood of the raw counts, nuisances free.

    Args:
        beliefs: the state, pulse, gain and background as calibrated, with covariance.
        method: "auto" takes the Gaussian ring for q' <= 0.2, else the exact table, else the
            rotor mixture; or the name of one of them.

    Raises:
        EstimatorRangeError: when none applies.
        ValueError: on an unknown method.
    """

    def __init__(self, beliefs: EllipseBeliefs, method: str = "auto") -> None:
        self._beliefs = beliefs
        self._fringes = fringe_parameter(beliefs)
        self._likelihood = choose_likelihood(beliefs, method)
        self._blocks: list[Array] = []
        self._rejected = 0
        self._latest: Array | None = None

    @property
    def beliefs(self) -> EllipseBeliefs:
        """What was believed before the first shot."""
        return self._beliefs

    @property
    def method(self) -> str:
        """The measurement model in use: "exact_table", "gaussian_ring", "rotor_mixture"."""
        return self._likelihood.name

    @property
    def shots(self) -> int:
        """Shots used so far."""
        return sum(len(block) for block in self._blocks)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of shots.

        Args:
            records: "counts", (shots, 2) whole numbers; "status" (shots,), optional, of
                which only shots with 1 are used. Other columns are ignored.

        Raises:
            RecordError: on a missing column, a wrong shape, or counts that are not whole
                numbers >= 0 in a shot that is to be used. Nothing of the block is kept.
        """
        counts, rejected = read_counts(records)
        self._rejected += rejected
        if len(counts):
            self._blocks.append(counts)

    def estimate(self, level: float = 0.95) -> Estimate:
        """The phase with its profile-likelihood interval at `level`, cut at the folds."""
        _check_level(level)
        counts = self._counts()
        reason = _refusal(counts)
        if reason:
            return self._undetermined(reason, level)
        posterior = EllipsePosterior(self._likelihood, self._beliefs, counts)
        found = search(posterior, self._likelihood, self._beliefs, counts)
        optimum, limits = _interval(posterior, found.optimum, level)
        check = check_fit(self._likelihood, posterior, self._beliefs, counts, optimum)
        self._latest = optimum.point.x
        return self._report(posterior, optimum, limits, check, level, _search_facts(found))

    def quick(self, level: float = 0.95) -> Estimate:
        """A running estimate: scoring from the last one, interval by curvature, no check.

        It agrees with `estimate` to a small part of a standard deviation except where the
        curvature misleads (few shots, near a fold).
        """
        _check_level(level)
        counts = self._counts()
        reason = _refusal(counts)
        if reason:
            return self._undetermined(reason, level)
        posterior = EllipsePosterior(self._likelihood, self._beliefs, counts)
        if self._latest is None:
            found = search(posterior, self._likelihood, self._beliefs, counts)
            optimum = found.optimum
        else:
            optimum = maximise(posterior, self._latest, iterations=12)
        self._latest = optimum.point.x
        phase, std = phase_and_std(optimum)
        reach = float(norm.ppf(0.5 + 0.5 * level)) * std
        limits = (max(phase - reach, 0.0), min(phase + reach, math.pi / 2.0))
        return self._report(posterior, optimum, limits, None, level, {"interval": "curvature"})

    def _counts(self) -> Array:
        """All shots, sorted: they are exchangeable, and so no answer depends on their order."""
        if not self._blocks:
            return np.zeros((0, 2))
        shots = np.concatenate(self._blocks)
        self._blocks = [shots[np.lexsort((shots[:, 1], shots[:, 0]))]]
        return self._blocks[0]

    def _report(
        self,
        posterior: EllipsePosterior,
        optimum: Optimum,
        limits: tuple[float, float],
        check: GoodnessOfFit | None,
        level: float,
        facts: dict[str, Any],
    ) -> Estimate:
        x = optimum.point.x
        outliers = float(x[-1])
        flags = []
        if outliers > _MOST_OUTLIERS:
            return self._undetermined(
                f"{outliers:.0%} of the shots do not fit the model at any phase", level
            )
        b = self._beliefs
        seen, exact = (b.atoms, b.gain, b.background), self._likelihood.resolves_atoms
        if without_fringe(self._counts(), seen, optimum.point.value, exact=exact):
            return self._undetermined(NO_FRINGE, level)
        phase, std = phase_and_std(optimum)
        low, high = min(limits[0], phase), max(limits[1], phase)
        near = low <= 2.0 * FOLD_MARGIN or high >= math.pi / 2.0 - 2.0 * FOLD_MARGIN
        if near:
            flags.append("the interval reaches a fold: the sign of the signal is not determined")
        poor = check is not None and check.p_value < _POOR_FIT
        if poor and near:
            return self._undetermined(
                "the model does not describe the counts and the fit ran to a fold", level
            )
        if self.method == "rotor_mixture" and self.shots > MOST_SHOTS:
            flags.append(f"the rotor mixture is biased beyond {MOST_SHOTS} shots")
        flags += beyond_all_atoms(self._beliefs, self._counts())
        if self.shots < _FEW_SHOTS:
            flags.append(f"only {self.shots} shots: the interval is approximate")
        if not optimum.converged:
            flags.append("the fit did not converge")
        if check is not None and poor:
            flags.append(
                f"the model does not describe the counts (p = {check.p_value:.1e}); "
                "the interval cannot be relied on"
            )
        quantities = {"phase": Quantity(phase, std, (low, high), level, "rad")}
        quantities["signal"] = _signal(quantities["phase"], self._beliefs)
        covariance = _natural_covariance(posterior, optimum, std)
        quantities |= _nuisances(posterior, x, covariance, level)
        diagnostics = {
            "flags": flags,
            "method": self.method,
            "log_likelihood": optimum.point.value,
            "outlier_fraction": outliers,
            "fringe_parameter": self._fringes,
            "near_fold": near,
            "converged": optimum.converged,
            "rejected_shots": self._rejected,
            **facts,
        }
        return Estimate(
            estimator=f"ellipse_phase ({self.method})",
            shots=self.shots,
            quantities=quantities,
            names=("phase", *NUISANCES),
            covariance=covariance,
            goodness_of_fit=check,
            diagnostics=diagnostics,
            assumptions=self._assumptions(),
            identifiable=IDENTIFIABLE,
        )

    def _undetermined(self, reason: str, level: float) -> Estimate:
        """The whole identifiable range as interval, with the reason."""
        std = (IDENTIFIABLE[1] - IDENTIFIABLE[0]) / math.sqrt(12.0)
        phase = Quantity(0.5 * sum(IDENTIFIABLE), std, IDENTIFIABLE, level, "rad")
        quantities = {"phase": phase, "signal": _signal(phase, self._beliefs)}
        directions = self._beliefs.directions
        values = _natural_values(self._beliefs.centre)
        slopes = np.append(values[:3], 1.0)
        covariance = np.zeros((5, 5))
        covariance[0, 0] = std**2
        covariance[1:, 1:] = np.outer(slopes, slopes) * (directions @ directions.T)
        quantities |= _nuisance_quantities(self._beliefs.centre, covariance, level)
        return Estimate(
            estimator=f"ellipse_phase ({self.method})",
            shots=self.shots,
            quantities=quantities,
            names=("phase", *NUISANCES),
            covariance=covariance,
            goodness_of_fit=None,
            diagnostics={
                "flags": [f"the phase is not determined: {reason}"],
                "method": self.method,
                "converged": False,
                "rejected_shots": self._rejected,
            },
            assumptions=self._assumptions(),
            identifiable=IDENTIFIABLE,
        )

    def _assumptions(self) -> tuple[str, ...]:
        b = self._beliefs
        noise = np.sqrt(np.diag(np.asarray(b.covariance)))
        return (
            f"model: {_MODELS[self.method]}, uniform common phase; "
            "Poisson counts gain*n + background in each port",
            f"spin {b.spin:g} per ensemble, known",
            f"detuning ratio {abs(b.detuning_ratio):.6g} (+- {noise[0]:.2%}), pulse area "
            f"{b.pulse_area:.6g} rad (+- {noise[1]:.2%}), gain {b.gain:.6g} counts/atom "
            f"(+- {noise[2]:.2%}), background {b.background:.6g} (+- {noise[3]:.2g}) counts: "
            "free within their calibrations",
            "stray shots uniform over the range of counts, their weight free",
            f"phase in [0, pi/2] only, without sign; bias {b.bias_phase:.6g} "
            f"(+- {b.bias_std:.2g}) rad subtracted for the signal",
        )


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"Argument `level` must lie in (0, 1), but is {level!r}.")


def _refusal(counts: Array) -> str:
    """Why these counts determine no phase; "" when they may."""
    if len(counts) < FEWEST_SHOTS:
        return f"{len(counts)} usable shots, at least {FEWEST_SHOTS} are needed"
    return too_quiet(counts)


def _interval(
    posterior: EllipsePosterior, optimum: Optimum, level: float
) -> tuple[Optimum, tuple[float, float]]:
    """Profile limits in phi; started again where the profile leads to a higher maximum."""
    drop = 0.5 * float(chi2.ppf(level, 1))
    limits = (0.0, math.pi / 2.0)
    for _ in range(3):
        ends, best = [], optimum.point
        for side in (+1, -1):
            cosine, folded, seen = profile_limit(posterior, optimum, 0, side, drop)
            fold = 0.0 if side > 0 else math.pi / 2.0
            ends.append(fold if folded else phase_of(cosine))
            if seen.value > best.value:
                best = seen
        limits = (ends[0], ends[1])
        if best.value < optimum.point.value + 1e-3:
            break
        optimum = maximise(posterior, best.x)
    return optimum, limits


def phase_and_std(optimum: Optimum) -> tuple[float, float]:
    """Point value and its std: the maximum, or near a fold the mean of the posterior.

    Near a fold the likelihood is regular in cos 2phi, where Jeffreys' prior is flat; the
    maximum may sit on the fold itself, the mean of the truncated posterior never does.
    """
    x = optimum.point.x
    free = optimum.free.copy()
    free[0] = True
    covariance = inverse_on(optimum.point.information, free)
    spread = min(math.sqrt(float(covariance[0, 0])), 10.0)
    centre = float(x[0])
    if not optimum.free[0]:
        centre += float(np.clip((covariance @ optimum.point.gradient)[0], -5 * spread, 5 * spread))
    if 1.0 - abs(centre) > _FOLD_STANDARD_DEVIATIONS * spread:
        phase = phase_of(centre)
        return phase, spread / (2.0 * math.sin(2.0 * phase))
    low = max(-1.0, min(1.0, centre) - 8.0 * spread)
    high = min(1.0, max(-1.0, centre) + 8.0 * spread)
    cosines = low + (high - low) * (np.arange(4000) + 0.5) / 4000
    log_weight = -0.5 * ((cosines - centre) / spread) ** 2
    weight = np.exp(log_weight - log_weight.max())
    phases = 0.5 * np.arccos(cosines)
    mean = float(weight @ phases / weight.sum())
    return mean, math.sqrt(float(weight @ (phases - mean) ** 2 / weight.sum()))


def _signal(phase: Quantity, beliefs: EllipseBeliefs) -> Quantity:
    """The phase less the bias, widened by the bias's own uncertainty."""
    bias, extra = beliefs.bias_phase, beliefs.bias_std
    reach = float(norm.ppf(0.5 + 0.5 * phase.level)) * extra
    value = phase.value - bias
    low = value - math.hypot(phase.value - phase.interval[0], reach)
    high = value + math.hypot(phase.interval[1] - phase.value, reach)
    return Quantity(value, math.hypot(phase.std, extra), (low, high), phase.level, "rad")


def _natural_values(nuisances: Array) -> Array:
    return np.append(np.exp(nuisances[:3]), max(float(nuisances[3]), 0.0))


def _natural_covariance(posterior: EllipsePosterior, optimum: Optimum, std: float) -> Array:
    """(5, 5) of phase, ratio, pulse area, gain, background, in their units."""
    x = optimum.point.x
    covariance = optimum.covariance[:-1, :-1]
    values = _natural_values(posterior.nuisances(x))
    turn = np.zeros((5, x.size - 1))
    turn[0, 0] = -0.5 / math.sin(2.0 * phase_of(x[0]))
    turn[1:, 1:] = np.append(values[:3], 1.0)[:, None] * posterior.directions
    natural = turn @ covariance @ turn.T
    scale = np.ones(5)
    scale[0] = std / math.sqrt(natural[0, 0]) if natural[0, 0] > 0.0 else 0.0
    natural = natural * np.outer(scale, scale)
    natural[0, 0] = std**2
    return natural


def _nuisances(
    posterior: EllipsePosterior, x: Array, covariance: Array, level: float
) -> dict[str, Quantity]:
    return _nuisance_quantities(posterior.nuisances(x), covariance, level)


def _nuisance_quantities(nuisances: Array, covariance: Array, level: float) -> dict[str, Quantity]:
    values = _natural_values(nuisances)
    reach = float(norm.ppf(0.5 + 0.5 * level))
    quantities = {}
    for index, (name, unit) in enumerate(zip(NUISANCES, NUISANCE_UNITS, strict=True)):
        value, std = float(values[index]), math.sqrt(float(covariance[index + 1, index + 1]))
        if name == "background":
            interval = (max(value - reach * std, 0.0), value + reach * std)
        else:
            factor = math.exp(reach * std / value)
            interval = (value / factor, value * factor)
        quantities[name] = Quantity(value, std, interval, level, unit)
    return quantities


def _search_facts(found: Search) -> dict[str, Any]:
    return {
        "interval": "profile likelihood",
        "starts": found.starts,
        "evaluations": found.evaluations,
        "geometric_start": found.geometric.phase,
        "geometric_start_flag": found.geometric.flag,
    }
