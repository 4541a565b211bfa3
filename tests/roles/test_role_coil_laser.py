"""The gradient coil and the laser: ramps, limits, safe states."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.calibration import Calibration
from cavitylab.instruments.errors import InstrumentError, LimitError
from cavitylab.instruments.roles import GradientCoil, Laser
from cavitylab.instruments.roles.gradient_coil import CoilProgram
from cavitylab.instruments.timeline import Tone


@pytest.fixture
def supply(recorder: Any) -> Any:
    """Double of the coil supply: what is set flows, but for `leak`."""
    box = recorder("coil_supply")
    box.max_current, box.leak = 10.0, 0.0
    for name, value in (("mode", "voltage"), ("compliance", 0.0), ("current", 0.0)):
        box.manual(box, name, value)
    box.manual(box, "output_enabled", False)
    box.add_parameter("measured_current", get_cmd=lambda: box.current() + box.leak)

    def ramp_current(target: float, rate: float) -> None:
        box.did("ramp", target, rate)
        box.clock.wait(abs(target) / rate)
        box.current(target)

    def ramp_down() -> None:
        box.did("ramp_down")
        box.output_enabled(False)

    box.ramp_current, box.ramp_down = ramp_current, ramp_down
    return box


def coil(gradient: Calibration, **changes: Any) -> GradientCoil:
    """A coil of 250 Hz/A."""
    settings: dict[str, Any] = {"max_current": 12.0, "compliance": 10.0, **changes}
    return GradientCoil("gradient", source="coil_supply", calibration=gradient, **settings)


def test_setting_a_detuning_ramps_and_settles(supply: Any, gradient: Calibration) -> None:
    """Mode and compliance before the output, the output at 0 A, then the ramp and the wait."""
    role = coil(gradient, ramp_rate=4.0, settle_time=0.2)
    role.detuning_difference(1000.0)
    assert [call[-2:] for call in supply.calls[:4]] == [
        ("mode", "current"),
        ("compliance", 10.0),
        ("current", 0.0),
        ("output_enabled", True),
    ]
    assert supply.calls[4] == ("ramp", 4.0, 4.0)
    assert supply.clock.now() == pytest.approx(1.2)
    assert role.detuning_difference() == pytest.approx(1000.0)
    assert role.health().ok


class ListDouble:
    """Double of a supply's list, which remembers what it was told."""

    def __init__(self, supply: Any) -> None:
        self._supply = supply

    def load(self, currents: Any, dwell: float) -> None:
        self._supply.did("load", currents, dwell)

    def run(self) -> None:
        self._supply.did("run")

    def finish(self) -> None:
        self._supply.did("finish")


def test_a_list_is_loaded_once_played_and_settled_from(supply: Any, gradient: Calibration) -> None:
    """Before anything else is done with the coil its list ends, and the coil settles again."""
    role, supply.list = coil(gradient, settle_time=0.2), ListDouble(supply)
    program = role.compile((Tone(0.0, 0.1, 500.0), Tone(0.1, 0.1, 600.0)))
    assert program == CoilProgram((2.0, 2.4), 0.1)
    role.upload(program)
    role.arm()
    assert supply.calls == [("load", (2.0, 2.4), 0.1), ("run",)]
    role.upload(program)
    assert supply.calls[2:] == [("finish",)] and supply.clock.now() == pytest.approx(0.2)
    role.arm()
    role.detuning_difference(500.0)
    assert supply.calls[4] == ("finish",)
    for tones in (
        (Tone(0.0, 0.1, 500.0),),
        (Tone(0.0, 0.1, 500.0), Tone(0.2, 0.1, 600.0)),
        (Tone(0.0, 0.1, 500.0), Tone(0.1, 0.2, 600.0)),
    ):
        with pytest.raises(LimitError, match="two tones or more"):
            role.compile(tones)
    with pytest.raises(LimitError, match="lies outside"):
        role.compile((Tone(0.0, 0.1, 500.0), Tone(0.1, 0.1, 6e6)))


def test_a_calibration_may_ask_for_a_longer_wait(supply: Any, gradient: Calibration) -> None:
    """The law holds from `settled_after` on: the longer of the two times is waited."""
    slow = dataclasses.replace(gradient, conditions={"settled_after": 0.5})
    assert coil(slow, settle_time=0.2).settling_time == 0.5
    assert supply.calls == []


def test_a_current_that_does_not_flow_is_an_error(supply: Any, gradient: Calibration) -> None:
    """A coil that is not connected, or an open interlock, is noticed before the shots."""
    role = coil(gradient)
    supply.leak = -0.5
    with pytest.raises(InstrumentError, match=r"3.5 A flow, 0.2 s after 4 A were set"):
        role.detuning_difference(1000.0)
    assert not role.health().ok


def test_one_noisy_reading_of_the_current_is_asked_again(
    supply: Any, gradient: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading that is off once in many thousands does not end a run of hours."""
    readings = iter([4.5, 4.0])
    role = coil(gradient)
    monkeypatch.setattr(supply.measured_current, "get", lambda: next(readings))
    role.detuning_difference(1000.0)
    assert next(readings, None) is None


@pytest.mark.parametrize(("stated", "most"), [(12.0, 2500.0), (4.0, 1000.0)])
def test_limits_of_station_file_and_supply_intersect(
    supply: Any, gradient: Calibration, stated: float, most: float
) -> None:
    """The supply bears 10 A here; the station file can only narrow that."""
    role = coil(gradient, max_current=stated)
    assert role.limits == pytest.approx((-most, most))
    with pytest.raises(LimitError, match=f"{most + 1:g} Hz lies outside"):
        role.detuning_difference(most + 1)
    assert supply.calls == []


def test_safe_ramps_down_and_switches_off(supply: Any, gradient: Calibration) -> None:
    """The driver's ramp to 0 A ends with the output off."""
    role = coil(gradient)
    role.detuning_difference(-500.0)
    assert role.safe().ok
    assert supply.calls[-2:] == [
        ("ramp_down",),
        ("set", "coil_supply", "output_enabled", False),
    ]


@pytest.fixture
def head(recorder: Any) -> Any:
    """Double of a laser head, emitting and locked."""
    box = recorder("laser_head")
    values = {"emission": True, "lock_state_text": "Locked", "health_text": "ok"}
    for name, value in (*values.items(), ("current_enabled", True), ("current_set", 0.1)):
        box.manual(box, name, value)
    return box


@pytest.mark.parametrize(
    ("emission", "lock", "locked", "good"),
    [
        (True, "Locked", True, True),
        (True, "Not locked", True, False),
        (True, "Not locked", False, True),
        (False, "Locked", False, False),
    ],
)
def test_a_good_laser_emits_and_is_locked(
    head: Any, emission: bool, lock: str, locked: bool, good: bool
) -> None:
    """The lock counts only where the station file asks for it; darkness is never good."""
    head.emission(emission)
    head.lock_state_text(lock)
    role = Laser("laser", source="laser_head", max_current=0.15, locked=locked)
    assert role.health().ok is good
    assert role.lock_ok() is (lock == "Locked")


@pytest.mark.parametrize("when_safe", ["keep", "off"])
def test_safe_state_of_a_laser_is_the_station_files(head: Any, when_safe: str) -> None:
    """`keep` sends nothing, `off` switches the diode current off."""
    role = Laser("laser", source="laser_head", max_current=0.15, when_safe=when_safe)
    assert role.safe().ok
    off = [("set", "laser_head", "current_enabled", False)]
    assert head.calls == (off if when_safe == "off" else [])


def test_a_laser_without_calibration_has_no_power(head: Any) -> None:
    """The diode current is limited all the same."""
    role = Laser("laser", source="laser_head", max_current=0.15)
    assert not hasattr(role, "power")
    with pytest.raises(LimitError, match=r"0.2 A lies outside \[0, 0.15\] A"):
        role.current(0.2)
    role.current(0.12)
    assert head.current_set() == 0.12


def test_optical_power_goes_through_the_calibration(head: Any) -> None:
    """With a calibration from A to W there is a power, limited by it and by the current."""
    watts = Calibration(
        kind="linear",
        parameters={"slope": 0.5, "offset": -0.02},
        covariance=np.zeros((2, 2)),
        domain=(0.05, 0.2),
        input_unit="A",
        output_unit="W",
        date=datetime.date(2026, 11, 2),
    )
    role = Laser("laser", source="laser_head", max_current=0.15, calibration=watts)
    role.power(0.04)
    assert head.current_set() == pytest.approx(0.12)
    with pytest.raises(LimitError, match="diode current 0.16 A"):
        role.power(0.06)


def test_a_role_tells_what_it_is_without_asking(head: Any) -> None:
    """Its identity is its class and its source."""
    role = Laser("laser", source="laser_head", max_current=0.15)
    assert (role.get_idn()["model"], role.get_idn()["serial"]) == ("Laser", "laser_head")
    assert head.calls == []
