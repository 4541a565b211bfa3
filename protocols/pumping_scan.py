"""Pumping scan: the critical pump of collectively pumped superradiance from gated counts.

Each shot pumps all atoms from the ground state into the steady state of collective pumping and
decay, whose number n of excited atoms follows p_n ~ (w/gamma)^n (Shimshi & Shahmoon, Eq. 3), and
counts them within a time in which they stand still. The pump is stepped over a grid around the
critical value w = gamma, in several passes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..estimators import Calibrated, Estimate, SnapshotBeliefs, snapshot_bounds
from ..instruments.calibration import Calibration
from ..instruments.errors import CalibrationError, CavityLabError
from ..instruments.timeline import Tone, Window
from .protocol import Calibrations, SetPoint, Steps
from .pumping_estimate import CriticalPump, ScanBeliefs
from .sequence import PUMP, PumpSequence
from .steps import Shots, TakeEstimate

LEAD = 50e-6
"""Time from T0 to the pump light, in s: the table starts and the RF settles."""

TAIL = 10e-6
"""Time that the pump stays on after the gate, in s."""

RELAXATIONS = 9.0
"""Smallest hold in units of the slowest relaxation 1/(2 gamma): what is left of the start falls
below 2e-4."""

STILL = 0.05
"""Largest gate times relaxation rate: averaging over it lowers the variance by a third of that."""

_ORDER = 0x6F72646572  # "order": keeps this use of the seed apart from others


class PumpingSettingsError(CavityLabError, ValueError):
    """The station lacks what the scan needs; says what and how to mend it."""


class PumpingScanSettings(BaseModel):
    """Settings of the pumping scan; rates are ordinary (Hz), not angular."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    points: int = Field(17, ge=3, le=201, description="pump settings of the grid")
    shots_per_point: int = Field(100, ge=1, le=1_000_000, description="good shots at each of them")
    passes: int = Field(10, ge=1, le=10_000, description="passes over the grid")
    order: Literal["random", "interleaved", "up"] = Field(
        "random",
        description="order within a pass: random, every other point up and the rest down, or up",
    )
    atoms: int = Field(100, ge=2, le=1_000_000, description="atoms N")
    collective_decay_hz: float = Field(
        5.0, gt=0, le=1e6, description="believed collective decay rate gamma/2pi, Hz"
    )
    span: float = Field(
        0.25,
        gt=0,
        lt=1,
        description="half width of the grid relative to the believed critical pump",
    )
    hold: float = Field(0.3, gt=0, le=30.0, description="time for which the pump is held, s")
    gate: float = Field(50e-6, gt=0, le=1.0, description="length of the counting gate, s")
    shot_period: float = Field(0.35, gt=0, le=40.0, description="time from shot to shot, s")

    @model_validator(mode="after")
    def _consistent(self) -> PumpingScanSettings:
        decay = 2 * math.pi * self.collective_decay_hz
        if 2 * decay * self.hold < RELAXATIONS:
            raise ValueError(
                f"hold = {self.hold:g} s is too short: near the critical pump the atoms relax "
                f"with 1/(2 gamma) = {1 / (2 * decay):.3g} s, and {RELAXATIONS:g} of it are "
                f"needed to reach the steady state; hold at least {RELAXATIONS / (2 * decay):.3g} s"
            )
        reach = 0.5 * self.atoms * self.span
        fastest = 2 * decay * max(1.0, reach / math.tanh(reach))
        if self.gate * fastest > STILL:
            raise ValueError(
                f"gate = {self.gate:g} s is too long: at the ends of the grid the atoms relax at "
                f"{fastest:.4g} per second, and gate times that must be at most {STILL:g}; count "
                f"for at most {STILL / fastest:.3g} s, or lower span"
            )
        if self.passes > self.shots_per_point:
            raise ValueError(
                f"passes = {self.passes} is more than shots_per_point = {self.shots_per_point}: "
                "each pass takes at least one shot of every point"
            )
        return self

    @property
    def pumps(self) -> tuple[float, ...]:
        """The grid of pumping rates w/2pi, Hz, as the pump's calibration has them."""
        around = np.linspace(1 - self.span, 1 + self.span, self.points)
        return tuple(float(pump) for pump in self.collective_decay_hz * around)

    def visit(self, number: int) -> int:
        """Shots of one point in pass `number`."""
        return (
            self.shots_per_point * (number + 1) // self.passes
            - self.shots_per_point * number // self.passes
        )


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


class PumpingScan:
    """The protocol: settings given by keyword, see :class:`PumpingScanSettings`.

    Raises:
        pydantic.ValidationError: A setting is out of bounds, unknown, or contradicts another.
    """

    name: ClassVar[str] = "pumping_scan"
    quantities: ClassVar[tuple[str, ...]] = (
        "critical_pump",
        "collective_decay",
        "gain",
        "background",
    )
    detectors: ClassVar[tuple[str, ...]] = ("ensemble",)
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        SetPoint("pump", "Hz", "pumping rate w/2pi by the pump's calibration"),
    )

    def __init__(self, **settings: Any) -> None:
        self.settings = PumpingScanSettings(**settings)

    @property
    def planned_shots(self) -> int:
        """Good shots that a complete run takes."""
        return self.settings.points * self.settings.shots_per_point

    def settings_dict(self) -> dict[str, Any]:
        """The settings, JSON-able."""
        return self.settings.model_dump(mode="json")

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """The pump of scan point ``index``."""
        del calibrations
        return {"pump": self.settings.pumps[index]}

    def sequence(self, pump: float) -> PumpSequence:
        """One shot at a pumping rate in Hz; raises SequenceError when it is not sound."""
        chosen = self.settings
        gate = Window(self.detectors[0], LEAD + chosen.hold, chosen.gate)
        length = chosen.hold + chosen.gate + TAIL
        sequence = PumpSequence(
            pump=(Tone(LEAD, length, pump),),
            windows=(Window(PUMP, LEAD, length), gate),
            period=chosen.shot_period,
        )
        sequence.check()
        return sequence

    def order(self, number: int, seed: int) -> tuple[int, ...]:
        """Points in the order in which pass ``number`` visits them."""
        points = self.settings.points
        if self.settings.order == "random":
            shuffled = np.random.default_rng([_ORDER, seed, number]).permutation(points)
            return tuple(int(point) for point in shuffled)
        if self.settings.order == "interleaved":
            return (*range(0, points, 2), *reversed(range(1, points, 2)))
        return tuple(range(points))

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """Passes over the grid, with the running estimate after each."""
        del calibrations
        sequences = [self.sequence(pump) for pump in self.settings.pumps]
        for number in range(self.settings.passes):
            shots = self.settings.visit(number)
            for point in self.order(number, seed):
                yield Shots(sequences[point], shots, point=point)
            yield TakeEstimate()

    def beliefs(self, calibrations: Calibrations) -> ScanBeliefs:
        """What the calibrations say of gain and background, and of the pump.

        The critical pump itself is free: the answer rests on these counts alone.

        Raises:
            PumpingSettingsError: A calibration that is needed is missing or does not reach.
        """
        needed = ("pump", "detector")
        missing = [role for role in needed if role not in calibrations]
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
        return ScanBeliefs(
            counts=SnapshotBeliefs(self.settings.atoms, gain=gain, background=background),
            pump_relative_std=pump.relative_std(critical),
        )

    def estimator(self, calibrations: Calibrations) -> CriticalPump:
        """A fresh maximum-likelihood estimator of the critical pump."""
        return CriticalPump(self.beliefs(calibrations))

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> CriticalPump:
        """A fresh estimator with the beliefs that a run keeps."""
        return CriticalPump(ScanBeliefs.from_json(beliefs))

    def bounds(self, calibrations: Calibrations, estimate: Estimate, shots: int) -> ScanBounds:
        """Cramér-Rao bound and standard quantum limit for ``shots``, at the estimate's values."""
        names = ("critical_pump", "gain", "background")
        critical, gain, background = (estimate[name].value for name in names)
        visits = np.tile(self.settings.pumps, math.ceil(shots / self.settings.points))[:shots]
        found = snapshot_bounds(
            self.beliefs(calibrations).counts, critical, gain, background, visits
        )
        return ScanBounds(
            cramer_rao_std=found["critical_pump"],
            standard_quantum_limit_std=2 * critical / math.sqrt(self.settings.atoms * shots),
        )

    def truth(self, revealed: Mapping[str, Any], calibrations: Calibrations) -> dict[str, float]:
        """The critical pump in the unit of the knob, from the RF power that a rehearsal reveals.

        Empty where the laboratory's pump never reaches it, or only outside the calibration.
        """
        power = revealed.get("critical_power")
        if power is None:
            return {}
        try:
            return {"critical_pump": calibrations["pump"].forward(power)}
        except CalibrationError:
            return {}


def _counting(calibration: Calibration, gate: float) -> tuple[Calibrated, Calibrated]:
    """Gain and background of one gate, each with its standard deviation."""
    at_gate = calibration.at_gate(gate)
    stds: NDArray[np.float64] = np.sqrt(np.diag(at_gate.covariance))
    values = (at_gate.parameters["gain"], at_gate.parameters["background"])
    gain, background = (Calibrated(v, float(std)) for v, std in zip(values, stds, strict=True))
    return gain, background
