"""The same instruments over TCP: pyvisa-py, the vendor's own driver, plain sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from importlib.resources import as_file, files

import pytest
import pyvisa
from pyvisa.resources import MessageBasedResource

from cavitylab.instruments.clock import RealClock, VirtualClock
from cavitylab.instruments.simulated.registry import Options, open_laboratory
from cavitylab.instruments.simulated.server import LaboratoryServer


def shipped(virtual: bool = False) -> LaboratoryServer:
    """A server of the shipped laboratory."""
    clock = VirtualClock() if virtual else RealClock()
    with as_file(files("cavitylab.station_configs") / "two_ensemble.lab.yaml") as path:
        laboratory = open_laboratory(str(path), Options(seed=1), clock)
    return LaboratoryServer(laboratory)


@pytest.fixture
def server() -> Iterator[LaboratoryServer]:
    """Every device on a free port of 127.0.0.1."""
    with shipped() as running:
        yield running


def port_of(server: LaboratoryServer, model: str) -> int:
    """Port of the first device of a class."""
    for endpoint in server.endpoints:
        if type(server.laboratory.devices[endpoint.name]).__name__ == model:
            return endpoint.port
    raise LookupError(model)


def open_with_pyvisa_py(port: int, end: str) -> MessageBasedResource:
    """A raw socket resource."""
    resource = pyvisa.ResourceManager("@py").open_resource(f"TCPIP0::127.0.0.1::{port}::SOCKET")
    assert isinstance(resource, MessageBasedResource)
    resource.read_termination = end
    resource.write_termination = "\n"
    resource.timeout = 2000
    return resource


@pytest.mark.parametrize(
    ("model", "end", "question", "answer"),
    [
        ("MOGLabsXRF", "\r\n", "FREQ,1,80MHz", "OK: CH1 freq now 80.00000007 MHz (0x147AE148)"),
        ("SRSDG645", "\r\n", "DLAY?3", "2,+0.000000010000"),
        ("Keysight53220A", "\n", "SYST:ERR?", '+0,"No error"'),
        ("KepcoBOP", "\n", "CURR?", "0.0E0"),
    ],
)
def test_pyvisa_py_reaches_every_instrument(
    server: LaboratoryServer, model: str, end: str, question: str, answer: str
) -> None:
    """A stock VISA library over TCP gets the instruments' own answers."""
    resource = open_with_pyvisa_py(port_of(server, model), end)
    try:
        assert [resource.query(question) for _ in range(3)] == [answer] * 3
    finally:
        resource.close()


def test_dlc_pro_prompt_over_tcp(server: LaboratoryServer) -> None:
    """Greeting and answers end with LF `>` space, byte for byte as in process."""
    with socket.create_connection(("127.0.0.1", port_of(server, "TopticaDLCpro")), 2.0) as link:
        link.settimeout(2.0)

        def until_prompt() -> bytes:
            data = b""
            while not data.endswith(b"\n> "):
                data += link.recv(4096)
            return data

        assert until_prompt().startswith(b"Welcome")
        link.sendall(b"(param-ref 'emission)\n")
        assert until_prompt() == b"#t\n> "


def test_vendors_own_dg645_driver(server: LaboratoryServer) -> None:
    """The unmodified `srsinst.dg645` connects, sets and reads back delays and levels."""
    vendor = pytest.importorskip("srsinst.dg645")
    driver = vendor.DG645("tcpip", "127.0.0.1", port_of(server, "SRSDG645"))
    try:
        assert driver.check_id()[0] == "DG645"
        driver.delays.delay["A"]["T0"] = 2e-6
        driver.delays.delay["B"]["A"] = 1e-3
        reference, seconds = driver.delays.delay["B"]
        assert (reference, seconds) == (2, pytest.approx(1e-3))
        assert driver.delays.link["B"] == 2
        driver.outputs.amplitude["AB"] = 3.5
        driver.outputs.offset["AB"] = 0.5
        driver.outputs.polarity["T0"] = False
        assert driver.outputs.amplitude["AB"] == pytest.approx(3.5)
        assert driver.outputs.offset["AB"] == pytest.approx(0.5)
        assert not driver.outputs.polarity["T0"]
        driver.burst.burst_mode = True
        driver.burst.burst_count = 12
        driver.burst.burst_period = 50e-3
        assert driver.burst.burst_mode and driver.burst.burst_count == 12
        assert driver.burst.burst_period == pytest.approx(50e-3)
        assert driver.query_text("LERR?") == "0"
        assert "Trigger" in driver.get_status()
    finally:
        driver.disconnect()


def test_two_clients_of_one_instrument(server: LaboratoryServer) -> None:
    """Each connection gets its own answers; they share the instrument."""
    port = port_of(server, "KepcoBOP")
    first, second = open_with_pyvisa_py(port, "\n"), open_with_pyvisa_py(port, "\n")
    try:
        first.write("VOLT 7")
        assert first.query("*OPC?") == "1"
        second.write("*IDN?")
        assert first.query("VOLT?") == "7.0E0"
        assert second.read().startswith("KEPCO")
    finally:
        first.close()
        second.close()


def test_messages_in_pieces(server: LaboratoryServer) -> None:
    """A line may come byte by byte, or several at once."""
    with socket.create_connection(("127.0.0.1", port_of(server, "KepcoBOP")), 2.0) as link:
        link.settimeout(2.0)
        for byte in b"*IDN?\n":
            link.sendall(bytes([byte]))
        assert link.recv(4096).startswith(b"KEPCO")
        link.sendall(b"OUTP?\nCURR?\n")
        data = b""
        while data.count(b"\n") < 2:
            data += link.recv(4096)
        assert data == b"0\n0.0E0\n"


def test_endpoints_name_their_visa_address(server: LaboratoryServer) -> None:
    """What a user needs to connect."""
    for endpoint in server.endpoints:
        assert endpoint.visa_address == f"TCPIP0::127.0.0.1::{endpoint.port}::SOCKET"


def test_native_ports() -> None:
    """Each instrument's own port number at a loopback address of its own."""
    running = shipped()
    running.native = True
    try:
        endpoints = running.start()
    except OSError:
        pytest.skip("this machine has no 127.0.0.2, or the ports are in use")
    try:
        ports = {endpoint.port for endpoint in endpoints}
        assert ports == {7802, 5025, 1998}
        assert [one.host for one in endpoints] == [f"127.0.0.{n}" for n in range(2, 7)]
    finally:
        running.stop()


def test_stop_closes_ports_and_links() -> None:
    """After stop nobody answers; stopping twice is fine."""
    running = shipped()
    endpoint = running.start()[0]
    link = socket.create_connection((endpoint.host, endpoint.port), 2.0)
    running.stop()
    running.stop()
    with link:
        link.settimeout(2.0)
        assert link.recv(100) == b""
    with pytest.raises(OSError):
        socket.create_connection((endpoint.host, endpoint.port), 0.5)


def test_virtual_clock_is_refused() -> None:
    """TCP clients wait in real time."""
    with pytest.raises(ValueError, match="clock=real"):
        shipped(virtual=True)
