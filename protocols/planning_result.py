"""What a plan says: set-points beside their limits, time, shots and precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..instruments.roles.base import Limits


@dataclass(frozen=True, slots=True)
class Reach:
    """How far one parameter is used, beside its limits.

    Attributes:
        role, parameter, unit: Which.
        lowest, highest: The extreme values that the protocol sets.
        limits: Smallest and largest value allowed; None where the files give none.
    """

    role: str
    parameter: str
    unit: str
    lowest: float
    highest: float
    limits: Limits | None

    @property
    def ok(self) -> bool:
        """Whether all of it lies within the limits."""
        if self.limits is None:
            return True
        low, high = self.limits
        slack = 1e-9 * max(abs(low), abs(high))
        return low - slack <= self.lowest and self.highest <= high + slack


@dataclass(frozen=True, slots=True)
class Prediction:
    """How well the protocol will measure its first quantity, if all is as supposed.

    Attributes:
        quantity, unit: Which.
        supposed: Its value, for which the rest holds.
        std: Predicted standard deviation.
        cramer_rao_std: Least standard deviation, nuisances free within their calibrations.
        standard_quantum_limit_std: Of as many independent atoms.
    """

    quantity: str
    unit: str
    supposed: float
    std: float
    cramer_rao_std: float
    standard_quantum_limit_std: float

    @property
    def gain_db(self) -> float:
        """20 log10 of the standard quantum limit over the predicted standard deviation."""
        return 20 * math.log10(self.standard_quantum_limit_std / self.std)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The best of the settings that were tried, for the same number of shots.

    Attributes:
        settings: Those that were varied, by name.
        std: Predicted standard deviation there.
        tried: Combinations that were possible.
    """

    settings: Mapping[str, float]
    std: float
    tried: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes:
        protocol: Its name.
        settings: All of them.
        station: Path of the station file.
        reaches: Every parameter that is set, and the amplitude of every tone.
        problems: What the station cannot do, in words; empty when the protocol can be run.
        shots: Good shots of a complete run.
        blocks: Blocks in which they are taken.
        sequences: Different sequences among them.
        duration: Time in the laboratory, s, uploads and repeated shots left out.
        prediction: None where the protocol does not say what it expects.
        best: None where it has nothing to tune, or where that was not asked for.
        remarks: What the prediction rests on.
    """

    protocol: str
    settings: Mapping[str, Any]
    station: str
    reaches: tuple[Reach, ...]
    problems: tuple[str, ...]
    shots: int
    blocks: int
    sequences: int
    duration: float
    prediction: Prediction | None = None
    best: OperatingPoint | None = None
    remarks: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether the station can do all of it."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """The stable JSON form."""
        known = self.prediction
        return {
            "protocol": self.protocol,
            "settings": dict(self.settings),
            "station": self.station,
            "ok": self.ok,
            "problems": list(self.problems),
            "limits": [
                {
                    "role": one.role,
                    "parameter": one.parameter,
                    "unit": one.unit,
                    "used": [one.lowest, one.highest],
                    "limits": None if one.limits is None else list(one.limits),
                    "ok": one.ok,
                }
                for one in self.reaches
            ],
            "shots": self.shots,
            "blocks": self.blocks,
            "sequences": self.sequences,
            "duration": self.duration,
            "prediction": None
            if known is None
            else {
                "quantity": known.quantity,
                "unit": known.unit,
                "supposed": known.supposed,
                "std": known.std,
                "cramer_rao_std": known.cramer_rao_std,
                "standard_quantum_limit_std": known.standard_quantum_limit_std,
                "gain_db": known.gain_db,
            },
            "best": None
            if self.best is None
            else {"settings": dict(self.best.settings), "std": self.best.std},
            "remarks": list(self.remarks),
        }
