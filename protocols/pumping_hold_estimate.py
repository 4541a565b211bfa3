"""The estimate of a held pump in the units of the scan, and what windows at many pumps tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..estimators import (
    Calibrated,
    ChainValues,
    Estimate,
    HoldBeliefs,
    PumpingHold,
    Quantity,
    hold_bounds,
)
from .pumping_estimate import widened

Array = NDArray[np.float64]

_UNITS = {
    "critical_pump": "Hz",
    "collective_decay": "Hz",
    "half_rate": "1/s",
    "background_rate": "1/s",
}
_NEAR = 3.0
_LOGARITHMS = ("critical_pump", "half_rate", "collective_decay")
_ORDER = ("critical_pump", "half_rate", "background_rate", "collective_decay")
_NAMES = {"decay": "collective_decay", "background": "background_rate"}
_WHERE = (
    "where to look: the modulator of the pump (near its maximum it bends the curve), the "
    "detector's calibration for light without probe, whether the probe stays dark, the pump's RF "
    "switch through the whole window, and the atom number"
)


@dataclass(frozen=True, slots=True)
class HeldBeliefs(HoldBeliefs):
    """Beliefs of a held pump, and how steady it is.

    Attributes:
        pump_wander: Relative standard deviation of the pump's mean over the run: what its power
            wanders by, which no calibration knows and no counts tell.
    """

    pump_wander: float = 0.0


class HeldPump:
    """`PumpingHold` with gamma as "collective_decay" in Hz; it is that of its calibration.

    The critical pump's error includes the wandering of the pump.
    """

    def __init__(self, beliefs: HeldBeliefs) -> None:
        self._hold, self._wander = PumpingHold(beliefs), beliefs.pump_wander
        self._pumps: set[float] = set()

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> HeldPump:
        """With the beliefs that a run keeps."""
        known: dict[str, Any] = {
            name: Calibrated(**one) if isinstance(one, Mapping) else one
            for name, one in stored.items()
        }
        return cls(HeldBeliefs(**known))

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
        told["critical_pump"] = widened(told["critical_pump"], self._wander)
        scale = np.array([1 / (2 * math.pi) if name == "decay" else 1.0 for name in found.names])
        covariance = found.covariance * np.outer(scale, scale)
        first = found.names.index("critical_pump")
        covariance[first, first] += (self._wander * told["critical_pump"].value) ** 2
        flags = [*found.flags, _WHERE] if found.flags else []
        flags += self._far(told["critical_pump"].value)
        counts = told["half_rate"].value / told["collective_decay"].value
        return replace(
            found,
            quantities=told,
            names=tuple(_NAMES.get(name, name) for name in found.names),
            covariance=covariance,
            diagnostics={
                **found.diagnostics,
                "flags": flags,
                # photons in a correlation time of the atoms, 1/(2 gamma), from half of them
                "readout": "resolved" if counts > 4 * math.pi else "photon-poor",
            },
            assumptions=(
                *found.assumptions,
                "critical_pump: the pump's mean over the run wanders by a relative standard "
                f"deviation of {self._wander:.3g}",
            ),
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


def prior_information(beliefs: HoldBeliefs) -> Array:
    """(4, 4) of the calibrations on ln u_c, ln a, b and ln gamma."""
    known = (beliefs.critical_pump, beliefs.half_rate, beliefs.background, beliefs.decay)
    prior = np.zeros(4)
    for index, belief in enumerate(known):
        if belief is not None:
            spread = belief.std if index == 2 else belief.std / belief.value
            prior[index] = spread**-2
    return np.diag(prior)


def known_so_far(found: Estimate, beliefs: HeldBeliefs) -> Array:
    """(4, 4) information of a held pump's counts on ln u_c, ln a, b and ln gamma.

    Without the wandering of the pump: further counts do not make it less.
    """
    place = [found.names.index(name) for name in _ORDER]
    scale = np.array([found[name].value if name in _LOGARITHMS else 1.0 for name in _ORDER])
    covariance: Array = found.covariance[np.ix_(place, place)] / np.outer(scale, scale)
    covariance[0, 0] -= beliefs.pump_wander**2
    # Numbers at an end of their box have no variance: the calibrations' is all that is known.
    prior = np.diag(prior_information(beliefs))
    nothing = np.flatnonzero(np.diag(covariance) <= 0.0)
    covariance[nothing, nothing] = 1.0 / np.maximum(prior[nothing], 1.0)
    return np.asarray(np.linalg.inv(covariance), dtype=np.float64)


def windows_std(
    beliefs: HeldBeliefs, values: ChainValues, pumps: ArrayLike, window: float
) -> float:
    """Least std of the critical pump, Hz, from a window at each of the pumps.

    Args:
        beliefs: With the calibrations, counted once, and the wandering of the pump.
        values: True u_c (Hz), gamma (1/s), half rate and background (1/s).
        pumps: (windows,) Hz.
        window: In s.
    """
    prior = prior_information(beliefs)
    total: Array = prior.copy()
    for pump, windows in zip(*np.unique(np.asarray(pumps), return_counts=True), strict=True):
        one = hold_bounds(beliefs, values, [pump], [window])
        total += windows * (one.information - prior)
    counted = math.sqrt(float(np.linalg.inv(total)[0, 0]))
    return values.critical * math.hypot(counted, beliefs.pump_wander)


def _scaled(quantity: Quantity, factor: float) -> Quantity:
    low, high = quantity.interval
    return replace(
        quantity,
        value=factor * quantity.value,
        std=factor * quantity.std,
        interval=(factor * low, factor * high),
    )
