"""What the calibrations of a two-ensemble station share: pulses on unprepared atoms, and a gate.

Every shot starts with all atoms down; at most one pulse of the drive follows, and both ensembles
are counted. A calibration says which pulses, which curve, and which numbers of the fit become the
new calibration. Gain and background are free in every fit: no calibration waits for another.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..estimators import Estimate
from ..estimators.calibrations_counting import CountingBeliefs, Populations
from ..estimators.calibrations_populations import population_bounds
from ..instruments.calibration import Calibration
from ..instruments.errors import CalibrationError, CavityLabError
from ..instruments.timeline import Tone, Window
from .calibration_proposal import Proposal, propose
from .protocol import Calibrations, OnlineEstimator, SetPoint, Steps
from .sequence import PREPARATION, PULSE, PulseSequence
from .steps import Checkpoint, Set, Shots, TakeEstimate

LEAD = 50e-6
"""Time from T0 to the pulse, in s: the table starts and the RF settles."""

GATE_GAP = 100e-6
"""Time before each counting gate, in s."""

ATOMS = "atoms_per_ensemble"
"""Condition of the detector's calibration: atoms of each ensemble, as they were counted."""

_MOST_OFF = 0.1
"""How far the setting `atoms_per_ensemble` may be from that condition, relative."""

_ORDER = 0x63616C6962  # "calib": keeps this use of the seed apart from others


Power = Annotated[float, Field(gt=0, le=10.0)]
"""RF power, W."""

Duration = Annotated[float, Field(gt=0, le=0.1)]
"""Length of a pulse, s."""

Turns = Annotated[float, Field(gt=0, le=100.0)]
"""Length of a pulse in turns, or of a decay in its own units."""


class CalibrationSettingsError(CavityLabError, ValueError):
    """The station lacks what the calibration needs; says what and how to mend it."""


class ShotSettings(BaseModel):
    """Settings that all calibrations share; frequencies are ordinary (Hz), not angular."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shots: int = Field(8, ge=2, le=100_000, description="good shots at each setting of the pulse")
    atoms_per_ensemble: int = Field(100, ge=2, le=1000, description="atoms 2S in each ensemble")
    gate: float = Field(5e-3, gt=0, le=10.0, description="length of each counting gate, s")
    shot_period: float = Field(50e-3, gt=0, le=40.0, description="time from shot to shot, s")


class CalibrationSettings(ShotSettings):
    """Settings of the calibrations that search around what the files say."""

    dark_shots: int = Field(24, ge=2, le=100_000, description="good shots without a pulse")
    reach: float = Field(
        0.5,
        gt=0,
        lt=0.9,
        description="how far from the files, relative, the truth is searched",
    )
    wander: float = Field(
        1e-3,
        ge=0,
        le=0.1,
        description="relative std by which the calibrated scale wanders until it is used",
    )


@dataclass(frozen=True, slots=True)
class PulsePoint:
    """One setting of a calibration.

    Attributes:
        detuning_hz: Detuning difference that the coil is set to, Hz by its calibration.
        amplitude_hz: Rabi frequency of the pulse by the drive's calibration; 0: no pulse.
        time: Length of the pulse, s.
        values: Set-points as the estimator takes them.
        shots: Good shots.
        coupling_hz: Collective decay rate after the pulse by the coupling's calibration.
        decay_time: Time for which the coupling is on, s; 0: not at all.
        wait: Time between pulse and coupling, s.
    """

    detuning_hz: float
    amplitude_hz: float
    time: float
    values: Mapping[str, float]
    shots: int
    coupling_hz: float = 0.0
    decay_time: float = 0.0
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class CalibrationBounds:
    """Least standard deviations of the leading number for a number of shots.

    Attributes:
        cramer_rao_std: All other numbers of the fit free, priors included.
        standard_quantum_limit_std: Atoms counted without noise by a detector that is known; for
            the detector's own gain: atom numbers known, photon noise alone.
    """

    cramer_rao_std: float
    standard_quantum_limit_std: float

    def to_json(self) -> dict[str, float]:
        """The two standard deviations."""
        return {
            "cramer_rao_std": self.cramer_rao_std,
            "standard_quantum_limit_std": self.standard_quantum_limit_std,
        }


class PulseCalibration(ABC):
    """A calibration by single pulses; subclasses say which pulses, and what they mean.

    Class attributes:
        calibrates: Role whose calibration the answer becomes.
        advice: Where to look in the laboratory when the fit does not describe the counts.
        revealed: What a rehearsal reveals of it, by the names of the quantities.
        settings_model: Validates the settings.
    """

    name: ClassVar[str]
    calibrates: ClassVar[str]
    quantities: ClassVar[tuple[str, ...]]
    set_points: ClassVar[tuple[SetPoint, ...]]
    revealed: ClassVar[Mapping[str, str]]
    settings_model: ClassVar[type[ShotSettings]]
    needs: ClassVar[tuple[str, ...]] = ("drive", "gradient", "detector")
    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "f_max": "Hz",
            "G_max": "Hz",
            "P_sat": "W",
            "slope": "Hz/A",
            "offset": "Hz",
            "rabi_frequency": "Hz",
            "gain": "counts/atom",
            "background": "counts",
        }
    )
    advice: ClassVar[str] = (
        "whether T0 starts the drive's table, the window of the pulse opens the drive's RF switch, "
        "the ensembles are lit one after the other while the counter's gate is open; then the atom "
        "number, the RF power at the modulator, and the setting `reach`"
    )
    detectors: ClassVar[tuple[str, ...]] = ("ensemble_1", "ensemble_2")

    def __init__(self, **settings: Any) -> None:
        self.settings: Any = self.settings_model(**settings)

    # ---- what a subclass says --------------------------------------------------------

    @abstractmethod
    def points(self, calibrations: Calibrations) -> Sequence[PulsePoint]:
        """All settings, those with one detuning next to each other."""

    @abstractmethod
    def beliefs(self, calibrations: Calibrations) -> Any:
        """What the estimator is told: a dataclass, kept with the run."""

    @abstractmethod
    def supposed(self, calibrations: Calibrations) -> dict[str, float]:
        """What the files say of the fit's own numbers, in its order; gain and background come."""

    @abstractmethod
    def build(self, beliefs: Any) -> OnlineEstimator:
        """A fresh estimator."""

    def curve(self, beliefs: Any, columns: Mapping[str, NDArray[np.float64]]) -> Populations:
        """Populations at some settings, for the bounds of single pulses."""
        raise TypeError(f"{self.name} is no calibration by populations")

    # ---- what the engine asks ----------------------------------------------------------

    @property
    @abstractmethod
    def settings_count(self) -> int:
        """Settings with a pulse; one without is added."""

    @property
    def planned_shots(self) -> int:
        """Good shots that a complete run takes."""
        chosen: CalibrationSettings = self.settings
        return self.settings_count * chosen.shots + chosen.dark_shots

    def settings_dict(self) -> dict[str, Any]:
        """The settings, JSON-able."""
        described: dict[str, Any] = self.settings.model_dump(mode="json")
        return described

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """Set-points of scan point ``index``."""
        return self.points(calibrations)[index].values

    def sequence(self, point: PulsePoint) -> PulseSequence:
        """One shot; raises SequenceError when the settings do not make a sound one."""
        chosen: CalibrationSettings = self.settings
        pulse = (Tone(LEAD, point.time, point.amplitude_hz),) if point.amplitude_hz else ()
        begin = LEAD + point.time + point.wait
        coupling = (Tone(begin, point.decay_time, point.coupling_hz),) if point.decay_time else ()
        first = begin + point.decay_time + GATE_GAP
        starts = (first, first + chosen.gate + GATE_GAP)
        windows = tuple(
            Window(name, start, chosen.gate)
            for name, start in zip(self.detectors, starts, strict=True)
        )
        light = (Window(PULSE, LEAD, point.time),) if pulse else ()
        decay = (Window(PREPARATION, begin, point.decay_time),) if coupling else ()
        shown = (*light, *decay, *windows)
        sequence = PulseSequence(pulse, shown, chosen.shot_period, coupling)
        sequence.check()
        return sequence

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """Every setting once, at each detuning in random order; then the estimate."""
        points = self.points(calibrations)
        groups: dict[float, list[int]] = {}
        for index, point in enumerate(points):
            groups.setdefault(point.detuning_hz, []).append(index)
        for number, (detuning, members) in enumerate(groups.items()):
            yield Set("gradient", "detuning_difference", detuning)
            yield Checkpoint("gradient settled")
            for index in np.random.default_rng([_ORDER, seed, number]).permutation(members):
                point = points[int(index)]
                yield Shots(self.sequence(point), point.shots, point=int(index))
        yield TakeEstimate()

    def estimator(self, calibrations: Calibrations) -> OnlineEstimator:
        """A fresh maximum-likelihood estimator, its ranges around what the files say."""
        return self.build(self.beliefs(calibrations))

    def expected(self, calibrations: Calibrations) -> dict[str, float]:
        """Every number of the fit as the files have it, for a plan's prediction."""
        at_gate = calibrations["detector"].at_gate(self.settings.gate).parameters
        return {
            **self.supposed(calibrations),
            "gain": at_gate["gain"],
            "background": at_gate["background"],
        }

    def bounds(
        self, calibrations: Calibrations, estimate: Estimate, shots: int
    ) -> CalibrationBounds:
        """Bounds for ``shots``, at the estimate's values."""
        names = estimate.names or tuple(estimate.quantities)
        theta = np.array([estimate[name].value for name in names])
        covariance = self.covariance_bound(calibrations, theta, shots)
        place = names.index(self.quantities[0])
        return CalibrationBounds(
            math.sqrt(covariance[place, place]),
            self.standard_limit(calibrations, theta, shots),
        )

    def covariance_bound(
        self, calibrations: Calibrations, theta: NDArray[np.float64], shots: int
    ) -> NDArray[np.float64]:
        """Cramér-Rao bound of all numbers of the fit at ``theta``, for ``shots``."""
        beliefs = self.beliefs(calibrations)
        curve, readings = self._taken(calibrations, beliefs, shots)
        return population_bounds(curve, self.counting(calibrations), theta, readings)

    def standard_limit(
        self, calibrations: Calibrations, theta: NDArray[np.float64], shots: int
    ) -> float:
        """Standard deviation of the leading number if atoms were counted without noise."""
        beliefs = self.beliefs(calibrations)
        curve, readings = self._taken(calibrations, beliefs, shots)
        p, slopes = curve.populations(theta[:-2])
        weight = self.settings.atoms_per_ensemble * readings
        weight = weight / np.clip(p * (1 - p), 1e-6, None)
        information = (slopes * weight) @ slopes.T
        for index, parameter in enumerate(curve.parameters):
            if parameter.prior is not None:
                information[index, index] += 1 / parameter.prior[1] ** 2
        return math.sqrt(float(np.linalg.inv(information)[0, 0]))

    def _taken(
        self, calibrations: Calibrations, beliefs: Any, shots: int
    ) -> tuple[Populations, NDArray[np.float64]]:
        """The curve at all settings and the readings of each, both ensembles together."""
        columns, taken = self.taken(calibrations, shots)
        return self.curve(beliefs, columns), len(self.detectors) * taken

    def taken(
        self, calibrations: Calibrations, shots: int
    ) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
        """Set-points of all settings by name, and the part of ``shots`` that each gets."""
        points = self.points(calibrations)
        names = [column.name for column in self.set_points]
        columns = {name: np.array([point.values[name] for point in points]) for name in names}
        planned = np.array([point.shots for point in points], dtype=np.float64)
        return columns, planned * shots / self.planned_shots

    def truth(self, revealed: Mapping[str, Any], calibrations: Calibrations) -> dict[str, float]:
        """The hidden numbers under the names of the quantities."""
        del calibrations
        return {own: revealed[name] for own, name in self.revealed.items() if name in revealed}

    # ---- what comes of it -------------------------------------------------------------

    def proposal(
        self, estimate: Estimate, calibrations: Calibrations, largest_change: float = 0.1
    ) -> Proposal:
        """The new calibration of the role, judged by the gate against the one in use."""
        return propose(
            self.calibrates,
            calibrations[self.calibrates],
            estimate,
            largest_change=largest_change,
            wander=self.settings.wander,
            conditions=self.conditions,
            advice=self.advice,
        )

    @property
    def conditions(self) -> Mapping[str, float]:
        """Conditions under which the new calibration was taken."""
        return {}

    # ---- what the files say -----------------------------------------------------------

    def counting(self, calibrations: Calibrations) -> CountingBeliefs:
        """Atoms, and the ranges in which gain and background are searched.

        Raises:
            CalibrationSettingsError: A calibration that is needed is missing.
        """
        self.require(calibrations)
        counted = calibrations["detector"].conditions.get(ATOMS)
        believed = self.settings.atoms_per_ensemble
        if counted is not None and abs(believed - counted) > _MOST_OFF * counted:
            raise CalibrationSettingsError(
                f"atoms_per_ensemble = {believed}, but the detector's calibration was taken with "
                f"{counted:g} atoms: set atoms_per_ensemble={counted:.0f}, or count them again "
                "with calibrate_atom_number"
            )
        at_gate = calibrations["detector"].at_gate(self.settings.gate)
        gain, background = at_gate.parameters["gain"], at_gate.parameters["background"]
        return CountingBeliefs(
            self.settings.atoms_per_ensemble,
            gain_range=self.around(gain),
            background_range=(0.25 * background + 1e-6, 4 * background + 10),
        )

    def require(self, calibrations: Calibrations) -> None:
        """Raise CalibrationSettingsError when a calibration that is needed is missing."""
        missing = [role for role in self.needs if role not in calibrations]
        if missing:
            raise CalibrationSettingsError(
                f"no calibration for role {', '.join(missing)}: name one in the station file "
                "(calibration: FILE); a guess within the setting `reach` will do"
            )

    def around(self, believed: float) -> tuple[float, float]:
        """The range that is searched around a believed value."""
        ends = believed * (1 - self.settings.reach), believed * (1 + self.settings.reach)
        return min(ends), max(ends)


def dark(detuning_hz: float, values: Mapping[str, float], shots: int) -> PulsePoint:
    """A setting without a pulse: all atoms stay down, the counts are background."""
    return PulsePoint(detuning_hz, 0.0, 0.0, values, shots)


def amplitude_of(calibration: Calibration, power: float) -> float:
    """Rabi frequency or rate in Hz that a modulator's calibration gives at an RF power in W.

    Raises:
        CalibrationSettingsError: The power lies outside the calibration's domain.
    """
    try:
        return calibration.forward(power)
    except CalibrationError as error:
        raise CalibrationSettingsError(f"powers_w = {power:g} cannot be set: {error}") from error
