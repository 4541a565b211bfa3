"""What the protocols of collectively pumped superradiance share: settings, one shot, beliefs.

All of them pump an ensemble near the critical value w = gamma and count its excited atoms
(Shimshi & Shahmoon, "Dissipative phase transition and metrology in collectively pumped
superradiance").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..estimators import Calibrated, Estimate, SnapshotBeliefs, snapshot_bounds
from ..instruments.calibration import Calibration
from ..instruments.errors import CalibrationError, CavityLabError
from ..instruments.timeline import Tone, Window
from .protocol import Calibrations, SetPoint
from .pumping_estimate import CriticalPump, ScanBeliefs, half_excited_ratio
from .sequence import PUMP, PumpSequence

LEAD = 50e-6
"""Time from T0 to the pump light, in s: the table starts and the RF settles."""

TAIL = 10e-6
"""Time that the pump stays on after the gate, in s."""

RELAXATIONS = 9.0
"""Smallest hold in units of the slowest relaxation 1/(2 gamma): what is left of the start falls
below 2e-4."""

STILL = 0.05
"""Largest gate times relaxation rate: averaging over it lowers the variance by a third of that."""


class PumpingSettingsError(CavityLabError, ValueError):
    """The station lacks what the protocol needs; says what and how to mend it."""


@dataclass(frozen=True, slots=True)
class ScanBounds:
    """Least standard deviations of the critical pump, Hz, for a number of shots.

    Attributes:
        cramer_rao_std: Gain and background free within their calibrations.
        standard_quantum_limit_std: N independent atoms, each pumped and decaying by itself, all
            shots at the critical pump and every atom seen: u_c 2/sqrt(N shots).
    """

    cramer_rao_std: float
    standard_quantum_limit_std: float

    def to_json(self) -> dict[str, float]:
        """The two standard deviations."""
        return {
            "cramer_rao_std": self.cramer_rao_std,
            "standard_quantum_limit_std": self.standard_quantum_limit_std,
        }


class PumpedSettings(BaseModel):
    """Settings of every pumped protocol; rates are ordinary (Hz), not angular."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    atoms: int = Field(100, ge=2, le=1_000_000, description="atoms N")
    collective_decay_hz: float = Field(
        5.0, gt=0, le=1e6, description="believed collective decay rate gamma/2pi, Hz"
    )
    pump_droop: float = Field(
        0.0,
        ge=0,
        le=0.1,
        description="gamma_r/(2 delta) of the three-level pump: its rate out of n excited atoms "
        "falls as 1/(1 + (droop (n+1))^2)",
    )
    gate: float = Field(50e-6, gt=0, le=1.0, description="length of the counting gate, s")
    shot_period: float = Field(0.35, gt=0, le=40.0, description="time from shot to shot, s")

    @property
    def decay(self) -> float:
        """The believed collective decay rate gamma, angular."""
        return 2 * math.pi * self.collective_decay_hz

    def check_still(self, reach: float, *, or_lower: str) -> None:
        """Refuse a gate during which the atoms move, at |s| up to `reach`.

        Args:
            reach: Largest |s| at which atoms are counted.
            or_lower: The setting that makes it smaller.

        Raises:
            ValueError: Saying how long it may be.
        """
        fastest = 2 * self.decay * max(1.0, reach / math.tanh(reach))
        if self.gate * fastest > STILL:
            raise ValueError(
                f"gate = {self.gate:g} s is too long: at the ends of the range the atoms relax at "
                f"{fastest:.4g} per second, and gate times that must be at most {STILL:g}; count "
                f"for at most {STILL / fastest:.3g} s, or lower {or_lower}"
            )


class SnapshotSettings(PumpedSettings):
    """Settings of protocols whose shots are each a fresh steady state."""

    span: float = Field(
        0.25,
        gt=0,
        lt=1,
        description="half width of the grid relative to the believed critical pump",
    )
    hold: float = Field(0.3, gt=0, le=30.0, description="time for which the pump is held, s")
    decay_relative_std: float = Field(
        0.03,
        gt=0,
        le=10.0,
        description="relative std of the believed decay rate: no estimate uses it, but one that "
        "contradicts the belief is flagged",
    )

    @model_validator(mode="after")
    def _settled_and_still(self) -> SnapshotSettings:
        decay = self.decay
        if 2 * decay * self.hold < RELAXATIONS:
            raise ValueError(
                f"hold = {self.hold:g} s is too short: near the critical pump the atoms relax "
                f"with 1/(2 gamma) = {1 / (2 * decay):.3g} s, and {RELAXATIONS:g} of it are "
                f"needed to reach the steady state; hold at least {RELAXATIONS / (2 * decay):.3g} s"
            )
        self.check_still(0.5 * self.atoms * self.span, or_lower="span")
        return self

    def grid(self, points: int) -> tuple[float, ...]:
        """Pumping rates w/2pi over the span, Hz, as the pump's calibration has them."""
        around = np.linspace(1 - self.span, 1 + self.span, points)
        return tuple(float(pump) for pump in self.collective_decay_hz * around)


class PumpedProtocol:
    """Base of the protocols: what they all say of themselves, and one shot."""

    name: ClassVar[str]
    settings_model: ClassVar[type[PumpedSettings]]
    detectors: ClassVar[tuple[str, ...]] = ("ensemble",)
    units: ClassVar[Mapping[str, str]] = {"critical_pump": "Hz", "collective_decay": "Hz"}
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        SetPoint("pump", "Hz", "pumping rate w/2pi by the pump's calibration"),
    )

    def __init__(self, **settings: Any) -> None:
        self.settings: Any = self.settings_model(**settings)

    def settings_dict(self) -> dict[str, Any]:
        """The settings, JSON-able."""
        found: dict[str, Any] = self.settings.model_dump(mode="json")
        return found

    def shot(
        self, tones: Iterable[Tone], opens: float, period: float | None = None
    ) -> PumpSequence:
        """One shot: the pump's tones from `LEAD` on, and a gate that opens at `opens`, in s.

        Args:
            tones: Of the pump.
            opens: In s after T0.
            period: In s; the setting ``shot_period`` by default.

        Raises:
            SequenceError: It is not sound.
        """
        chosen = self.settings
        gate = Window(self.detectors[0], opens, chosen.gate)
        sequence = PumpSequence(
            pump=tuple(tones),
            windows=(Window(PUMP, LEAD, opens + chosen.gate + TAIL - LEAD), gate),
            period=chosen.shot_period if period is None else period,
        )
        sequence.check()
        return sequence

    def calibrated(self, calibrations: Calibrations) -> tuple[Calibrated, Calibrated, float]:
        """Gain and background of one gate, and the pump's relative std at the critical value.

        Raises:
            PumpingSettingsError: A calibration that is needed is missing or does not reach.
        """
        missing = [role for role in ("pump", "detector") if role not in calibrations]
        if missing:
            raise PumpingSettingsError(
                f"no calibration for role {', '.join(missing)}: name one in the station file "
                "(calibration: FILE)"
            )
        gain, background = _counting(calibrations["detector"], self.settings.gate)
        pump = calibrations["pump"]
        try:
            critical = pump.inverse(self.settings.collective_decay_hz)
        except CalibrationError as error:
            raise PumpingSettingsError(
                f"collective_decay_hz = {self.settings.collective_decay_hz:g}, the believed "
                f"critical pump, cannot be set: {error}"
            ) from error
        return gain, background, pump.relative_std(critical)

    def truth(self, revealed: Mapping[str, Any], calibrations: Calibrations) -> dict[str, float]:
        """The critical pump in the unit of the knob, from the RF power that a rehearsal reveals.

        Empty where the laboratory's pump never reaches it, or only outside the calibration.
        """
        power = revealed.get("critical_power")
        if power is None:
            return {}
        try:
            critical = calibrations["pump"].forward(power)
        except CalibrationError:
            return {}
        droop = float(revealed.get("pump_droop", 0.0))
        if not droop:
            return {"critical_pump": critical}
        ratio = half_excited_ratio(int(revealed["atoms"]), droop)
        return {"critical_pump": critical, "half_excited_pump": critical * ratio}

    def expected(self, calibrations: Calibrations) -> dict[str, float]:
        """Its quantities as they are supposed before the first shot."""
        gain, background, _ = self.calibrated(calibrations)
        decay = self.settings.collective_decay_hz
        return {
            "critical_pump": decay,
            "collective_decay": decay,
            "gain": gain.value,
            "background": background.value,
        }

    def elsewhere(
        self, calibrations: Calibrations, decay_relative_std: float
    ) -> list[tuple[float, Mapping[str, float]]]:
        """Weights and values of the quantities where the critical pump may be instead.

        It is believed as well as decay rate and pump together; three values (Gauss-Hermite).
        """
        _, _, pump = self.calibrated(calibrations)
        reach = math.sqrt(3) * math.hypot(pump, decay_relative_std)
        values = self.expected(calibrations)
        critical = values["critical_pump"]
        return [
            (weight, {**values, "critical_pump": critical * (1 + offset)})
            for weight, offset in ((1 / 6, -reach), (2 / 3, 0.0), (1 / 6, reach))
        ]

    def independent_limit(self, critical: float, shots: int) -> float:
        """The critical pump's std with N independent atoms, Hz: u_c 2/sqrt(N shots)."""
        return 2 * critical / math.sqrt(self.settings.atoms * shots)


class SnapshotProtocol(PumpedProtocol):
    """Base of the protocols whose shots are each a fresh steady state."""

    quantities: ClassVar[tuple[str, ...]] = (
        "critical_pump",
        "collective_decay",
        "gain",
        "background",
    )

    def sequence(self, pump: float) -> PumpSequence:
        """One shot at a pumping rate in Hz; raises SequenceError when it is not sound."""
        chosen = self.settings
        length = chosen.hold + chosen.gate + TAIL
        return self.shot((Tone(LEAD, length, pump),), LEAD + chosen.hold)

    def visits(self, shots: int) -> Iterable[float]:
        """The pump of each of so many shots."""
        raise PumpingSettingsError(f"{self.name} does not say where its {shots} shots are taken")

    def beliefs(self, calibrations: Calibrations) -> ScanBeliefs:
        """What the calibrations say of gain and background, and of the pump.

        The critical pump itself is free: the answer rests on these counts alone.

        Raises:
            PumpingSettingsError: A calibration that is needed is missing or does not reach.
        """
        gain, background, pump = self.calibrated(calibrations)
        droop = self.settings.pump_droop
        counts = SnapshotBeliefs(
            self.settings.atoms, gain=gain, background=background, pump_droop=droop
        )
        decay = self.settings.collective_decay_hz
        believed = Calibrated(decay, self.settings.decay_relative_std * decay)
        return ScanBeliefs(counts=counts, pump_relative_std=pump, decay=believed)

    def estimator(self, calibrations: Calibrations) -> CriticalPump:
        """A fresh maximum-likelihood estimator of the critical pump."""
        return CriticalPump(self.beliefs(calibrations))

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> CriticalPump:
        """A fresh estimator with the beliefs that a run keeps."""
        return CriticalPump(ScanBeliefs.from_json(beliefs))

    def bounds(self, calibrations: Calibrations, estimate: Estimate, shots: int) -> ScanBounds:
        """Cramér-Rao bound and standard quantum limit for ``shots``, at the estimate's values.

        A droop of the pump moves the bound by less than the shift it makes, and is left out.
        """
        names = ("critical_pump", "gain", "background")
        critical, gain, background = (estimate[name].value for name in names)
        counts = self.beliefs(calibrations).counts
        flat = SnapshotBeliefs(counts.atoms, gain=counts.gain, background=counts.background)
        ratio = half_excited_ratio(self.settings.atoms, self.settings.pump_droop)
        visits = np.fromiter(self.visits(shots), dtype=np.float64)
        found = snapshot_bounds(flat, critical * ratio, gain, background, visits)
        return ScanBounds(
            cramer_rao_std=found["critical_pump"] / ratio,
            standard_quantum_limit_std=self.independent_limit(critical, shots),
        )


def _counting(calibration: Calibration, gate: float) -> tuple[Calibrated, Calibrated]:
    """Gain and background of one gate, each with its standard deviation."""
    at_gate = calibration.at_gate(gate)
    stds = np.sqrt(np.diag(at_gate.covariance))
    values = (at_gate.parameters["gain"], at_gate.parameters["background"])
    gain, background = (Calibrated(v, float(std)) for v, std in zip(values, stds, strict=True))
    return gain, background
