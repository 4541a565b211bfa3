"""The estimate of a held pump in the units of the scan, and its bound for many windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..estimators import Calibrated, Estimate, HoldBeliefs, PumpingHold, Quantity
from ..estimators.pumping_bounds import PumpingBounds

_UNITS = {
    "critical_pump": "Hz",
    "collective_decay": "Hz",
    "half_rate": "1/s",
    "background_rate": "1/s",
}
_NEAR = 3.0
_NAMES = {"decay": "collective_decay", "background": "background_rate"}
_WHERE = (
    "where to look: the detector's calibration for light without probe, whether the probe stays "
    "dark, the pump's RF switch through the whole window, and the atom number"
)


class HeldPump:
    """`PumpingHold` with gamma as "collective_decay" in Hz; it is that of its calibration."""

    def __init__(self, beliefs: HoldBeliefs) -> None:
        self._hold = PumpingHold(beliefs)
        self._pumps: set[float] = set()

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> HeldPump:
        """With the beliefs that a run keeps."""
        known: dict[str, Any] = {
            name: Calibrated(**one) if isinstance(one, Mapping) else one
            for name, one in stored.items()
        }
        return cls(HoldBeliefs(**known))

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block: "counts", "pump" in Hz, "window" in s, "status" of each shot."""
        wanted = {name: records[name] for name in ("counts", "pump", "status") if name in records}
        self._hold.update({**wanted, "time": records["window"]})
        self._pumps.update(np.unique(np.asarray(records["pump"], dtype=np.float64)).tolist())

    def estimate(self, level: float = 0.95) -> Estimate:
        """All quantities from everything taken in so far."""
        found = self._hold.estimate(level)
        told: dict[str, Quantity] = {}
        for name, quantity in found.quantities.items():
            scaled = _scaled(quantity, 1 / (2 * math.pi)) if name == "decay" else quantity
            called = _NAMES.get(name, name)
            told[called] = replace(scaled, unit=_UNITS[called])
        scale = np.array([1 / (2 * math.pi) if name == "decay" else 1.0 for name in found.names])
        flags = [*found.flags, _WHERE] if found.flags else []
        flags += self._far(told["critical_pump"].value)
        counts = told["half_rate"].value / told["collective_decay"].value
        return replace(
            found,
            quantities=told,
            names=tuple(_NAMES.get(name, name) for name in found.names),
            covariance=found.covariance * np.outer(scale, scale),
            diagnostics={
                **found.diagnostics,
                "flags": flags,
                # photons in a correlation time of the atoms, 1/(2 gamma), from half of them
                "readout": "resolved" if counts > 4 * math.pi else "photon-poor",
            },
        )

    def _far(self, critical: float) -> list[str]:
        """A warning where the pump never came near the critical point, |s| at most `_NEAR`."""
        atoms = self._hold.beliefs.atoms
        distances = [abs(0.5 * atoms * (pump / critical - 1.0)) for pump in self._pumps]
        if not distances or min(distances) <= _NEAR:
            return []
        return [
            f"the pump was never nearer to the critical point than {min(distances):.1f} widths; "
            "where to look: the pump's calibration (a modulator near its maximum), the believed "
            "decay rate, or a wider span"
        ]


def many_windows_std(
    one: PumpingBounds, beliefs: HoldBeliefs, critical: float, windows: int
) -> float:
    """Least std of the critical pump from many like windows, calibrations counted once.

    Args:
        one: The bound of one window.
        beliefs: With the calibrations.
        critical: The critical pump, Hz.
        windows: How many.
    """
    known = (beliefs.critical_pump, beliefs.half_rate, beliefs.background, beliefs.decay)
    prior = np.zeros(4)
    for index, belief in enumerate(known):
        if belief is not None:
            spread = belief.std if index == 2 else belief.std / belief.value
            prior[index] = spread**-2
    total = windows * (one.information - np.diag(prior)) + np.diag(prior)
    return critical * math.sqrt(float(np.linalg.inv(total)[0, 0]))


def _scaled(quantity: Quantity, factor: float) -> Quantity:
    low, high = quantity.interval
    return replace(
        quantity,
        value=factor * quantity.value,
        std=factor * quantity.std,
        interval=(factor * low, factor * high),
    )
