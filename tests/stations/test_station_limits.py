"""Soft limits narrow the instruments' and never widen them; the coil obeys its interlock."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from cavitylab.instruments.errors import InstrumentError, LimitError, StationFileError
from cavitylab.instruments.roles import GradientCoil, Laser
from cavitylab.instruments.station import Station
from cavitylab.instruments.timeline import Tone

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))


def copied(folder: Path, *changes: tuple[str, str]) -> Path:
    """The shipped station with changes, beside its laboratory."""
    shutil.copytree(SHIPPED / "calibrations", folder / "calibrations")
    shutil.copy(SHIPPED / "two_ensemble.lab.yaml", folder)
    text = (SHIPPED / "two_ensemble.yaml").read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "two_ensemble.yaml"
    path.write_text(text)
    return path


def opened(path: Path) -> Station:
    """The station on its laboratory."""
    return Station.open(path, rehearse=path.with_name("two_ensemble.lab.yaml"), seed=7)


@pytest.fixture
def station() -> Iterator[Station]:
    """The shipped rehearsal."""
    with Station.open("two_ensemble", rehearse="two_ensemble", seed=7) as one:
        yield one


def sent(station: Station) -> list[str]:
    """Everything that was sent, oldest first."""
    return [message.text for message in station.journal if message.direction == ">"]


SUPPLY_FILE = "      max_current: 12.0\n      max_compliance"
ROLE_FILE = "      max_current: 12.0\n      compliance"
SUPPLY_RATE = "      max_compliance: 20.0\n      ramp_rate: 4.0"
ROLE_RATE = "      ramp_rate: 4.0\n      settle"


@pytest.mark.parametrize(
    ("supply", "role", "allowed"), [(12.0, 6.0, 6.0), (6.0, 12.0, 6.0), (4.0, 4.0, 4.0)]
)
def test_the_smaller_of_two_current_limits_holds(
    tmp_path: Path, supply: float, role: float, allowed: float
) -> None:
    """Station file and driver limit the current; a larger number in one changes nothing."""
    path = copied(
        tmp_path,
        (SUPPLY_FILE, SUPPLY_FILE.replace("12.0", str(supply))),
        (ROLE_FILE, ROLE_FILE.replace("12.0", str(role))),
    )
    with opened(path) as station:
        gradient: Any = station.roles["gradient"]
        assert gradient.limits == pytest.approx((-250.0 * allowed, 250.0 * allowed))
        before = len(sent(station))
        with pytest.raises(LimitError, match="lies outside"):
            gradient.detuning_difference(250.0 * allowed * 1.01)
        assert len(sent(station)) == before


@pytest.mark.parametrize(("supply", "role"), [(1.0, 4.0), (4.0, 1.0)])
def test_the_slower_of_two_slew_limits_holds(tmp_path: Path, supply: float, role: float) -> None:
    """2 A at 1 A/s take two seconds, whichever of driver and role states the 1 A/s."""
    path = copied(
        tmp_path,
        (SUPPLY_RATE, SUPPLY_RATE.replace("4.0", str(supply))),
        (ROLE_RATE, ROLE_RATE.replace("4.0", str(role))),
    )
    with opened(path) as station:
        gradient: Any = station.roles["gradient"]
        assert gradient.ramp_rate == 1.0
        gradient.detuning_difference(0.0)
        before = station.clock.now()
        gradient.detuning_difference(500.0)
        assert station.clock.now() - before >= 2.0


def test_no_step_of_the_current_exceeds_the_ramp(station: Station) -> None:
    """From -12 A to 12 A: every message moves at most 0.1 A, at 4 A/s on the clock."""
    gradient: Any = station.roles["gradient"]
    gradient.detuning_difference(-3000.0)
    station.journal.clear()
    gradient.detuning_difference(3000.0)
    steps = [
        (message.time, float(message.text.split()[1]))
        for message in station.journal
        if message.direction == ">" and message.text.startswith("CURR ")
    ]
    assert len(steps) >= 240
    for (t0, i0), (t1, i1) in zip(steps, steps[1:], strict=False):
        assert abs(i1 - i0) <= 0.1 + 1e-6
        assert abs(i1 - i0) <= 4.0 * (t1 - t0) + 1e-6


@pytest.mark.parametrize(
    ("role", "parameter", "low", "high"),
    [
        ("drive", "amplitude", 5e3, 20e3),
        ("gradient", "detuning_difference", -400.0, 400.0),
        ("laser", "current", 0.05, 0.12),
    ],
)
def test_limits_of_an_open_station_only_narrow(
    station: Station, role: str, parameter: str, low: float, high: float
) -> None:
    """A second, wider narrowing changes nothing; one outside is refused."""
    one: Any = station.roles[role]
    before = one.limits
    one.narrow(parameter, low, high)
    narrowed = one.limits
    assert narrowed == pytest.approx((low, high))
    one.narrow(parameter, -1e9, 1e9)
    assert one.limits == narrowed
    with pytest.raises(LimitError, match="leaves nothing"):
        one.narrow(parameter, 10 * before[1], 20 * before[1])
    assert one.limits == narrowed
    messages = len(sent(station))
    with pytest.raises(LimitError):
        one.parameters[parameter].set(high * 1.05)
    assert not [text for text in sent(station)[messages:] if "?" not in text]


def test_a_narrowed_amplitude_holds_for_timed_tones(station: Station) -> None:
    """A sequence cannot do what a set may not."""
    drive: Any = station.roles["drive"]
    tone = Tone(10e-6, 100e-6, 30e3)
    assert drive.compile([tone]).entries
    drive.narrow("amplitude", high=20e3)
    with pytest.raises(LimitError, match="30000 Hz lies outside"):
        drive.compile([tone])


def test_the_synthesizers_own_limit_holds(station: Station) -> None:
    """RF power into the AOM: the limit on the unit, below that of the station file."""
    drive: Any = station.roles["drive"]
    station.instruments["rf"].ch1.limit(20.0)  # type: ignore[attr-defined]
    assert drive.power_of(drive.limits[1]) == pytest.approx(20.0, abs=1e-6)
    with pytest.raises(LimitError, match="lies outside"):
        drive.amplitude(drive.limits[1] * 1.01)


def test_a_parameter_without_limits_is_not_narrowed(station: Station) -> None:
    """The message names those that have limits."""
    with pytest.raises(LimitError, match="no limits of `amplitudes`.*amplitude"):
        station.roles["drive"].narrow("amplitudes", 0, 1)


POWER = """\
kind: linear
date: 2026-11-02
input: {name: diode current, unit: A, domain: [0.05, 0.14]}
output: {name: optical power, unit: W}
parameters:
  slope: {value: 0.5, unit: W/A, relative_std: 0.02}
  offset: {value: -0.02, unit: W, std: 0.001}
"""


def with_laser(folder: Path, extra: str, calibrated: bool = True) -> Path:
    """The shipped station with a power calibration of its laser."""
    line = f"      max_current: 0.15\n      {extra}\n"
    if calibrated:
        line += "      calibration: calibrations/laser.yaml\n"
    path = copied(folder, ("      max_current: 0.15\n      when_safe", f"{line}      when_safe"))
    (folder / "calibrations" / "laser.yaml").write_text(POWER)
    return path


def test_a_laser_obeys_the_smallest_of_power_current_and_calibration(tmp_path: Path) -> None:
    """40 mW at 0.5 W/A and a threshold of 40 mA are 120 mA: below 150 mA and the domain's end."""
    with opened(with_laser(tmp_path, "max_power: 0.04")) as station:
        laser: Any = station.roles["laser"]
        assert laser.limits == pytest.approx((0.05, 0.12))
        with pytest.raises(LimitError, match="max_power"):
            laser.current(0.13)
        laser.power(0.03)
        assert laser.current() == pytest.approx(0.1)
        laser.narrow("power", high=0.02)
        assert laser.limits == pytest.approx((0.05, 0.08))


@pytest.mark.parametrize(
    ("extra", "calibrated", "words"),
    [
        ("max_power: 0.04", False, "needs a `calibration` from A to W"),
        ("max_power: 0.001", True, "lies below the calibration's range"),
        ("max_power: -1.0", True, "greater than 0"),
    ],
)
def test_a_power_limit_that_cannot_hold_is_refused(
    tmp_path: Path, extra: str, calibrated: bool, words: str
) -> None:
    """Found in the file, before anything is opened."""
    with pytest.raises(StationFileError, match=words):
        opened(with_laser(tmp_path, extra, calibrated))


def test_a_tripped_interlock_is_not_overridden(tmp_path: Path) -> None:
    """The coil got hot and the output went off: no set switches it on, making safe allows it."""
    path = copied(tmp_path)
    laboratory = path.with_name("two_ensemble.lab.yaml")
    # the fault strikes with the first measurement, when the coil is at its set point
    fault = 'faults:\n  - {device: coil_supply, kind: coil_hot, match: "CURR 4.0000", nth: 1}\n'
    laboratory.write_text(laboratory.read_text().replace("faults: []", fault))
    with opened(path) as station:
        gradient: Any = station.roles["gradient"]
        with pytest.raises(InstrumentError):
            gradient.detuning_difference(1000.0)
        assert isinstance(gradient, GradientCoil)
        health = gradient.health()
        assert not health.ok
        assert "interlock" in health.text
        station.journal.clear()
        with pytest.raises(InstrumentError, match="went off by itself"):
            gradient.detuning_difference(500.0)
        assert not [text for text in sent(station) if text.startswith(("OUTP O", "CURR "))]
        assert gradient.safe().ok


def test_a_laser_left_on_says_so_when_safe(station: Station) -> None:
    """`keep` is a choice of the station file, and the safe state says what it left."""
    laser = station.roles["laser"]
    assert isinstance(laser, Laser)
    assert laser.safe().message == "emission left as it is"
