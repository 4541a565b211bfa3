"""The calibrations' settings, steps and shots, without a laboratory."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from pydantic import ValidationError

from cavitylab.estimators import Estimate, GoodnessOfFit, Quantity
from cavitylab.instruments.shipped import find_file
from cavitylab.instruments.station_file import load_station_file
from cavitylab.instruments.timeline import Tone, Window
from cavitylab.protocols import (
    CalibrateCoupling,
    CalibrateDetector,
    CalibrateDetuning,
    CalibrateRabi,
    CalibrateSettling,
)
from cavitylab.protocols.calibration import CalibrationSettingsError, PulseCalibration
from cavitylab.protocols.sequence import PulseSequence, SequenceError
from cavitylab.protocols.steps import Set, Shots, TakeEstimate

CALIBRATIONS = load_station_file(find_file("two_ensemble", ".yaml")).calibrations
ALL = (CalibrateRabi, CalibrateDetuning, CalibrateDetector, CalibrateCoupling)


@pytest.mark.parametrize("kind", ALL)
def test_every_setting_is_taken_once_in_an_order_of_the_seed(kind: type[PulseCalibration]) -> None:
    """All points, all planned shots, the coil first, the estimate last; JSON-able throughout."""
    protocol = kind()
    steps = list(protocol.steps(CALIBRATIONS, 5))
    shots = [step for step in steps if isinstance(step, Shots)]
    assert sum(step.shots for step in shots) == protocol.planned_shots
    assert sorted(step.point for step in shots) == list(range(len(protocol.points(CALIBRATIONS))))
    assert isinstance(steps[0], Set) and isinstance(steps[-1], TakeEstimate)
    assert steps == list(protocol.steps(CALIBRATIONS, 5)) != list(protocol.steps(CALIBRATIONS, 6))
    json.dumps([step.to_dict() for step in steps])
    stored = json.loads(json.dumps(dataclasses.asdict(protocol.beliefs(CALIBRATIONS))))
    again = protocol.stored_estimator(stored)  # type: ignore[attr-defined]
    assert again.counting == protocol.counting(CALIBRATIONS)


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (CalibrateRabi, {"powers_w": (0.1,)}, "at least 2"),
        (CalibrateRabi, {"powers_w": (0.1, -0.1)}, "greater than 0"),
        (CalibrateRabi, {"power_w": (0.1, 0.2)}, "power_w"),
        (CalibrateDetuning, {"times": (1e-4, 2.0)}, "less than or equal to 0.1"),
        (CalibrateDetector, {"levels": (0.1, 0.7)}, "must lie in"),
        (CalibrateDetector, {"levels": (0.1, 0.1)}, "occur once"),
        (CalibrateCoupling, {"first_turn": 0.7}, "less than 0.5"),
        (CalibrateCoupling, {"reach": 1.5}, "less than 0.9"),
        (CalibrateSettling, {"times": (-0.2, 0.0, 0.01, 0.02, 0.03, 0.04)}, "must lie between"),
    ],
)
def test_settings_out_of_bounds_are_refused(
    kind: type[PulseCalibration], settings: dict, said: str
) -> None:
    """Before anything is touched, with the setting's name and the rule."""
    with pytest.raises(ValidationError, match=said) as caught:
        kind(**settings)
    assert next(iter(settings)) in str(caught.value)


def test_what_the_station_cannot_do_is_said() -> None:
    """A missing calibration, a power or a current outside what the files allow."""
    rest = {role: one for role, one in CALIBRATIONS.items() if role != "detector"}
    with pytest.raises(CalibrationSettingsError, match="no calibration for role detector"):
        CalibrateDetuning().estimator(rest)
    with pytest.raises(CalibrationSettingsError, match=r"powers_w = 3 .*outside"):
        CalibrateRabi(powers_w=(0.1, 3.0)).points(CALIBRATIONS)
    with pytest.raises(CalibrationSettingsError, match=r"currents_a = 20 .*outside"):
        CalibrateDetuning(currents_a=(1.0, 20.0)).points(CALIBRATIONS)


def test_a_settling_coil_is_stepped_anew_for_every_shot() -> None:
    """One shot a block, every time as often; the list steps where it is asked to."""
    protocol = CalibrateSettling(shots=3, step_hz=100.0, hold=0.15)
    shots = [step for step in protocol.steps(CALIBRATIONS, 5) if isinstance(step, Shots)]
    assert all(step.shots == 1 for step in shots) and len(shots) == protocol.planned_shots
    assert [step.point for step in shots].count(0) == 3
    tones = shots[0].sequence.tones
    assert list(tones) == ["drive", "coupling", "gradient"]
    before, after = tones["gradient"]
    assert after.start == before.duration == 0.15
    assert after.amplitude_hz - before.amplitude_hz == pytest.approx(100.0)
    with pytest.raises(CalibrationSettingsError, match="change `rabi_hz` or `step_hz`"):
        list(CalibrateSettling(rabi_hz=4e3).steps(CALIBRATIONS, 5))


def test_shots_that_no_laboratory_should_run_are_refused() -> None:
    """Uncovered pulses and decays, a drive that is still on, gates that come too early."""
    pulse, gate = Window("pulse", 50e-6, 10e-6), Window("ensemble_1", 500e-6, 1e-3)
    tone, decay = Tone(50e-6, 10e-6, 2e4), Window("preparation", 200e-6, 10e-6)
    emitting = (Tone(200e-6, 10e-6, 100.0),)
    PulseSequence((tone,), (pulse, decay, gate), 50e-3, emitting).check()
    PulseSequence((), (gate,), 50e-3).check()
    for drive, windows, coupling, said in (
        ((), (pulse, gate), (), "lasts through the pulse"),
        ((tone,), (pulse, decay, gate), (), "lasts through the decay"),
        ((Tone(50e-6, 300e-6, 2e4),), (pulse, decay, gate), emitting, "lasts into the decay"),
        ((tone,), (pulse, Window("ensemble_1", 55e-6, 1e-3)), (), "before the end of the pulse"),
        ((tone,), (pulse, pulse, gate), (), "at most one window"),
    ):
        with pytest.raises(SequenceError, match=said):
            PulseSequence(drive, windows, 50e-3, coupling).check()


def answer(**values: tuple[float, float]) -> Estimate:
    """A good fit with these values and standard deviations."""
    quantities = {
        name: Quantity(value, std, (value - 2 * std, value + 2 * std), 0.95, "")
        for name, (value, std) in values.items()
    }
    covariance = np.diag([std**2 for _, std in values.values()])
    check = GoodnessOfFit(10.0, 0.4, 10, "")
    return Estimate("", 1, quantities, tuple(values), covariance, check, {}, (), (0.0, 1.0))


def test_the_gate_compares_with_the_file_and_allows_for_what_wanders() -> None:
    """Scales may change so far, offsets freely; the written error holds the wandering too."""
    protocol = CalibrateDetuning(wander=0.01)
    proposal = protocol.proposal(answer(slope=(252.0, 1.0), offset=(30.0, 5.0)), CALIBRATIONS)
    assert proposal.decision and proposal.new is not None
    assert proposal.new.parameters == {"slope": 252.0, "offset": 30.0}
    assert proposal.new.covariance[0, 0] == pytest.approx(1.0 + 2.52**2)
    assert proposal.new.domain == CALIBRATIONS["gradient"].domain
    moved = answer(slope=(300.0, 1.0), offset=(30.0, 5.0))
    far = protocol.proposal(moved, CALIBRATIONS)
    assert not far.decision and "slope changed from 250 to 300" in far.decision.reasons[0]
    assert protocol.proposal(moved, CALIBRATIONS, largest_change=0.25).decision


def test_a_domain_ends_below_saturation() -> None:
    """A modulator that saturates earlier than believed keeps a law that can be inverted."""
    old = CALIBRATIONS["drive"]
    fit = answer(f_max=(58e3, 100.0), P_sat=(1.1, 0.01))
    proposal = CalibrateRabi().proposal(fit, CALIBRATIONS, largest_change=0.5)
    assert proposal.new is not None
    assert old.domain[1] == 1.2 and proposal.new.domain[1] == pytest.approx(1.07)
