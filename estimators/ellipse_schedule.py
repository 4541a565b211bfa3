"""One signal from ellipses at several bias phases, prepared and independent atoms alike.

All settings share the signal, the detector, the pulse and the knobs that write the bias phases.
Two different bias phases measure the knobs: the error of the coil, which is most of the error of a
signal with one bias, becomes small. Prepared and independent atoms in turn measure what the
preparation gains, with the same detector and at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm

from .ellipse_posterior import beyond_all_atoms, too_quiet
from .ellipse_starts import fold
from .estimate import Estimate, GoodnessOfFit, Quantity
from .fringe_check import NO_FRINGE, without_fringe
from .likelihood_table import LARGEST_SPIN, TableLikelihood
from .records import RecordError, good_shots, read_column, read_counts
from .schedule_beliefs import SHARED, BiasSetting, ScheduleBeliefs
from .schedule_bounds import preparation_gain, table_of
from .schedule_check import FEWEST_SHOTS, check_schedule
from .schedule_posterior import SchedulePosterior, SettingShots
from .schedule_search import search_schedule
from .scoring import Optimum, maximise, profile_limit

Array = NDArray[np.float64]

_FEWEST_OF_SETTING = 10  # shots whose variance is looked at
_QUICK_STEPS = 4
_POOR_FIT = 1e-4
_MOST_OUTLIERS = 0.2
_UNITS = {"pulse_area": "rad", "gain": "counts/atom", "background": "counts"}


class EllipseSchedule:
    """Maximum-likelihood estimator of the signal; nuisances and knobs free within their beliefs.

    Args:
        beliefs: what is shared, and the settings that records name.

    Raises:
        ValueError: for a spin beyond that of an exact table.
    """

    def __init__(self, beliefs: ScheduleBeliefs) -> None:
        if beliefs.spin > LARGEST_SPIN:
            raise ValueError(
                f"Argument `beliefs.spin` must not exceed {LARGEST_SPIN:g} for exact tables, but "
                f"is {beliefs.spin:g}; measure with one bias phase (EllipsePhase)."
            )
        self._beliefs = beliefs
        self._tables: dict[bool, TableLikelihood] = {}
        self._blocks: list[tuple[Array, NDArray[np.int64]]] = []
        self._rejected = 0
        self._latest: Array | None = None

    @property
    def beliefs(self) -> ScheduleBeliefs:
        """What was believed before the first shot."""
        return self._beliefs

    @property
    def shots(self) -> int:
        """Shots used so far."""
        return sum(len(counts) for counts, _ in self._blocks)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block.

        Args:
            records: "counts" (shots, 2); "setting" (shots,), the index of the setting, 0 where
                missing; "status" (shots,), optional. Other columns are ignored.

        Raises:
            RecordError: on wrong shapes, or a setting that there is not.
        """
        counts, rejected = read_counts(records)
        total = len(counts) + rejected
        good = good_shots(records, total)
        last = len(self._beliefs.settings) - 1
        setting = np.zeros(total)
        setting[good] = read_column(
            records, "setting", (total,), good, lowest=0, highest=last, default=0.0
        )
        if (setting != np.floor(setting)).any():
            raise RecordError("Column `setting` must hold the whole numbers that name settings.")
        self._rejected += rejected
        if len(counts):
            self._blocks.append((counts, setting[good].astype(np.int64)))

    def quick(self, level: float = 0.95) -> Estimate:
        """A running estimate: scoring from the last one, interval by curvature, no check."""
        return self._estimate(level, full=False)

    def estimate(self, level: float = 0.95) -> Estimate:
        """The signal with its profile-likelihood interval at `level`."""
        return self._estimate(level, full=True)

    def _estimate(self, level: float, *, full: bool) -> Estimate:
        if not 0.0 < level < 1.0:
            raise ValueError(f"Argument `level` must lie in (0, 1), but is {level!r}.")
        posterior = SchedulePosterior(self._beliefs, self._parts())
        prepared = [part for part in posterior.parts if part.setting.prepared]
        if posterior.shots < FEWEST_SHOTS or not prepared:
            reason = f"{posterior.shots} usable shots, at least {FEWEST_SHOTS} are needed"
            return self._undetermined(reason, level)
        for part in posterior.parts:
            reason = too_quiet(part.counts) if len(part.counts) >= _FEWEST_OF_SETTING else ""
            if reason:
                return self._undetermined(reason, level)
        if full or self._latest is None:
            optimum = search_schedule(posterior)
        else:
            optimum = maximise(posterior, self._latest, iterations=_QUICK_STEPS)
        self._latest = optimum.point.x
        std = math.sqrt(max(float(optimum.covariance[0, 0]), 0.0))
        reach = float(norm.ppf(0.5 + 0.5 * level)) * std
        value = float(optimum.point.x[0])
        low, high = value - reach, value + reach
        check: GoodnessOfFit | None = None
        if full:
            drop = 0.5 * float(chi2.ppf(level, 1))
            low, high = (profile_limit(posterior, optimum, 0, s, drop)[0] for s in (-1, +1))
            check = check_schedule(posterior, optimum)
        ends = self._beliefs.signal_range
        interval = (max(min(low, value), ends[0]), min(max(high, value), ends[1]))
        signal = Quantity(value, std, interval, level, "rad")
        return self._report(posterior, optimum, signal, check)

    def _parts(self) -> list[SettingShots]:
        """Shots by setting, sorted: no answer depends on their order."""
        if not self._blocks:
            return []
        counts, setting = (np.concatenate(column) for column in zip(*self._blocks, strict=True))
        self._blocks = [(counts, setting)]
        parts = []
        for index in np.unique(setting).tolist():
            own = counts[setting == index]
            one = self._beliefs.settings[index]
            own = own[np.lexsort((own[:, 1], own[:, 0]))]
            parts.append(SettingShots(one, self._table(one.prepared), own))
        return parts

    def _table(self, prepared: bool) -> TableLikelihood:
        if prepared not in self._tables:
            self._tables[prepared] = table_of(self._beliefs, prepared)
        return self._tables[prepared]

    def _report(
        self,
        posterior: SchedulePosterior,
        optimum: Optimum,
        signal: Quantity,
        check: GoodnessOfFit | None,
    ) -> Estimate:
        x, covariance = optimum.point.x, optimum.covariance
        outliers = float(x[-1])
        if outliers > _MOST_OUTLIERS:
            return self._undetermined(
                f"{outliers:.0%} of the shots do not fit the model at any signal", signal.level
            )
        b, counts = self._beliefs.shared, np.concatenate([part.counts for part in posterior.parts])
        seen = (b.atoms, b.gain, b.background)
        if without_fringe(counts, seen, optimum.point.value, exact=True):
            return self._undetermined(NO_FRINGE, signal.level)
        poor = check is not None and check.p_value < _POOR_FIT
        if poor and not optimum.free[0]:
            return self._undetermined(
                "the model does not describe the counts and the fit ran to the end of the range "
                "that the signal was given",
                signal.level,
            )
        most = max(
            (part for part in posterior.parts if part.setting.prepared),
            key=lambda part: len(part.counts),
        )
        quantities = {"signal": signal}
        quantities["phase"] = _phase(posterior, most.setting, x, covariance, signal.level)
        quantities |= _shared(posterior, x, covariance, signal.level)
        gain = preparation_gain(posterior, optimum, signal.level)
        if gain is not None:
            quantities["preparation_gain"] = gain
        flags = []
        if not optimum.converged:
            flags.append("the fit did not converge")
        if signal.interval[0] <= posterior.lower[0] or signal.interval[1] >= posterior.upper[0]:
            flags.append("the signal lies at the end of the range that it was given")
        flags += beyond_all_atoms(self._beliefs.shared, counts)
        if check is not None and poor:
            flags.append(
                f"the model does not describe the counts (p = {check.p_value:.1e}); "
                "the interval cannot be relied on"
            )
        return Estimate(
            estimator=f"ellipse_schedule ({', '.join(_names(posterior))})",
            shots=posterior.shots,
            quantities=quantities,
            names=("signal",),
            covariance=np.array([[signal.std**2]]),
            goodness_of_fit=check,
            diagnostics={
                "flags": flags,
                "log_likelihood": optimum.point.value,
                "outlier_fraction": outliers,
                "converged": optimum.converged,
                "settings_used": len(posterior.parts),
                "rejected_shots": self._rejected,
                "interval": "curvature" if check is None else "profile likelihood",
            },
            assumptions=self._assumptions(),
            identifiable=self._beliefs.signal_range,
        )

    def _undetermined(self, reason: str, level: float) -> Estimate:
        low, high = self._beliefs.signal_range
        std = (high - low) / math.sqrt(12.0)
        whole = Quantity(0.5 * (low + high), std, (low, high), level, "rad")
        quarter = math.pi / 4
        phase = Quantity(quarter, quarter, (0.0, 2 * quarter), level, "rad")
        posterior = SchedulePosterior(self._beliefs, [])
        x = posterior.start(whole.value)
        covariance = np.diag([std**2, *np.ones(x.size - 2), 0.0])
        return Estimate(
            estimator="ellipse_schedule",
            shots=self.shots,
            quantities={
                "signal": whole,
                "phase": phase,
                **_shared(posterior, x, covariance, level),
            },
            names=("signal",),
            covariance=np.array([[std**2]]),
            goodness_of_fit=None,
            diagnostics={
                "flags": [f"the signal is not determined: {reason}"],
                "converged": False,
                "rejected_shots": self._rejected,
            },
            assumptions=self._assumptions(),
            identifiable=(low, high),
        )

    def _assumptions(self) -> tuple[str, ...]:
        low, high = self._beliefs.signal_range
        narrow = self._beliefs.common_phase
        common = "uniform"
        if narrow is not None:
            common = f"normal ({narrow.mean:.4g} +- {narrow.std:.4g} rad, known)"
        return (
            f"model: exact tables of the prepared pair and of independent atoms, {common} common "
            "phase; Poisson counts gain*n + background in each port",
            "one signal, one detector, one pulse area and one pair of knobs for all bias phases, "
            "free within their calibrations",
            f"signal within [{low:.6g}, {high:.6g}] rad",
            "stray shots uniform over the range of counts, their weight free",
        )


def _phase(
    posterior: SchedulePosterior, setting: BiasSetting, x: Array, covariance: Array, level: float
) -> Quantity:
    """Differential phase of one setting, folded into [0, pi/2]."""
    row = posterior.phase_row(setting)
    std = math.sqrt(max(float(row @ covariance @ row), 0.0))
    value, reach = fold(posterior.phase(x, setting)), float(norm.ppf(0.5 + 0.5 * level)) * std
    return Quantity(
        value, std, (max(0.0, value - reach), min(0.5 * math.pi, value + reach)), level, "rad"
    )


def _shared(
    posterior: SchedulePosterior, x: Array, covariance: Array, level: float
) -> dict[str, Quantity]:
    """Nuisances, and the knobs' values over their calibrations."""
    turn = posterior.directions
    moved = turn @ x[1:-1]
    values = np.concatenate([np.exp(posterior.nuisances(x)[:3]), posterior.nuisances(x)[3:]])
    values = np.concatenate([values, np.exp(moved[4:])])
    variances = np.einsum("ij,jk,ik->i", turn, covariance[1:-1, 1:-1], turn)
    reach = float(norm.ppf(0.5 + 0.5 * level))
    found = {}
    for name, value, variance in zip(SHARED, values.tolist(), variances.tolist(), strict=True):
        std = math.sqrt(max(variance, 0.0)) * (1.0 if name == "background" else value)
        ends = (max(0.0, value - reach * std), value + reach * std)
        label = f"{name}_scale" if name in SHARED[4:] else name
        found[label] = Quantity(value, std, ends, level, _UNITS.get(name, ""))
    return found


def _names(posterior: SchedulePosterior) -> list[str]:
    return sorted({part.likelihood.name for part in posterior.parts})
