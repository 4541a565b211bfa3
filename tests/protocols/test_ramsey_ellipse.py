"""The Ramsey protocol: its steps, its settings, and what it believes of the nuisances."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from cavitylab.instruments.calibration import Calibration
from cavitylab.models.pulses import detuned_pulse
from cavitylab.protocols import PROTOCOLS, RamseyEllipse, protocol_by_name, shipped_rehearsal
from cavitylab.protocols.ramsey_ellipse import RamseySettingsError
from cavitylab.protocols.steps import Checkpoint, Note, Set, Shots, TakeEstimate, Wait

FILES = Path(__file__).parents[2] / "station_configs" / "calibrations"
CALIBRATIONS = {
    "drive": Calibration.load(FILES / "drive_aom.yaml"),
    "gradient": Calibration.load(FILES / "gradient_coil.yaml"),
    "detector": Calibration.load(FILES / "detector.yaml"),
}


def test_the_steps_are_listed_without_a_laboratory():
    """Gradient first, then blocks with an estimate after each; the last block is the rest."""
    steps = list(RamseyEllipse(coil_check=0, shots=450, block=200).steps(CALIBRATIONS, seed=3))
    assert steps[:2] == [
        Set("gradient", "detuning_difference", 1e3),
        Checkpoint("gradient settled"),
    ]
    assert [step.shots for step in steps if isinstance(step, Shots)] == [200, 200, 50]
    assert isinstance(steps[-1], TakeEstimate)
    assert len({step.sequence for step in steps if isinstance(step, Shots)}) == 1


def test_steps_are_serialisable_and_frozen():
    """A list of steps can be stored, shown and compared."""
    steps = [
        *RamseyEllipse(coil_check=0, shots=10).steps(CALIBRATIONS, 0),
        Wait(1.0),
        Note("lights off"),
    ]
    described = json.loads(json.dumps([step.to_dict() for step in steps]))
    assert described[0] == {
        "step": "Set", "role": "gradient", "parameter": "detuning_difference", "value": 1e3,
    }  # fmt: skip
    assert described[2]["sequence"]["windows"][0]["name"] == "preparation"
    with pytest.raises(AttributeError):
        steps[0].value = 2e3  # type: ignore[misc, union-attr]
    for impossible in (lambda: Wait(-1.0), lambda: Shots(steps[2].sequence, 0)):  # type: ignore[union-attr]
        with pytest.raises(ValueError):
            impossible()


def test_the_shot_follows_the_settings():
    """Preparation, dark time, pi/2 pulse, then the two gates, in this order."""
    sequence = RamseyEllipse(gate=2e-3).sequence()
    names = [window.name for window in sequence.windows]
    assert names == ["preparation", "pulse", "ensemble_1", "ensemble_2"]
    assert sequence.window("preparation").duration == 12e-3
    assert sequence.window("pulse").duration == pytest.approx(5e-6)
    assert [gate.duration for gate in sequence.gates] == [2e-3, 2e-3]
    assert [tone.amplitude_hz for tone in sequence.drive] == [10e3, 50e3]


def test_the_dark_time_and_the_finite_pulse_make_the_bias_phase():
    """phi = (Delta/2)(C - B) + the z turn at the start of the detuned pulse."""
    protocol = RamseyEllipse(bias_phase=0.2)
    turn = detuned_pulse(2 * math.pi * 50e3, 2 * math.pi * 500.0, 5e-6).phase_before
    dark = protocol.sequence().dark_time
    assert math.pi * 1e3 * dark + turn == pytest.approx(0.2, abs=1e-9)
    assert RamseyEllipse(dark_time=dark).settings.bias()[1] == pytest.approx(0.2, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"hold": 2e-3}, "hold at least 0.00701 s"),
        ({"bias_phase": 0.005}, "less than the finite pulse alone"),
        ({"shots": 0}, "greater than or equal to 1"),
        ({"gate": -1e-3}, "greater than 0"),
        ({"detuning_hz": float("nan")}, "finite"),
        ({"bias_phase": 2.0}, "less than 1.57"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, complaint):
    """With the setting's name and its bounds, or what to change."""
    with pytest.raises(ValidationError, match=complaint):
        RamseyEllipse(**settings)


def test_every_setting_says_what_it_is_and_in_which_unit():
    """The description of a setting is what `--help` shows."""
    fields = type(RamseyEllipse().settings).model_fields
    assert all(field.description for field in fields.values())


def knobs_of(
    calibrations: dict[str, Calibration],
) -> Callable[[dict[str, Calibration]], np.ndarray]:
    """Nuisances of a laboratory whose true laws differ from the calibrations in use.

    The instruments are set by `calibrations`; what the atoms see follows the other laws.
    """
    current = calibrations["gradient"].inverse(1e3)
    powers = [calibrations["drive"].inverse(f) for f in (10e3, 50e3)]
    dark = RamseyEllipse().sequence().dark_time

    def nuisances(true: dict[str, Calibration]) -> np.ndarray:
        delta = true["gradient"].forward(current)
        weak, strong = (true["drive"].forward(power) for power in powers)
        pulse = detuned_pulse(2 * math.pi * strong, math.pi * delta, 5e-6)
        counts = true["detector"].at_gate(5e-3).parameters
        bias = math.pi * delta * dark + pulse.phase_before
        logs = np.log([delta / weak, pulse.area, counts["gain"]])
        return np.array([*logs, counts["background"], bias])

    return nuisances


def test_the_covariance_is_that_of_finite_differences():
    """Moving each calibration parameter by a little gives the same joint covariance."""
    nuisances = knobs_of(CALIBRATIONS)
    expected = np.zeros((5, 5))
    for role, calibration in CALIBRATIONS.items():
        columns = []
        for name, value in calibration.parameters.items():
            step = 1e-5 * abs(value) or 1e-3
            sides = [
                nuisances(
                    {
                        **CALIBRATIONS,
                        role: replace(
                            calibration, parameters={**calibration.parameters, name: value + turn}
                        ),
                    }
                )
                for turn in (step, -step)
            ]
            columns.append((sides[0] - sides[1]) / (2 * step))
        jacobian = np.array(columns).T
        expected += jacobian @ calibration.covariance @ jacobian.T
    beliefs = RamseyEllipse().beliefs(CALIBRATIONS)
    assert np.allclose(beliefs.covariance, expected[:4, :4], rtol=1e-5, atol=1e-12)
    assert beliefs.bias_std == pytest.approx(math.sqrt(expected[4, 4]), rel=1e-5)
    assert np.asarray(beliefs.covariance)[0, 1] < 0  # one drive: the ratio falls, the area grows


def test_the_beliefs_are_the_calibrations_values():
    """Nothing but the settings and the calibrations enters."""
    beliefs = RamseyEllipse(gate=2.5e-3, atoms_per_ensemble=80).beliefs(CALIBRATIONS)
    assert beliefs.spin == 40 and beliefs.detuning_ratio == pytest.approx(0.1)
    assert beliefs.pulse_area == pytest.approx(math.pi / 2, abs=1e-3)
    assert (beliefs.gain, beliefs.background) == pytest.approx((50.0, 25.0))
    assert beliefs.bias_phase == pytest.approx(0.12)


def test_a_missing_calibration_is_named():
    """The message says which role's file the station lacks."""
    some = {role: one for role, one in CALIBRATIONS.items() if role != "detector"}
    with pytest.raises(RamseySettingsError, match="role detector"):
        RamseyEllipse().beliefs(some)


def test_protocols_are_found_by_name():
    """The registry gives the class and its shipped rehearsal, and says what it has."""
    assert {"ramsey_ellipse", "pumping_scan"} <= set(PROTOCOLS)
    assert protocol_by_name("ramsey_ellipse") is RamseyEllipse
    assert shipped_rehearsal("ramsey_ellipse") == ("two_ensemble", "two_ensemble.lab.yaml")
    with pytest.raises(ValueError, match=r"no protocol 'rabi'; there are .*ramsey_ellipse"):
        protocol_by_name("rabi")
