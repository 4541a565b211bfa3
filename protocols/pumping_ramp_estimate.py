"""The estimate of a pumping sweep in the units of the scan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..estimators import Calibrated, Estimate, Quantity
from ..estimators.pumping_ramps import PumpingRamps, ramp_information
from ..estimators.pumping_ramps_model import RampBeliefs, Stairs
from .pumping_estimate import contradiction, readout_regime, widened

_UNITS = {
    "critical_pump": "Hz",
    "collective_decay": "Hz",
    "gain": "counts/atom",
    "background": "counts",
    "hysteresis_width": "Hz",
    "midpoint": "Hz",
}
_NOTHING_SEEN = (
    "where to look: whether T0 starts the pump's table in every shot, the pump's RF switch opens "
    "for the ramp, the probe light opens with the counter's gate, the detector is at the "
    "counter's input, and the ramps reach the transition (the modulator of the pump)"
)
_BENT = (
    "where to look: the modulator of the pump (near its maximum it bends the ramp), the speed of "
    "the ramp (the table's entries and the timing box's delays), the atom number, and whether both "
    "directions begin settled"
)


@dataclass(frozen=True, slots=True)
class SweptBeliefs(RampBeliefs):
    """Beliefs of a sweep, and how well the pump is calibrated.

    Attributes:
        pump_relative_std: Relative standard deviation of the pump's calibration. No estimate uses
            it: where the knob's critical pump and the lag give two decay rates it tells whether
            they contradict each other.
    """

    pump_relative_std: float = 0.03


class SweptPump:
    """`PumpingRamps` with gamma as "collective_decay" in Hz: from the lag, not from the knob."""

    def __init__(self, beliefs: SweptBeliefs) -> None:
        self._ramps, self._pump = PumpingRamps(beliefs), beliefs.pump_relative_std

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> SweptPump:
        """With the beliefs that a run keeps."""
        known = dict(stored)
        for name in ("gain", "background"):
            known[name] = Calibrated(**known[name])
        for name in ("up", "down"):
            known[name] = tuple(known[name])
        return cls(SweptBeliefs(**known))

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block: "counts", "direction", "stairs", "status" of each shot."""
        self._ramps.update(records)

    def estimate(self, level: float = 0.95) -> Estimate:
        """All quantities from everything taken in so far."""
        return self._told(self._ramps.estimate(level))

    def quick(self) -> Estimate:
        """From the crossings of the half level alone."""
        return self._told(self._ramps.quick())

    def _told(self, found: Estimate) -> Estimate:
        quantities = {
            "collective_decay" if name == "decay" else name: _in_hertz(q) if name == "decay" else q
            for name, q in found.quantities.items()
        }
        told = {name: replace(q, unit=_UNITS[name]) for name, q in quantities.items()}
        flags = [*found.flags]
        if found.goodness_of_fit is not None and found.goodness_of_fit.p_value < 1e-4:
            flags.append(_BENT)
        if any("not determined" in flag or "does not pass" in flag for flag in found.flags):
            flags.append(_NOTHING_SEEN)
        elif found.goodness_of_fit is not None:
            flags += contradiction(
                "the critical pump by the pump's calibration",
                widened(told["critical_pump"], self._pump),
                "the decay rate that the lag tells",
                told["collective_decay"],
            )
        regime = readout_regime(self._ramps.beliefs.atoms, told["gain"], told["background"])
        names = tuple("collective_decay" if name == "decay" else name for name in found.names)
        scale = np.array([1 / (2 * math.pi) if name == "decay" else 1.0 for name in found.names])
        return replace(
            found,
            quantities=told,
            names=names,
            covariance=found.covariance * np.outer(scale, scale),
            diagnostics={**found.diagnostics, "flags": flags, **regime},
        )


def swept_std(
    beliefs: RampBeliefs, values: tuple[float, float, float, float], shots: Mapping[Stairs, int]
) -> float:
    """Least std of the critical pump, Hz: gamma free, gain and background as calibrated.

    Args:
        beliefs: Of the sweep.
        values: True u_c (Hz), gamma (1/s), gain and background.
        shots: At each place.
    """
    information = ramp_information(beliefs, values, shots)
    variance = float(np.linalg.inv(information)[0, 0])
    return values[0] * math.sqrt(variance)


def _in_hertz(quantity: Quantity) -> Quantity:
    low, high = quantity.interval
    turn = 2 * math.pi
    return replace(
        quantity,
        value=quantity.value / turn,
        std=quantity.std / turn,
        interval=(low / turn, high / turn),
    )
