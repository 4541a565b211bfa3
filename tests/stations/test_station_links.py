"""Opening a station: instruments beside one another on real links, in order in rehearsals."""

from __future__ import annotations

import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest
import pyvisa
from qcodes.instrument import Instrument

from cavitylab.instruments.errors import LinkError
from cavitylab.instruments.journal import Journal
from cavitylab.instruments.simulated.server import LaboratoryServer
from cavitylab.instruments.station import Station
from cavitylab.instruments.station_file import Entry
from cavitylab.instruments.station_links import connect

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))

TEN = {
    "rf": ("moglabs_xrf", "MOGLabsXRF", "192.168.10.21::7802"),
    "timing_box": ("srs_dg645", "SRSDG645", "192.168.10.22::5025"),
    "counter": ("keysight_53220a", "Keysight53220A", "192.168.10.23::5025"),
    "coil_supply": ("kepco_bop", "KepcoBOP", "192.168.10.24::5025"),
    "laser_head": ("toptica_dlcpro", "TopticaDLCpro", "192.168.10.25::1998"),
    "bias_supply": ("delta_sm15k", "DeltaSM15K", "192.168.10.26::8462"),
    "generator": ("keysight_33600a", "Keysight33600A", "192.168.10.27::5025"),
    "scope": ("keysight_infiniivision", "KeysightInfiniiVision", "192.168.10.28::5025"),
    "shutter": ("thorlabs_sc10", "ThorlabsSC10", "192.168.10.29::4001"),
    "second_box": ("srs_dg645", "SRSDG645", "192.168.10.30::5025"),
}


@contextmanager
def ten_instruments(folder: Path) -> Iterator[Path]:
    """A station of ten instruments on loopback TCP, each with 1 ms for every command."""
    text = (SHIPPED / "two_ensemble.lab.yaml").read_text()
    more = [
        f"  - {{name: {name}, model: {module}, addresses: ['TCPIP0::{at}::SOCKET']}}\n"
        for name, (module, _, at) in list(TEN.items())[5:]
    ]
    laboratory_file = folder / "ten.lab.yaml"
    laboratory_file.write_text(text.replace("devices:\n", f"devices:\n{''.join(more)}"))
    visalib = f"{laboratory_file}?clock=real&latency=realistic@cavitylab"
    manager = pyvisa.ResourceManager(visalib)
    laboratory = manager.visalib.laboratory  # type: ignore[attr-defined]
    for device in laboratory.devices.values():
        device.latency = (1e-3, 0.0)
    with LaboratoryServer(laboratory) as server:
        lines = ["instruments:\n"]
        for endpoint in server.endpoints:
            module, kind, _ = TEN[endpoint.name]
            lines.append(
                f"  {endpoint.name}:\n"
                f"    type: cavitylab.instruments.drivers.{module}.{kind}\n"
                f"    address: {endpoint.visa_address}\n"
            )
        path = folder / "ten.yaml"
        path.write_text("".join(lines))
        yield path


def best_opening(path: Path, attempts: int) -> float:
    """Seconds of the fastest of several openings."""
    times = []
    for _ in range(attempts):
        began = time.perf_counter()
        with Station.open(path) as station:
            times.append(time.perf_counter() - began)
            assert sorted(station.instruments) == sorted(TEN)
    return min(times)


@pytest.mark.slow
def test_ten_instruments_open_within_a_second(tmp_path: Path) -> None:
    """Ten identifications over TCP with 1 ms for every command; the best of five openings."""
    with ten_instruments(tmp_path) as path:
        assert best_opening(path, 5) <= 1.0


def entries(number: int) -> list[Entry]:
    """Instruments for which nothing is opened."""
    return [Entry(f"one_{index}", Entry, 1, "", {}) for index in range(number)]  # type: ignore[arg-type]


def test_instruments_that_never_answer_cost_one_time_out_together() -> None:
    """All attempts are under way at the same time: each waits until the last has begun."""
    meeting = threading.Barrier(8, timeout=60)

    def dead(entry: Entry) -> object:
        meeting.wait()  # passes only when all eight attempts run at once
        raise LinkError(f"{entry.name} does not answer")

    links = connect(entries(8), dead, together=True)
    assert list(links.failed) == [f"one_{index}" for index in range(8)]
    assert not links.opened


def test_one_that_fails_does_not_keep_the_others_from_opening() -> None:
    """The order of the file is kept, whichever answers first."""

    def load(entry: Entry) -> object:
        if entry.name == "one_1":
            raise LinkError("nobody there")
        time.sleep(0.02 if entry.name == "one_0" else 0.0)
        return entry.name

    for together in (True, False):
        links = connect(entries(4), load, together=together)
        assert list(links.opened) == ["one_0", "one_2", "one_3"]
        assert str(links.failed["one_1"]) == "nobody there"


def copied_station(folder: Path) -> Path:
    """A copy of the shipped station file, its calibrations and its laboratory."""
    shutil.copytree(SHIPPED / "calibrations", folder / "calibrations")
    for name in ("two_ensemble.yaml", "two_ensemble.lab.yaml"):
        shutil.copy(SHIPPED / name, folder)
    return folder / "two_ensemble.yaml"


def test_silent_instruments_are_told_together(tmp_path: Path) -> None:
    """Five ports accept the connection and never answer: one error, one time-out of them all."""
    path = copied_station(tmp_path)
    text = path.read_text()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for last in range(21, 26):
            text = re.sub(rf"192\.168\.10\.{last}::\d+", f"127.0.1.{last}::{port}", text)
        silent.close()
        listeners = [socket.create_server((f"127.0.1.{last}", port)) for last in range(21, 26)]
        try:
            path.write_text(text)
            journal = Journal()
            began = time.perf_counter()
            with pytest.raises(LinkError, match="5 of the 5 instruments") as caught:
                Station.open(path, journal=journal)
            took = time.perf_counter() - began
        finally:
            for listener in listeners:
                listener.close()
    for name in ("rf", "timing_box", "counter", "coil_supply", "laser_head"):
        assert f"{name} (TCPIP0::127.0.1." in str(caught.value)
    # a driver's time-out is 2 s, and a question is repeated once: 4 s each, 20 s in a row
    assert took < 15.0
    assert not Instrument.instances()


def test_a_rehearsal_opens_in_the_order_of_the_file() -> None:
    """On the virtual clock the order of the messages belongs to what a seed fixes."""
    journal = Journal()
    with Station.open("two_ensemble", rehearse="two_ensemble", seed=7, journal=journal):
        order = list(dict.fromkeys(message.instrument for message in journal))
    assert order == ["rf", "timing_box", "counter", "coil_supply", "laser_head"]


def test_a_station_opened_in_part_makes_safe_what_answers(tmp_path: Path) -> None:
    """The synthesizer is gone: its roles are not safe and said so, the coil goes off."""
    path = copied_station(tmp_path)
    path.write_text(path.read_text().replace("10.21", "10.121"))
    with Station.open(path, rehearse=tmp_path / "two_ensemble.lab.yaml", partial=True) as station:
        assert list(station.unreachable) == ["rf"]
        assert "drive" not in station.roles
        results = {result.role: result for result in station.make_safe()}
    assert [name for name, result in results.items() if not result.ok] == ["drive", "coupling"]
    assert "rf could not be reached" in results["drive"].message
    assert "OUTP OFF" in station.journal.sent("coil_supply")


def test_leaving_as_it_is_sends_nothing() -> None:
    """For looking at a station: no output is switched, and the links are closed."""
    with Station.open("two_ensemble", rehearse="two_ensemble", seed=7) as station:
        before = len(station.journal)
        station.leave_as_is()
        assert not Instrument.instances()
    assert len(station.journal) == before
