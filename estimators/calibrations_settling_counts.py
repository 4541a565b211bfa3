r"""Settling after a step, told by the counts of atoms that a weak pulse excites meanwhile.

On the steep side of the pulse's line the share of atoms up follows a small step of the detuning
in proportion, so that the mean count of the detectors is the reading of `calibrations_settling`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .calibrations_settling import SettlingCalibration
from .estimate import Estimate, Quantity
from .records import RecordError


@dataclass(frozen=True, slots=True)
class SettlingBeliefs:
    """What is taken for granted.

    Attributes:
        tolerance: share of the step that is left when it counts as settled.
    """

    tolerance: float = 1e-3

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> SettlingBeliefs:
        """Beliefs as JSON keeps them."""
        return cls(float(stored["tolerance"]))


class SettlingFromCounts:
    """Time constant of a step from counts at times around it.

    Args:
        beliefs: the tolerance.
    """

    def __init__(self, beliefs: SettlingBeliefs) -> None:
        self.beliefs = beliefs
        self._step = SettlingCalibration(beliefs.tolerance)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots, detectors), after_step (s), status.

        Raises:
            RecordError: on counts that are none.
        """
        counts = np.asarray(records.get("counts", ()), dtype=np.float64)
        if counts.ndim != 2 or not counts.size or counts.min() < 0.0:
            raise RecordError(
                "Column `counts` must hold counts (shots, detectors) from 0 on, but has shape "
                f"{counts.shape}."
            )
        names = {"after_step": "time"}
        rest = {names.get(name, name): one for name, one in records.items() if name != "counts"}
        self._step.update({**rest, "reading": counts.mean(axis=1)})

    def estimate(self, level: float = 0.95) -> Estimate:
        """settling_time from the step on and time_constant (s); delay (s), before, after (counts).

        Raises:
            RecordError: on no good shot.
        """
        found = self._step.estimate(level)
        tau = found["time_constant"]
        turns = math.log(1.0 / self.beliefs.tolerance)
        settled = Quantity(
            turns * tau.value,
            turns * tau.std,
            (turns * tau.interval[0], turns * tau.interval[1]),
            level,
            "s",
        )
        rest = {
            name: replace(one, unit="counts") if one.unit == "reading" else one
            for name, one in found.quantities.items()
            if name != "settled_after"
        }
        return replace(found, quantities={"settling_time": settled, **rest})
