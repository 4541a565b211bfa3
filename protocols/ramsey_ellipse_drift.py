"""Whether neighbouring shots share their common phase: then they are fewer than they seem.

With a common phase that drifts through all values from shot to shot, the law of a single shot is
that of a uniform phase, and the estimate stays right; but shots in a row resemble each other, and a
test that takes them for independent finds fault with a model that is right. The memory is measured
from the counts themselves, and the goodness of fit is judged by as many shots as are independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from ..estimators import EllipseBeliefs, Estimate, GoodnessOfFit, ScheduleBeliefs
from ..estimators.records import good_shots
from .ramsey_ellipse_widened import widened

Array = NDArray[np.float64]

FEWEST = 60
"""Shots below which no memory is looked for."""
SEEN = 5.0
"""Standard errors of the correlation of neighbours above which it is believed: by chance once in
3e6 runs."""
ENOUGH = 100
"""Independent common phases that make the law of a uniform one."""
LONGEST = 2000
"""Shots over which a memory is followed."""
POOR_FIT = 1e-4
FEWEST_IN_CELL = 5

SLOW = (
    "the common phase hardly moves: shots remember it for {memory:.0f} shots, so that the run saw "
    "about {phases:.0f} independent ones, and a uniform phase needs {enough} at least; the "
    "interval cannot be relied on; where to look: the phase noise of the drive; if it "
    "is narrow about a known value say so (common_phase = narrow), else take more shots, or fewer "
    "in a second"
)


@dataclass(frozen=True, slots=True)
class Memory:
    """How shots in a row depend on each other.

    Attributes:
        shots: In a row that have one common phase between them, 1 + 2 sum of correlations.
        excess: Factor on the variance of the numbers of shots in cells (Rao and Scott's).
        phases: Independent common phases of the run.
        lags: Shots over which neighbours resemble each other.
    """

    shots: float
    excess: float
    phases: float
    lags: int

    @property
    def unequal(self) -> float:
        """Mean square of the excess over its squared mean (Satterthwaite).

        Some combinations of cells vary by as much as the common phase does, the others by chance.
        """
        slow = (self.excess - 1) / max(self.shots - 1, 1e-9)
        return max(1.0, (slow * self.shots**2 + 1 - slow) / self.excess**2)


class CommonPhaseMemory:
    """Counts in the order in which they were taken, and how long they remember each other."""

    def __init__(self) -> None:
        self._blocks: list[tuple[Array, Array]] = []

    def take(self, records: Mapping[str, ArrayLike]) -> None:
        """Keep the good shots of a block."""
        counts = np.asarray(records["counts"], dtype=np.float64)
        good = good_shots(records, len(counts))
        setting = np.asarray(records.get("setting", 0.0), dtype=np.float64)
        self._blocks.append((counts[good], np.broadcast_to(setting, len(counts))[good]))

    def measured(self) -> Memory | None:
        """What the counts tell; None where neighbours know nothing of each other."""
        total = sum(len(counts) for counts, _ in self._blocks)
        if total < FEWEST:
            return None
        counts, setting = (np.concatenate(column) for column in zip(*self._blocks, strict=True))
        cells, share = _cells(counts, setting)
        for kind in np.unique(setting):
            own = setting == kind
            counts[own] -= counts[own].mean(axis=0)
        square = (counts**2).sum(axis=0)
        if not square.all():
            return None
        error = 1 / np.sqrt(2 * total)
        lags, phases, alike, different = 0, 1.0, 0.0, len(share) - len(np.unique(setting))
        for lag in range(1, min(total // 4, LONGEST)):
            correlation = float(np.mean((counts[lag:] * counts[:-lag]).sum(axis=0) / square))
            if correlation < (SEEN if lag == 1 else 1.0) * error:
                break
            lags, phases = lag, phases + 2 * correlation
            pairs = setting[lag:] == setting[:-lag]
            same = cells[lag:] == cells[:-lag]
            alike += float((same / share[cells[lag:]])[pairs].mean()) - 1 if pairs.any() else 0.0
        if phases == 1.0:
            return None
        return Memory(phases, max(1.0, 1.0 + 2 * alike / max(1, different)), total / phases, lags)

    def judged(
        self, found: Estimate, beliefs: EllipseBeliefs | ScheduleBeliefs | None = None
    ) -> Estimate:
        """The estimate with intervals and goodness of fit for such shots.

        Flagged where they are too few. Without `beliefs` the intervals stay as they are.
        """
        memory = self.measured()
        if memory is None:
            return found
        if beliefs is not None and found.diagnostics.get("converged", False):
            counts, setting = (np.concatenate(one) for one in zip(*self._blocks, strict=True))
            found = widened(found, beliefs, counts, setting, memory.lags)
        facts: dict[str, Any] = {**found.diagnostics, "common_phase_memory": memory.shots}
        flags, check = list(found.flags), found.goodness_of_fit
        if check is not None:
            scale = memory.excess * memory.unequal
            degrees = max(1, round(check.degrees_of_freedom / memory.unequal))
            statistic = check.statistic / scale
            p_value = float(chi2.sf(statistic, degrees))
            test = f"{check.test}; divided by {scale:.2f}, as shots in a row are alike"
            check = GoodnessOfFit(statistic, p_value, degrees, test)
            if p_value >= POOR_FIT:
                flags = [flag for flag in flags if "does not describe" not in flag]
        if memory.phases < ENOUGH:
            said = {"memory": memory.shots, "phases": memory.phases, "enough": ENOUGH}
            flags.append(SLOW.format(**said))
        return replace(found, goodness_of_fit=check, diagnostics={**facts, "flags": flags})


def _cells(counts: Array, setting: Array) -> tuple[NDArray[np.intp], Array]:
    """Cell of each shot, about those of the goodness of fit, and the share of its setting there."""
    bins = int(np.clip(round(1.2 * len(counts) ** 0.37), 4, 24))
    low, high = counts.min(axis=0), counts.max(axis=0)
    places = np.minimum((counts - low) / np.maximum(high - low, 1.0) * bins, bins - 1).astype(int)
    labels = setting * bins**2 + places[:, 0] * bins + places[:, 1]
    _, cells, number = np.unique(labels, return_inverse=True, return_counts=True)
    rare = number[cells] < FEWEST_IN_CELL
    labels = np.where(rare, -1.0 - setting, labels)
    _, first, cells, number = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    own = (setting[:, None] == setting[first]).sum(axis=0)
    return cells, number / own
