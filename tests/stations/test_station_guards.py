"""Guards that a station file switches on: coil temperature, cavity lock, atom number."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qcodes.instrument import Instrument

from cavitylab import run
from cavitylab.instruments.errors import InstrumentError, LimitError, StationFileError
from cavitylab.instruments.roles import ReadingsMismatch
from cavitylab.instruments.simulated.faults import FaultRule
from cavitylab.instruments.station import Station
from cavitylab.instruments.timeline import Window
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.engine import GuardError, State
from cavitylab.protocols.engine.records import Status
from cavitylab.protocols.recording import Run

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))
Opened = Callable[..., Station]
SCOPE = "TCPIP0::192.168.10.29::5025::SOCKET"
CAVITY = f"""\
  scope:
    type: cavitylab.instruments.drivers.keysight_infiniivision.KeysightInfiniiVision
    address: {SCOPE}
  cavity:
    type: cavitylab.instruments.roles.cavity_trace.CavityTrace
    init: {{source: scope, volts: 1.5, duration: 1.0e-3, points: 200, locked_above: 0.6}}
"""
SCOPE_DEVICE = f"  - {{name: scope, model: keysight_infiniivision, addresses: ['{SCOPE}']}}\n"
SCOPE_WIRES = (
    "  - {from: laser_head.transmission, to: scope.ch1}\n  - {from: timing_box.AB, to: scope.ext}\n"
)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens the shipped station with changes to its two files; nothing stays open."""
    shutil.copytree(SHIPPED / "calibrations", tmp_path / "calibrations")

    def open_it(
        station: dict[str, str] | None = None, laboratory: dict[str, str] | None = None
    ) -> Station:
        for name, changes in (
            ("two_ensemble.yaml", station),
            ("two_ensemble.lab.yaml", laboratory),
        ):
            text = (SHIPPED / name).read_text()
            for old, new in (changes or {}).items():
                assert text.count(old) == 1, old
                text = text.replace(old, new)
            (tmp_path / name).write_text(text)
        return Station.open(
            tmp_path / "two_ensemble.yaml", rehearse=tmp_path / "two_ensemble.lab.yaml", seed=5
        )

    yield open_it
    left = [instrument.name for instrument in Instrument.instances()]
    Instrument.close_all()
    assert not left


def with_cavity(opened: Opened) -> Station:
    """The shipped station with an oscilloscope behind the cavity."""
    return opened(
        {"  # ---- what a physicist sets": CAVITY + "  # ---- what a physicist sets"},
        {"devices:\n": f"devices:\n{SCOPE_DEVICE}", "wires:\n": f"wires:\n{SCOPE_WIRES}"},
    )


def device(station: Station, name: str) -> Any:
    """A simulated device."""
    rehearsal: Any = station._rehearsal
    return rehearsal._library.laboratory.devices[name]


# ---- coil temperature ---------------------------------------------------------------

COIL = {"tolerance: 0.02": "tolerance: 0.02\n      cold_resistance: 0.8\n      hottest: 60.0"}
COIL_ADDRESS = '    addresses: ["TCPIP0::192.168.10.24::5025::SOCKET"]\n'
COIL_ITSELF = "    settings: {resistance: 0.8, inductance: 40.0e-3, loop_time: 20.0e-3}\n"
COIL_DEVICE = COIL_ADDRESS + COIL_ITSELF


def test_the_coil_tells_its_temperature_by_its_resistance(opened: Opened) -> None:
    """4 A in 0.8 Ohm, 3 K/W: 38 K (and the warm coil's 15 % more) above the room in the end."""
    warm = {COIL_DEVICE: COIL_ADDRESS + "    settings: {heat_rise: 3.0, heat_time: 30.0}\n"}
    with opened(COIL, warm) as station:
        coil = station.roles["gradient"]
        assert np.isnan(coil.parameters["temperature"]())
        assert coil.health().text == "output off"
        coil.parameters["detuning_difference"](1000.0)
        assert coil.parameters["temperature"]() == pytest.approx(22.0, abs=5.0)
        station.clock.wait(15.0)
        found = coil.parameters["temperature"]()
        assert found == pytest.approx(20.0 + device(station, "coil_supply").heat.warmth, abs=5.0)
        assert 25.0 < found < 50.0
        assert coil.health().ok and coil.health().text.endswith("degC")
        station.clock.wait(300.0)
        assert coil.parameters["temperature"]() == pytest.approx(65.2, abs=5.0)
        health = coil.health()
        assert not health.ok and health.hazard and "above 60 degC" in health.text


def test_a_hot_coil_ends_the_run_safe_at_once(opened: Opened, tmp_path: Path) -> None:
    """Waiting with the current on would heat it further: no patience, the shots are kept."""
    hot = {COIL_DEVICE: COIL_ADDRESS + "    settings: {heat_rise: 8.0, heat_time: 25.0}\n"}
    protocol: Any = RamseyEllipse(coil_check=0, shots=800, block=40)
    with opened(COIL, hot) as station:
        with pytest.raises(GuardError, match=r"made safe at once.*above 60 degC") as caught:
            run(protocol, station, data=tmp_path)
        assert station.clock.now() < 60.0, "the patience of 300 s was not spent on it"
        sent = [
            m.text for m in station.journal if m.direction == ">" and m.text.startswith("OUTP O")
        ]
    assert sent[-1] == "OUTP OFF"
    (note,) = getattr(caught.value, "__notes__", [""])
    status = Run.open(note.partition(" kept in ")[2]).load("shot")["status"]
    assert len(status) and set(status.tolist()) <= {Status.OK, Status.ABORTED}
    assert (status == Status.ABORTED).sum() % 40 == 0


def test_a_limit_of_the_temperature_needs_a_cold_resistance(opened: Opened) -> None:
    """Refused with the file: nobody could tell."""
    with pytest.raises(StationFileError, match="`hottest` needs `cold_resistance`"):
        opened({"tolerance: 0.02": "tolerance: 0.02\n      hottest: 60.0"})


SM15K = "TCPIP0::192.168.10.24::8462::SOCKET"
ON_SM15K = (
    {
        "kepco_bop.KepcoBOP": "delta_sm15k.DeltaSM15K",
        "TCPIP0::192.168.10.24::5025::SOCKET": SM15K,
        "      max_compliance: 20.0\n": "      max_voltage: 20.0\n",
        "      list_step: 0.5 ": "      # ",
    },
    {
        "    model: kepco_bop\n": "    model: delta_sm15k\n",
        COIL_ITSELF: "    settings: {rated_current: 20.0, rated_power: 1.0e+3, resistance: 0.8, "
        "inductance: 4.0e-3}\n",
        "TCPIP0::192.168.10.24::5025::SOCKET": SM15K,
    },
)
"""Changes of station and laboratory file: another supply behind the same coil."""


def test_the_coil_may_hang_on_a_supply_of_one_sign(opened: Opened, tmp_path: Path) -> None:
    """The same run on a Delta SM15K: voltage and power set before, detunings of one sign only."""
    protocol: Any = RamseyEllipse(coil_check=0, shots=4, block=4)
    with opened(*ON_SM15K) as station:
        result = run(protocol, station, data=tmp_path)
        sent = [m.text for m in station.journal if m.direction == ">"]
        order = ["SYST:REM:CC Remote", "SOUR:VOL 10.0000", "SOUR:POW 120.0000", "OUTP ON"]
        assert [sent.index(one) for one in order] == sorted(sent.index(one) for one in order)
        assert [text for text in sent if text.startswith("OUTP O")][-1] == "OUTP OFF"
        coil = station.roles["gradient"]
        with pytest.raises(LimitError, match="together 0 to 12 A"):
            coil.parameters["detuning_difference"](-100.0)
    assert result.state is State.DONE and result.shots == 4 and not result.unsafe


def test_what_the_supply_complains_of_spoils_shots(opened: Opened) -> None:
    """An interlock of the SM15K that opens while the current is on."""
    with opened(*ON_SM15K) as station:
        coil = station.roles["gradient"]
        coil.parameters["detuning_difference"](500.0)
        assert coil.health().ok
        rehearsal: Any = station._rehearsal
        wrong = FaultRule("coil_supply", "wrong_value", "STAT:REG:A", value=str(2 + 2048 + 8192))
        rehearsal._library.laboratory.spoil([wrong])
        assert not coil.health().ok and coil.health().text.endswith("A set, interlock")


# ---- cavity lock --------------------------------------------------------------------


def test_the_level_behind_the_cavity_tells_the_lock(opened: Opened) -> None:
    """1 V when locked; a mode hop that the laser's own controller does not notice is seen."""
    with with_cavity(opened) as station:
        cavity = station.roles["cavity"]
        assert cavity.parameters["level"]() == pytest.approx(1.0, abs=0.01)
        assert cavity.parameters["lock_ok"]() is True and cavity.health().ok
        device(station, "laser_head").settings["transmission"] = 0.2
        assert station.roles["laser"].health().ok
        assert cavity.health().text.endswith("V behind the cavity, locked is above 0.6 V")
        assert not cavity.health().ok and not cavity.health().hazard


@pytest.mark.slow
def test_shots_without_a_locked_cavity_are_marked_and_repeated(
    opened: Opened, tmp_path: Path
) -> None:
    """Lost in the second block, found again while the run waits: "unlocked", all on record."""
    protocol: Any = RamseyEllipse(coil_check=0, shots=20, block=10)
    with with_cavity(opened) as station:
        laser = device(station, "laser_head")

        def listen(message: Any) -> None:
            if message.text == "*TRG" and message.direction == ">":
                fired.append(message.time)
                laser.settings["transmission"] = 0.1 if len(fired) == 2 else 1.0
            elif len(fired) == 2 and station.clock.now() > fired[1] + 3.0:
                laser.settings["transmission"] = 1.0

        fired: list[float] = []
        station.journal.add_listener(listen)
        result = run(protocol, station, data=tmp_path)
    assert result.state is State.DONE and result.shots == 20
    status = result.records["status"].values
    assert status.tolist() == [Status.OK] * 10 + [Status.UNLOCKED] * 10 + [Status.OK] * 10
    texts = [event["text"] for event in result.run.events() if event["kind"] == "guard"]
    assert "V behind the cavity, locked is above 0.6 V" in texts[0]
    assert texts[-1] == "going on: health of cavity is well again"


def test_one_trace_a_shot(opened: Opened) -> None:
    """Segments for a block, one record for a single shot; a missed trigger rejects the block."""
    with with_cavity(opened) as station:
        cavity, timing = (station.roles[name] for name in ("cavity", "timing"))
        for shots in (5, 1):
            cavity.upload(cavity.compile(shots))
            timing.upload(timing.compile([Window("preparation", 0.0, 2e-3)], shots, 0.01))
            cavity.arm()
            with pytest.raises(InstrumentError, match="armed for shots"):
                cavity.parameters["level"]()
            timing.fire()
            timing.wait_done()
            trace = cavity.read()
            assert trace.volts.shape == (shots, 200) and trace.clipped == 0
            assert trace.times[0] == pytest.approx(0.0, abs=1e-8)
            assert np.allclose(trace.volts, 1.0, atol=0.05)
        cavity.upload(cavity.compile(4))
        cavity.arm()
        timing.upload(timing.compile([Window("preparation", 0.0, 2e-3)], 3, 0.01))
        timing.fire()
        timing.wait_done()
        with pytest.raises(ReadingsMismatch, match="trigger"):
            cavity.read(patience=0.5)
        assert cavity.safe().message == "no trace awaited"
        device(station, "laser_head").settings["transmission"] = 5.0
        cavity.upload(cavity.compile(1))
        cavity.arm()
        assert cavity.safe().message == "waiting for traces stopped"
        cavity.upload(cavity.compile(2))
        cavity.arm()
        timing.fire()
        timing.wait_done()
        with pytest.raises(InstrumentError, match="beyond the screen of 1.5 V"):
            cavity.read()
        with pytest.raises(LimitError, match="at least 1 shot"):
            cavity.compile(0)


def test_a_dead_oscilloscope_is_not_fit(opened: Opened) -> None:
    """No answer is no lock; the station is safe all the same."""
    with with_cavity(opened) as station:
        rehearsal: Any = station._rehearsal
        rehearsal._library.laboratory.spoil([FaultRule("scope", "mute")])
        assert not station.roles["cavity"].health().ok
        assert all(one.ok for one in station.make_safe())


def test_levels_off_the_screen_are_refused(opened: Opened) -> None:
    """With the file, and with its line."""
    with pytest.raises(StationFileError, match=r"locked_above.*within the screen"):
        opened(
            {
                "  # ---- what a physicist sets": CAVITY.replace("0.6}", "1.6}")
                + "  # ---- what a physicist sets"
            }
        )


# ---- atom number --------------------------------------------------------------------


@pytest.mark.slow
def test_shots_with_impossible_counts_are_marked_and_repeated(
    opened: Opened, tmp_path: Path
) -> None:
    """The station file's limits on the raw counts: on record, named, and as many taken again."""
    protocol: Any = RamseyEllipse(coil_check=0, shots=30, block=30)
    limits = {"      threshold: 1.0": "      threshold: 1.0\n      counts_between: [2000, 11000]"}
    with opened(limits) as station:
        result = run(protocol, station, data=tmp_path)
    total = result.records["counts"].values.sum(axis=1)
    status = result.records["status"].values
    good = (total >= 2000) & (total <= 11000)
    assert np.array_equal(status == Status.OK, good) and not good.all()
    assert result.shots == good.sum() == 30
    assert set(status[~good].tolist()) <= {Status.ABORTED, Status.SATURATED}
    (first, *_) = [event for event in result.run.events() if event["kind"] == "guard"]
    assert "shots have counts outside [2000, 11000]" in first["text"]


def test_limits_of_the_counts_the_wrong_way_round_are_refused(opened: Opened) -> None:
    """With the file."""
    with pytest.raises(StationFileError, match="the smaller first"):
        opened({"      threshold: 1.0": "      threshold: 1.0\n      counts_between: [9, 3]"})
