"""The estimate of a pumping scan: the critical pump, and the decay rate that it stands for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import ArrayLike

from ..estimators import (
    AdaptivePumping,
    Calibrated,
    Estimate,
    PumpingSnapshots,
    Quantity,
    RecordError,
    SnapshotBeliefs,
)
from ..models.pumped_superradiance import PumpedEnsemble, pumped_steady_state
from ..models.pumped_superradiance_three_level import ThreeLevelPump, critical_shift

_NOTHING_SEEN = (
    "where to look: whether T0 starts the pump's table in every shot, the pump's RF switch opens "
    "for the hold, the probe light opens with the counter's gate, the detector is at the "
    "counter's input, and the grid reaches the transition (the modulator of the pump)"
)
_BENT = (
    "where to look: the modulator of the pump (near its maximum it bends the curve), the "
    "atom number, the hold, and the detector's calibration"
)
_AT_THE_END = (
    "the critical pump lies at an end of the range in which it is sought; where to look: the "
    "pump's calibration (a modulator near its maximum), the believed decay rate, or a wider span"
)
FAR = 4.0
"""Standard deviations between two values of the decay rate that contradict each other: by chance
in one of 1.6e4 runs."""

_UNITS = {"critical_pump": "Hz", "gain": "counts/atom", "background": "counts", "atoms": "atoms"}


@dataclass(frozen=True, slots=True)
class ScanBeliefs:
    """What is known before a pumping scan.

    Attributes:
        counts: Atoms, gain and background.
        pump_relative_std: Relative standard deviation of the pump's calibration at the critical
            pump: how well the rate on the knob's scale is the true rate.
        decay: The collective decay rate as it is believed, Hz; no estimate uses it, but one that
            contradicts it is flagged. None: nothing is believed.
    """

    counts: SnapshotBeliefs
    pump_relative_std: float
    decay: Calibrated | None = field(default=None, kw_only=True)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ScanBeliefs:
        """Beliefs as a run keeps them."""
        counts = dict(stored["counts"])
        for name in ("critical_pump", "gain", "background"):
            if counts.get(name) is not None:
                counts[name] = Calibrated(**counts[name])
        decay = stored.get("decay")
        return cls(
            SnapshotBeliefs(**counts),
            float(stored["pump_relative_std"]),
            decay=None if decay is None else Calibrated(**decay),
        )


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
        decay = widened(critical, self._beliefs.pump_relative_std)
        told = {"critical_pump": critical, "collective_decay": decay, **fitted}
        droop = self._beliefs.counts.pump_droop
        if droop > 0.0:
            told["half_excited_pump"] = _scaled(
                critical, half_excited_ratio(round(self._beliefs.counts.atoms), droop)
            )
        return replace(
            found,
            quantities=told,
            diagnostics={
                **found.diagnostics,
                "flags": [*found.flags, *_advice(found), *self._elsewhere(found, decay)],
                **readout_regime(self._beliefs.counts.atoms, told["gain"], told["background"]),
            },
            assumptions=(
                *found.assumptions,
                "collective_decay: the pump's calibration is off by a relative standard deviation "
                f"of {self._beliefs.pump_relative_std:.3g}",
            ),
        )

    def _elsewhere(self, found: Estimate, decay: Quantity) -> list[str]:
        """A warning where pump and decay rate cannot both be what is believed of them."""
        believed = self._beliefs.decay
        if believed is None or found.goodness_of_fit is None:
            return []
        return contradiction(
            "the decay rate that the pump's calibration gives", decay, "the believed one", believed
        )


class AdaptiveCriticalPump(CriticalPump):
    """`CriticalPump` whose running estimate names the pump to go to next.

    Args:
        beliefs: Before the first shot.
        limits: Lowest and highest pump, Hz.
    """

    def __init__(self, beliefs: ScanBeliefs, limits: tuple[float, float]) -> None:
        super().__init__(beliefs)
        gain, background = beliefs.counts.gain, beliefs.counts.background
        if gain is None or background is None:
            raise ValueError("adaptive pumping needs calibrations of gain and background")
        self._background, self._limits = background, limits
        self._design: AdaptivePumping | None = AdaptivePumping(
            round(beliefs.counts.atoms), limits, gain.value, gain.std, background.value, limits
        )

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block, as `CriticalPump`."""
        super().update(records)
        if self._design is not None:
            try:
                self._design.update(records)
            except RecordError:
                # Counts that no believed gain gives: the fit will say so, the design cannot.
                self._design = None

    def estimate(self, level: float = 0.95) -> Estimate:
        """As `CriticalPump`, with a warning where the range ends too near."""
        found = super().estimate(level)
        critical, width = found["critical_pump"].value, 2.0 / self._beliefs.counts.atoms
        low, high = self._limits
        if low * (1 + width) < critical < high * (1 - width) or found.goodness_of_fit is None:
            return found
        return replace(
            found, diagnostics={**found.diagnostics, "flags": [*found.flags, _AT_THE_END]}
        )

    def quick(self) -> Estimate:
        """The posterior on a grid, with the setting to go to next in its diagnostics."""
        design = self._design
        if design is None:
            return self.estimate()
        wanted = {"next_setting": design.ask()}
        if self._beliefs.counts.pump_droop > 0.0:
            found = self.estimate()
            return replace(found, diagnostics={**found.diagnostics, **wanted})
        found = design.estimate()
        critical = replace(found["critical_pump"], unit="Hz")
        told = {
            "critical_pump": critical,
            "collective_decay": widened(critical, self._beliefs.pump_relative_std),
            "gain": found["gain"],
            "background": _believed(self._background, critical.level),
        }
        return replace(found, quantities=told, diagnostics={**found.diagnostics, **wanted})


def contradiction(told: str, one: Quantity, said: str, other: Calibrated | Quantity) -> list[str]:
    """A warning where two values of the decay rate are more than `FAR` errors apart."""
    pull = (one.value - other.value) / math.hypot(one.std, other.std)
    if abs(pull) < FAR:
        return []
    return [
        f"{told}, {one.value:.4g} Hz, is {abs(pull):.1f} standard deviations "
        f"{'above' if pull > 0 else 'below'} {said}, {other.value:.4g} Hz; where to look: the "
        "modulator of the pump (saturated or misaligned, its RF power, the pump's calibration), "
        "and the cavity, whose decay rate the setting collective_decay_hz states"
    ]


def half_excited_ratio(atoms: int, droop: float) -> float:
    """Pump at which half of the atoms are up over the nominal critical one, w_0 = gamma.

    The three-level pump slows down as atoms are excited (Shimshi & Shahmoon, Eq. B15): about
    exp((droop N)^2/3). Without droop it is 1.
    """
    if droop <= 0.0:
        return 1.0
    scheme = ThreeLevelPump(atoms, 1.0, 1.0, 2.0 * droop)
    return math.exp(critical_shift(scheme).linewidth)


def readout_regime(atoms: float, gain: Quantity, background: Quantity) -> dict[str, Any]:
    """What limits a shot at the critical pump: the atoms' own fluctuations, or the photons'."""
    state = pumped_steady_state(PumpedEnsemble(round(atoms), 1.0))
    photons = 0.5 * gain.value * atoms + background.value
    ratio = gain.value**2 * state.variance / photons if photons > 0.0 else 0.0
    return {
        "readout": "resolved" if ratio > 1.0 else "photon-poor",
        "atomic_over_photon_variance": ratio,
    }


def _believed(known: Calibrated, level: float) -> Quantity:
    """A calibrated value, not fitted."""
    from scipy.special import ndtri

    reach = float(ndtri(0.5 + 0.5 * level)) * known.std
    interval = (known.value - reach, known.value + reach)
    return Quantity(known.value, known.std, interval, level, "counts")


def _scaled(quantity: Quantity, factor: float) -> Quantity:
    low, high = quantity.interval
    return replace(
        quantity,
        value=factor * quantity.value,
        std=factor * quantity.std,
        interval=(factor * low, factor * high),
    )


def _advice(found: Estimate) -> list[str]:
    """Where to look in the laboratory when the counts are not what the model gives."""
    if not found.flags:
        return []
    return [_NOTHING_SEEN if found.goodness_of_fit is None else _BENT]


def widened(quantity: Quantity, relative_std: float) -> Quantity:
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
