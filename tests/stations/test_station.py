"""The station in a rehearsal: opening asks, leaving is safe, every failure is told at once."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from qcodes.instrument import Instrument

from cavitylab.instruments.errors import CavityLabError, LinkError, StationFileError
from cavitylab.instruments.journal import Journal
from cavitylab.instruments.station import Station, StationBusy

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))

QUESTION = re.compile(
    r"\?|^\(param-ref|^(INFO|VERSION|(MODE|LIMIT|FREQ|POW|PHASE|STATUS),\d)$", re.IGNORECASE
)
"""Messages of the five instruments that only ask."""


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    """A test that leaves an instrument open has failed."""
    yield
    left = [instrument.name for instrument in Instrument.instances()]
    Instrument.close_all()
    assert not left


def rehearsal(**options: Any) -> Station:
    """The shipped station on its shipped laboratory."""
    return Station.open("two_ensemble", rehearse="two_ensemble", seed=7, **options)


def commands(journal: Journal) -> list[tuple[str, str]]:
    """What was sent that is no question: (instrument, text), oldest first."""
    return [
        (message.instrument, message.text)
        for message in journal
        if message.direction == ">" and not QUESTION.search(message.text)
    ]


def copied_station(folder: Path) -> Path:
    """A copy of the shipped station file, its calibrations and its laboratory."""
    shutil.copytree(SHIPPED / "calibrations", folder / "calibrations")
    for name in ("two_ensemble.yaml", "two_ensemble.lab.yaml"):
        shutil.copy(SHIPPED / name, folder)
    return folder / "two_ensemble.yaml"


def test_loading_writes_nothing() -> None:
    """Opening a station sends questions only."""
    journal = Journal()
    with rehearsal(journal=journal):
        assert {message.instrument for message in journal} == {
            "rf",
            "timing_box",
            "counter",
            "coil_supply",
            "laser_head",
        }
        assert commands(journal) == []


def test_leaving_reaches_the_safe_state_in_order_once() -> None:
    """RF off, then the coil to 0 A and off; the laser stays; nothing is sent afterwards."""
    with rehearsal() as station:
        station.roles["gradient"].parameters["detuning_difference"](1000.0)
        assert station.instruments["coil_supply"].parameters["current"]() == pytest.approx(4.0)
        station.journal.clear()
    sent = commands(station.journal)
    assert sent[:4] == [
        ("rf", "OFF,1"),
        ("rf", "MODE,1,NSB"),
        ("rf", "OFF,2"),
        ("rf", "MODE,2,NSB"),
    ]
    assert sent[-1] == ("coil_supply", "OUTP OFF")
    assert sent[-2] == ("coil_supply", "CURR 0.000000")
    assert {instrument for instrument, _ in sent} == {"rf", "coil_supply"}
    before = len(station.journal)
    station.close()
    assert [result.role for result in station.make_safe()][:3] == ["drive", "coupling", "gradient"]
    assert len(station.journal) == before


def test_safe_is_not_repeated_unless_something_was_sent() -> None:
    """An engine that made the station safe leaves nothing to do on leaving."""
    with rehearsal() as station:
        results = station.make_safe()
        assert all(result.ok for result in results)
        before = len(station.journal)
        assert station.make_safe() == results
        assert len(station.journal) == before
    assert len(station.journal) == before

    with rehearsal() as station:
        station.make_safe()
        station.roles["gradient"].parameters["detuning_difference"](1000.0)
        station.journal.clear()
    assert ("coil_supply", "OUTP OFF") in commands(station.journal)


def test_a_dead_instrument_does_not_keep_the_others_from_being_safe(tmp_path: Path) -> None:
    """The RF synthesizer stops answering: the coil goes off all the same, and it is told."""
    path = copied_station(tmp_path)
    laboratory = tmp_path / "two_ensemble.lab.yaml"
    text = laboratory.read_text()
    assert "faults: []" in text
    mute = 'faults:\n  - {device: rf, kind: mute, match: "OFF|MODE"}\n'
    laboratory.write_text(text.replace("faults: []", mute))
    with Station.open(path, rehearse=laboratory) as station:
        station.roles["gradient"].parameters["detuning_difference"](500.0)
        results = {result.role: result for result in station.make_safe()}
        assert not results["drive"].ok
        assert not results["coupling"].ok
        assert "rf at TCPIP0::192.168.10.21::7802::SOCKET" in results["drive"].message
        assert all(results[name].ok for name in ("gradient", "laser", "timing", "detector"))
        assert station.instruments["coil_supply"].parameters["output_enabled"]() is False


def test_unreachable_instruments_come_in_one_message(tmp_path: Path) -> None:
    """Two addresses lead nowhere: one LinkError names both, and nothing stays open."""
    path = copied_station(tmp_path)
    path.write_text(path.read_text().replace("10.22", "10.122").replace("10.25", "10.125"))
    with pytest.raises(LinkError) as caught:
        Station.open(path, rehearse=tmp_path / "two_ensemble.lab.yaml")
    text = str(caught.value)
    assert "2 of the 5 instruments" in text
    assert "timing_box (TCPIP0::192.168.10.122::5025::SOCKET): " in text
    assert "laser_head (TCPIP0::192.168.10.125::1998::SOCKET): " in text


def test_hardware_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    """On real sockets with nobody listening: all five instruments in one message."""
    path = copied_station(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = taken.getsockname()[1]
        text = path.read_text()
        for last, number in zip(range(21, 26), (7802, 5025, 5025, 5025, 1998), strict=True):
            text = text.replace(f"192.168.10.{last}::{number}", f"127.0.0.{last - 20}::{port}")
        path.write_text(text)
        with pytest.raises(LinkError, match="5 of the 5 instruments"):
            Station.open(path)


def test_a_wrong_laboratory_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    """Its mistakes are told once, not once for each instrument."""
    path = copied_station(tmp_path)
    laboratory = tmp_path / "two_ensemble.lab.yaml"
    laboratory.write_text(laboratory.read_text().replace("seed: 20260", "seeds: 20260"))
    with pytest.raises(StationFileError, match="did you mean `seed`"):
        Station.open(path, rehearse=laboratory)


def test_the_second_station_of_a_process_is_refused() -> None:
    """QCoDeS has one register of names per process."""
    with rehearsal() as station:
        with pytest.raises(StationBusy, match="open in this process already"):
            rehearsal()
        assert station.roles["laser"].health().ok
    with rehearsal():
        pass


def test_a_station_on_hardware_is_locked_against_other_programs(tmp_path: Path) -> None:
    """A copy of the file with the same addresses is refused, and told who holds them."""
    path = copied_station(tmp_path)
    holder = (
        "import sys, pathlib\n"
        "from cavitylab.instruments.station_lock import station_lock\n"
        "from cavitylab.instruments.station_file import load_station_file\n"
        "file = load_station_file(sys.argv[1])\n"
        "with station_lock(file.path, [e.address for e in file.instruments]):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    text = path.read_text().replace("192.168.10.", "127.99.77.")
    path.write_text(text)
    other = tmp_path / "copy.yaml"
    other.write_text(text)
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline().strip() == "held"
        with pytest.raises(StationBusy, match=f"process {process.pid}"):
            Station.open(other)
        process.kill()
    with pytest.raises(LinkError):  # the lock is free again, but nobody listens there
        Station.open(other)


def test_a_snapshot_asks_nothing_and_is_strict_json() -> None:
    """Addresses, identities, settings, hashes and calibrations, without a message sent."""
    with rehearsal() as station:
        before = len(station.journal)
        snapshot = json.loads(json.dumps(station.snapshot(), allow_nan=False))
        assert len(station.journal) == before
        assert snapshot["rehearsal"] is True
        assert sorted(snapshot["roles"]) == [
            "coupling",
            "detector",
            "drive",
            "gradient",
            "laser",
            "timing",
        ]
        assert snapshot["calibrations"]["drive"]["parameters"]["f_max"] == 60e3
        assert snapshot["sha256"] == station.hash
        assert "two_ensemble.lab.yaml" in snapshot["files"]
        assert "phase" not in json.dumps(snapshot["files"])


def test_health_names_what_is_wrong() -> None:
    """Right after opening everything is well; each role says how it is."""
    with rehearsal() as station:
        health = station.health()
        assert list(health) == ["laser", "drive", "coupling", "gradient", "detector", "timing"]
        assert all(one.ok for one in health.values())
        assert health["laser"].text.startswith("emitting, locked")


def test_names_and_paths() -> None:
    """Shipped files by name, others by path; a wrong name gets a suggestion."""
    with pytest.raises(StationFileError, match="did you mean `two_ensemble`"):
        Station.open("two_ensembles")
    with pytest.raises(StationFileError, match=r"no file .*nowhere\.yaml"):
        Station.open("somewhere/nowhere.yaml")
    with Station.open(
        SHIPPED / "two_ensemble.yaml", rehearse=str(SHIPPED / "two_ensemble.lab.yaml")
    ) as station:
        assert station.name == "two_ensemble"


def test_options_of_a_rehearsal_need_one() -> None:
    """A seed without a laboratory would silently drive the hardware."""
    with pytest.raises(CavityLabError, match="belong to a rehearsal"):
        Station.open("two_ensemble", seed=3)


def test_a_path_that_cannot_name_a_library_is_refused(tmp_path: Path) -> None:
    """pyvisa splits the library's name at @."""
    folder = tmp_path / "me@home"
    folder.mkdir()
    path = copied_station(folder)
    with pytest.raises(StationFileError, match="must not have a `@`"):
        Station.open(path, rehearse=folder / "two_ensemble.lab.yaml")
