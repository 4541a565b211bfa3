"""Clients that nobody here wrote run unchanged against the simulated instruments.

Each is skipped where its package is not installed: `pymeasure`, `instrumentkit`,
`mogdevice`, `toptica-lasersdk`, `srsinst.dg645`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cavitylab.instruments.simulated.registry import laboratory_named
from cavitylab.instruments.simulated.server import Endpoint, LaboratoryServer

Bench = Callable[..., str]
Place = Callable[[str], Endpoint]


@pytest.fixture
def place(bench: Bench) -> Iterator[Place]:
    """Host and port of an instrument of the bench on loopback TCP."""
    name = bench(clock="real").removesuffix("@cavitylab")
    with LaboratoryServer(laboratory_named(name)) as server:
        endpoints = {one.name: one for one in server.endpoints}
        yield endpoints.__getitem__


def package(name: str) -> Any:
    return pytest.importorskip(name, reason=f"needs the package of {name}")


@pytest.mark.filterwarnings("ignore")
class TestPymeasure:
    """Instruments of pymeasure, in process."""

    ends = {"read_termination": "\n", "write_termination": "\n"}  # noqa: RUF012

    def test_waveform_generator(self, bench: Bench) -> None:
        """Agilent33500: levels, a waveform in text, a burst; no error is left."""
        agilent = package("pymeasure.instruments.agilent")
        address = "TCPIP0::10.0.0.6::5025::SOCKET"
        unit = agilent.Agilent33500(address, visa_library=bench(), **self.ends)
        unit.ch_1.voltage_high = 1.0
        unit.ch_1.voltage_low = -0.5
        unit.ch_1.data_volatile_clear()
        unit.ch_1.data_arb("test", [0, 1, 0, -1] * 4, data_format="float")
        unit.ch_1.shape = "ARB"
        unit.ch_1.arb_file = "test"
        unit.ch_1.arb_srate = 1e6
        unit.ch_1.burst_mode = "TRIG"
        unit.ch_1.burst_ncycles = 2
        unit.ch_1.burst_state = True
        unit.ch_1.output = True
        assert (unit.ch_1.offset, unit.ch_1.amplitude) == pytest.approx((0.25, 1.5))
        assert (unit.ch_1.burst_ncycles, unit.ch_1.arb_file) == (2, '"test"')
        assert unit.check_errors() == []

    def test_oscilloscope(self, bench: Bench) -> None:
        """KeysightDSOX1102G: settings, single, 1000 points with their preamble."""
        keysight = package("pymeasure.instruments.keysight")
        address = "TCPIP0::10.0.0.8::5025::SOCKET"
        unit = keysight.KeysightDSOX1102G(address, visa_library=bench(), **self.ends)
        unit.ch1.display = True
        unit.ch1.scale = 0.5
        unit.timebase_range = 1e-3
        unit.single()
        unit.adapter.connection.visalib.clock.wait(0.5)
        samples, preamble = unit.download_data("channel1", 1000)
        assert len(samples) == preamble["points"] == 1000
        assert preamble["xincrement"] == pytest.approx(1e-6)

    def test_bipolar_supply(self, bench: Bench) -> None:
        """KepcoBOP3612: mode, current, voltage, output."""
        kepco = package("pymeasure.instruments.kepco")
        unit = kepco.KepcoBOP3612("TCPIP0::10.0.0.4::5025::SOCKET", visa_library=bench())
        unit.operating_mode = "CURR"
        unit.voltage_setpoint = 5
        unit.current_setpoint = 1
        unit.output_enabled = True
        assert (unit.operating_mode, unit.current_setpoint) == ("CURR", 1.0)


INSTRUMENTKIT = """
import sys
from importlib.metadata import version
version("instrumentkit")
import instruments
unit = instruments.thorlabs.SC10.open_tcpip(sys.argv[1], int(sys.argv[2]))
unit.open_time = 10
unit.mode = unit.Mode.single
print(unit.name, unit.open_time.magnitude, unit.mode.name, unit.closed, unit.interlock, sep=";")
"""


def test_instrumentkit_shutter(place: Place, tmp_path: Path) -> None:
    """SC10 of InstrumentKit: echo and prompt are those it expects.

    In a process of its own, because its package is called `instruments`, as a folder here is.
    """
    where = place("shutter")
    done = subprocess.run(
        [sys.executable, "-P", "-c", INSTRUMENTKIT, where.host, str(where.port)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if "PackageNotFoundError" in done.stderr:
        pytest.skip("needs the package instrumentkit")
    name, seconds, mode, closed, interlock = done.stdout.strip().split(";")
    assert "SC10" in name
    assert float(seconds) == 10.0
    assert (mode, closed, interlock) == ("single", "True", "False")


@pytest.mark.slow
def test_moglabs_client(place: Place) -> None:
    """MOGLabs' own mogdevice; slow because it is installed apart, `pip install --no-deps`."""
    mogdevice = package("mogdevice")
    where = place("rf")
    unit = mogdevice.MOGDevice(where.host, where.port)
    assert unit.cmd("FREQ,1,90MHz").startswith("OK")
    assert unit.ask("FREQ,1").startswith("90.0")
    unit.close()


def test_toptica_client(place: Place) -> None:
    """TOPTICA's own SDK; its monitoring line is given the command port as well."""
    client = package("toptica.lasersdk.client")
    where = place("laser_head")
    connection = client.NetworkConnection(where.host, where.port, where.port, timeout=20)
    with client.Client(connection) as unit:
        assert unit.get("serial-number", str) == "DLC PRO_000001"
        assert unit.get("emission", bool) is True
        unit.set("laser1:dl:cc:current-set", 140.0)
        assert unit.get("laser1:dl:cc:current-set", float) == 140.0


def test_srs_client(place: Place) -> None:
    """The vendor's srsinst.dg645 over TCP."""
    srsinst = package("srsinst.dg645")
    where = place("timing_box")
    unit = srsinst.DG645("tcpip", where.host, where.port)
    assert "DG645" in unit.check_id()[0]
    unit.disconnect()
