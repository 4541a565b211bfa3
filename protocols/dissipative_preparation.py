"""Dissipative preparation of two entangled ensembles: watched on its way, and turned at its end.

Detuned collective decay pumps both ensembles into a pure, squeezed dark state (Chu et al.,
"Reconfigurable dissipative entanglement", Eqs. 2-12). Holds of different length, counted as they
are, give the rates of the master equation; states of a long hold, turned by a pulse of known
phase, give the squeezing against the analysis angle, the spin length, and how dark the state is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..estimators import (
    Calibrated,
    Estimate,
    SqueezingBeliefs,
)
from ..instruments.calibration import Calibration
from ..instruments.errors import CalibrationError, CavityLabError
from ..instruments.timeline import Tone, Window
from ..models.cumulants import DecayingEnsembles
from ..models.cumulants_optimum import LARGEST_EXACT, exact_optimum, optimum_estimate
from ..models.relaxation_outcomes import emission_in, emission_rate, relaxed_state
from ..models.two_ensembles import TwoEnsembles, steady_state
from .dissipative_preparation_estimate import (
    DARK,
    EXCHANGE,
    LENGTH,
    LIGHT,
    POPULATIONS,
    RATES,
    REMAINING,
    SQUEEZING,
    TURNED,
    PreparationBeliefs,
    PreparationEstimate,
)
from .dissipative_preparation_many import bounds_of
from .dissipative_preparation_settings import DissipativePreparationSettings
from .dissipative_preparation_shots import (
    OUTPUT,
    PreparationSequence,
    WatchedSequence,
    worth_most,
)
from .dissipative_preparation_truth import squeezing_of, squeezing_with_decay
from .protocol import Calibrations, SetPoint, Steps
from .sequence import PREPARATION, PULSE
from .steps import Checkpoint, Set, Shots, TakeEstimate

LEAD = 50e-6
"""Time from T0 to the preparation, in s: the tables start and the RF settles."""

GAP = 4e-6
"""Time from the end of the preparation to the analysis pulse, in s."""

GATE_GAP = 100e-6
"""Time before each counting gate, in s."""

ENSEMBLES = ("ensemble_1", "ensemble_2")
"""Gates that count the atoms, in the order of time."""

_ORDER = 0x686F6C64  # "hold": keeps this use of the seed apart from others
_TWO_PI = 2.0 * math.pi


class PreparationSettingsError(CavityLabError, ValueError):
    """The station lacks what the preparation needs; says what and how to mend it."""


@dataclass(frozen=True, slots=True)
class PreparationBounds:
    """Least standard deviations of the decay rate, Hz, for the shots of the relaxation.

    Attributes:
        cramer_rao_std: The other rates free, gain and background free within their calibrations.
        standard_quantum_limit_std: The same if the atoms were independent, with the same mean
            populations: what is known without their correlations.
    """

    cramer_rao_std: float
    standard_quantum_limit_std: float

    def to_json(self) -> dict[str, float]:
        """The two standard deviations."""
        return {
            "cramer_rao_std": self.cramer_rao_std,
            "standard_quantum_limit_std": self.standard_quantum_limit_std,
        }


class DissipativePreparation:
    """The protocol: settings by keyword, see :class:`DissipativePreparationSettings`.

    Raises:
        pydantic.ValidationError: A setting is out of bounds, unknown, or contradicts another.
    """

    name: ClassVar[str] = "dissipative_preparation"
    units: ClassVar[Mapping[str, str]] = dict.fromkeys((*RATES, EXCHANGE), "Hz")
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        SetPoint("hold", "s", "length of the preparation"),
        SetPoint("analysis", "", "0: populations, 1: turned about the spins' axis, 2: spin length"),
        SetPoint("angle", "rad", "area of the analysis pulse"),
        SetPoint("pulse_phase", "rad", "phase of the analysis pulse to the preparation's drive"),
    )
    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "last_hold": (3e-3, 4e-3, 5e-3, 8e-3),
        "first_hold": (0.6e-3, 1e-3, 1.5e-3),
    }

    def __init__(self, **settings: Any) -> None:
        self.settings = DissipativePreparationSettings(**settings)

    @property
    def quantities(self) -> tuple[str, ...]:
        """What an estimate holds; the exchange where it is free."""
        exchange = (EXCHANGE,) if self.settings.exchange_std_hz else ()
        light = (*LIGHT, REMAINING) if self.settings.cavity_output else ()
        return (*RATES, *exchange, "gain", "background", *SQUEEZING, DARK, *light)

    @property
    def detectors(self) -> tuple[str, ...]:
        """The cavity's output where it is counted, and both ensembles."""
        return (*((OUTPUT,) if self.settings.cavity_output else ()), *ENSEMBLES)

    @property
    def planned_shots(self) -> int:
        """Good shots that a complete run takes."""
        chosen = self.settings
        tomography = chosen.angles * chosen.shots_per_angle + chosen.length_shots
        return chosen.population_shots + (tomography if chosen.angles else 0)

    def settings_dict(self) -> dict[str, Any]:
        """The settings, JSON-able."""
        return self.settings.model_dump(mode="json")

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """Set-points: first the holds, then the turned states, last the spin length."""
        del calibrations
        chosen = self.settings
        if index < chosen.holds:
            values = (chosen.hold_grid[index], POPULATIONS, 0.0, 0.0)
        elif index < chosen.holds + chosen.angles:
            turn = chosen.turns[index - chosen.holds]
            values = (chosen.tomography_hold, TURNED, turn, chosen.axis if turn else 0.0)
        else:
            quarter = 0.5 * math.pi
            values = (chosen.tomography_hold, LENGTH, quarter, chosen.axis + quarter)
        return dict(zip((point.name for point in self.set_points), map(float, values), strict=True))

    def sequence(self, index: int) -> PreparationSequence:
        """One shot of a point; raises SequenceError when the settings make no sound one.

        The tones of all populations last as long as the longest hold: only the windows change
        from hold to hold, and the tables stay.
        """
        chosen = self.settings
        point = self.point(index, {})
        hold, area = point["hold"], point["angle"]
        lasting = hold if point["analysis"] else chosen.last_hold
        drive = [Tone(LEAD, lasting, chosen.preparation_rabi_hz)]
        windows = [Window(PREPARATION, LEAD, hold)]
        if area:
            start, length = LEAD + hold + GAP, area / (_TWO_PI * chosen.pulse_rabi_hz)
            drive.append(Tone(start, length, chosen.pulse_rabi_hz, point["pulse_phase"]))
            windows.append(Window(PULSE, start, length))
        elif chosen.cavity_output:
            seen = chosen.output_window if point["analysis"] else hold
            windows.append(Window(PULSE, LEAD + hold - seen, seen))
        opens = max(window.stop for window in windows)
        for name in ENSEMBLES:
            opens += GATE_GAP
            windows.append(Window(name, opens, chosen.gate))
            opens += chosen.gate
        kind = WatchedSequence if chosen.cavity_output else PreparationSequence
        sequence = kind(
            drive=tuple(drive),
            coupling=(Tone(LEAD, lasting, chosen.collective_decay_hz),),
            windows=tuple(windows),
            period=chosen.shot_period,
        )
        sequence.check()
        return sequence

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """Gradient on; passes over the holds, with the estimate after each; then the tomography."""
        chosen = self.settings
        yield Set("gradient", "detuning_difference", chosen.detuning_hz)
        yield Checkpoint("gradient settled")
        taken = [0] * chosen.holds
        estimate: Estimate | None = None
        for number in range(chosen.passes):
            shots = self._visit(number, taken, estimate, calibrations)
            order = np.random.default_rng([_ORDER, seed, number]).permutation(chosen.holds)
            for index in (int(one) for one in order):
                if shots[index]:
                    yield Shots(self.sequence(index), shots[index], point=index)
                    taken[index] += shots[index]
            estimate = yield TakeEstimate()
        if chosen.angles:
            for index in range(chosen.holds, chosen.holds + chosen.angles):
                yield Shots(self.sequence(index), chosen.shots_per_angle, point=index)
            last = chosen.holds + chosen.angles
            yield Shots(self.sequence(last), chosen.length_shots, point=last)
            yield TakeEstimate()

    def _visit(
        self,
        number: int,
        taken: list[int],
        estimate: Estimate | None,
        calibrations: Calibrations,
    ) -> tuple[int, ...]:
        """Shots of each hold in pass ``number``."""
        chosen = self.settings
        each = chosen.visit(number)
        if not chosen.adaptive or estimate is None or estimate.goodness_of_fit is None:
            return (each,) * chosen.holds
        beliefs = self.beliefs(calibrations).rates
        values = {name: estimate[name].value for name in beliefs.coordinates().names}
        return worth_most(
            beliefs, values, chosen.hold_grid, taken, each * chosen.holds, chosen.adaptive_for
        )

    def beliefs(self, calibrations: Calibrations) -> PreparationBeliefs:
        """What the calibrations say of rates and detector.

        The rates themselves are free: the answer rests on the counts.

        Raises:
            PreparationSettingsError: A calibration that is needed is missing or does not reach.
        """
        chosen = self.settings
        needed = ("coupling", "drive", "gradient", "detector")
        missing = [role for role in needed if role not in calibrations]
        if missing:
            raise PreparationSettingsError(
                f"no calibration for role {', '.join(missing)}: name one in the station file "
                "(calibration: FILE)"
            )
        wanted = (chosen.collective_decay_hz, chosen.preparation_rabi_hz, chosen.detuning_hz)
        decay, rabi, detuning = (
            _calibrated(calibrations[role], role, value)
            for role, value in zip(needed[:3], wanted, strict=True)
        )
        at_gate = calibrations["detector"].at_gate(chosen.gate)
        stds = np.sqrt(np.diag(at_gate.covariance))
        gain, background = (
            Calibrated(at_gate.parameters[name], float(std))
            for name, std in zip(("gain", "background"), stds, strict=True)
        )
        return PreparationBeliefs(
            rates=chosen.believed(decay, rabi, detuning, gain, background),
            output_window=chosen.output_window if chosen.cavity_output else 0.0,
            pulse_relative_std=_pulse_std(calibrations["drive"], chosen),
            squeezing=SqueezingBeliefs(
                spin=chosen.spin,
                gain=gain.value,
                background=background.value,
                gain_std=gain.std / gain.value,
                background_std=background.std,
            ),
        )

    def expected(self, calibrations: Calibrations) -> dict[str, float]:
        """Its quantities as they are supposed before the first shot."""
        rates = self.beliefs(calibrations).rates
        light = LIGHT if self.settings.cavity_output else ()
        names = (*RATES, "gain", "background", *light)
        found = {name: getattr(rates, name).value for name in names}
        found[EXCHANGE] = self.settings.exchange_hz
        return found | self._states(found)

    def remarks(self, calibrations: Calibrations) -> tuple[str, ...]:
        """What the predicted precision rests on, and the best drive for a cooperativity."""
        chosen, expected = self.settings, self.expected(calibrations)
        dark = steady_state(chosen.pair)
        reached = _TWO_PI * chosen.collective_decay_hz * chosen.tomography_hold * dark.variance
        least = 4 * chosen.spin * min(dark.variance, dark.variance_z) / dark.spin_length**2
        said = [f"xi^2 = {least:.4g} in the dark state"]
        if chosen.angles:
            said = [
                f"at the end of the tomography's hold (Gamma t Var = {reached:.3g}) xi^2 = "
                f"{expected['xi2']:.4g}, {least:.4g} in the dark state"
            ]
        if chosen.cooperativity is not None:
            said.append(_best_for(chosen.spin, chosen.cooperativity, chosen.collective_decay_hz))
        return tuple(said)

    def estimator(self, calibrations: Calibrations) -> PreparationEstimate:
        """A fresh estimator of rates and squeezing."""
        return PreparationEstimate(self.beliefs(calibrations))

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> PreparationEstimate:
        """A fresh estimator with the beliefs that a run keeps."""
        return PreparationEstimate(PreparationBeliefs.from_json(beliefs))

    def bounds(
        self, calibrations: Calibrations, estimate: Estimate, shots: int
    ) -> PreparationBounds:
        """Bounds of the decay rate for the population shots taken, at the estimate's values."""
        beliefs = self.beliefs(calibrations).rates
        values = {name: estimate[name].value for name in beliefs.coordinates().names}
        holds = estimate.diagnostics.get("holds")
        if holds:
            times = np.repeat(holds, estimate.diagnostics["hold_shots"])
        else:
            each = min(shots, self.settings.population_shots) / self.settings.holds
            times = np.repeat(self.settings.hold_grid, max(1, round(each)))
        found = bounds_of(beliefs, values, times)
        name = self.quantities[0]
        return PreparationBounds(found.std[name], found.independent_std[name])

    def truth(self, revealed: Mapping[str, Any], calibrations: Calibrations) -> dict[str, float]:
        """Squeezing and dark output of the state that the revealed rates prepare."""
        del calibrations
        if any(name not in revealed for name in RATES):
            return {}
        names = (*RATES, EXCHANGE, "single_atom_decay")
        return self._states({name: float(revealed.get(name, 0.0)) for name in names})

    def _states(self, rates: Mapping[str, float]) -> dict[str, float]:
        """What the tomography would find in the exact state at the end of its hold."""
        if not self.settings.angles:
            return {}
        hold, axis = self.settings.tomography_hold, self.settings.axis
        if falling := rates.get("single_atom_decay", 0.0):
            decay, rabi, detuning = (_TWO_PI * rates[name] for name in RATES)
            falls = DecayingEnsembles(self.settings.spin, rabi, detuning, falling, decay)
            return squeezing_with_decay(falls, hold, axis)
        order = (*RATES[1:], EXCHANGE, RATES[0])
        pair = TwoEnsembles(self.settings.spin, *(_TWO_PI * rates[name] for name in order))
        state = relaxed_state(pair, hold)
        dark = emission_rate(pair, state) / pair.collective_decay
        found = squeezing_of(state, pair.spin, axis) | {DARK: dark}
        if self.settings.cavity_output:
            found[REMAINING] = emission_in(pair, self.settings.late) / pair.collective_decay
        return found


def _pulse_std(drive: Calibration, chosen: DissipativePreparationSettings) -> float:
    """Relative standard deviation of the analysis pulse's Rabi frequency; 0 where there is none.

    A pulse that the drive cannot give is refused where it is set.
    """
    try:
        return drive.relative_std(drive.inverse(chosen.pulse_rabi_hz)) if chosen.angles else 0.0
    except CalibrationError:
        return 0.0


def _best_for(spin: float, cooperativity: float, decay: float) -> str:
    """Where to run with single-atom decay: exactly for few atoms, else by the law."""
    exact = spin <= LARGEST_EXACT
    best = (exact_optimum if exact else optimum_estimate)(spin, cooperativity)
    drive = best.drive * spin * decay
    how = "exact, along y" if exact else "prefactors measured for S of 100 and more"
    return (
        f"for C = {cooperativity:g}: Delta/Omega = {best.detuning_ratio:.3g} (preparation_rabi_hz="
        f"{drive:.4g}, detuning_hz={best.detuning_ratio * drive:.4g}), hold "
        f"{best.time / (_TWO_PI * decay):.3g} s, xi^2 about {best.xi2:.3g} ({how})"
    )


def _calibrated(calibration: Calibration, role: str, value: float) -> Calibrated:
    """A set value with the uncertainty of its calibration.

    Raises:
        PreparationSettingsError: It cannot be set.
    """
    try:
        return Calibrated(value, value * calibration.relative_std(calibration.inverse(value)))
    except CalibrationError as error:
        raise PreparationSettingsError(
            f"{value:g} Hz cannot be set with role {role}: {error}"
        ) from error
