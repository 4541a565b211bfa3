"""The estimate of a pumping scan: the critical pump, and the decay rate that it stands for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from ..estimators import Calibrated, Estimate, PumpingSnapshots, Quantity, SnapshotBeliefs

_NOTHING_SEEN = (
    "where to look: whether T0 starts the pump's table in every shot, the pump's RF switch opens "
    "for the hold, the probe light opens with the counter's gate, and the grid reaches the "
    "transition"
)
_BENT = (
    "where to look: the pump's calibration (near its maximum a modulator bends the curve), the "
    "atom number, the hold, and the detector's calibration"
)
_UNITS = {"critical_pump": "Hz", "gain": "counts/atom", "background": "counts", "atoms": "atoms"}


@dataclass(frozen=True, slots=True)
class ScanBeliefs:
    """What is known before a pumping scan.

    Attributes:
        counts: Atoms, gain and background.
        pump_relative_std: Relative standard deviation of the pump's calibration at the critical
            pump: how well the rate on the knob's scale is the true rate.
    """

    counts: SnapshotBeliefs
    pump_relative_std: float

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ScanBeliefs:
        """Beliefs as a run keeps them."""
        counts = dict(stored["counts"])
        for name in ("critical_pump", "gain", "background"):
            if counts.get(name) is not None:
                counts[name] = Calibrated(**counts[name])
        return cls(SnapshotBeliefs(**counts), float(stored["pump_relative_std"]))


class CriticalPump:
    """`PumpingSnapshots` in the units of the scan, and with the decay rate gamma.

    "critical_pump" is the setting of the knob at which pumping balances decay; its error is that
    of the counts. "collective_decay" is gamma/2pi: the same number, for there w = gamma, with the
    uncertainty of the pump's calibration.
    """

    def __init__(self, beliefs: ScanBeliefs) -> None:
        self._beliefs = beliefs
        self._snapshots = PumpingSnapshots(beliefs.counts)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block: "counts" (shots, 1), "pump" (shots,) in Hz, "status" (shots,)."""
        self._snapshots.update(records)

    def estimate(self, level: float = 0.95) -> Estimate:
        """All quantities from everything taken in so far."""
        found = self._snapshots.estimate(level)
        fitted = {
            name: replace(quantity, unit=_UNITS.get(name, quantity.unit))
            for name, quantity in found.quantities.items()
        }
        critical = fitted.pop("critical_pump")
        decay = _widened(critical, self._beliefs.pump_relative_std)
        return replace(
            found,
            quantities={"critical_pump": critical, "collective_decay": decay, **fitted},
            diagnostics={**found.diagnostics, "flags": [*found.flags, *_advice(found)]},
            assumptions=(
                *found.assumptions,
                "collective_decay: the pump's calibration is off by a relative standard deviation "
                f"of {self._beliefs.pump_relative_std:.3g}",
            ),
        )


def _advice(found: Estimate) -> list[str]:
    """Where to look in the laboratory when the counts are not what the model gives."""
    if not found.flags:
        return []
    return [_NOTHING_SEEN if found.goodness_of_fit is None else _BENT]


def _widened(quantity: Quantity, relative_std: float) -> Quantity:
    """The quantity with an independent relative error added, each side of its interval alone."""
    from scipy.special import ndtri

    low, high = quantity.interval
    other = float(ndtri(0.5 + 0.5 * quantity.level)) * relative_std * quantity.value
    return Quantity(
        quantity.value,
        math.hypot(quantity.std, relative_std * quantity.value),
        (
            max(0.0, quantity.value - math.hypot(quantity.value - low, other)),
            quantity.value + math.hypot(high - quantity.value, other),
        ),
        quantity.level,
        quantity.unit,
    )
