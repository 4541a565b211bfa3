"""Instruments for the driver tests: small TCP servers whose answers a test decides."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from qcodes.instrument import Instrument

HANG_UP = "hang up"
Action = bytes | float | str
"""Bytes are sent, a float is waited for in seconds, `HANG_UP` closes the connection."""
Respond = Callable[[str], Sequence[Action]]


class LineServer:
    """A TCP instrument on 127.0.0.1: for each line it does what `respond(line)` lists.

    `lines` keeps (number of the connection, line) in the order of arrival.
    """

    def __init__(self, respond: Respond, greeting: bytes = b"") -> None:
        self.respond = respond
        self.greeting = greeting
        self.lines: list[tuple[int, str]] = []
        self.connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"TCPIP0::127.0.0.1::{self._listener.getsockname()[1]}::SOCKET"
        self._start(self._accept)

    def texts(self) -> list[str]:
        """Every line received so far, from all connections."""
        return [line for _, line in self.lines]

    def send(self, data: bytes) -> None:
        """Say something unasked on the connection that was opened last."""
        self.connections[-1].sendall(data)
        time.sleep(0.05)

    def hang_up(self) -> None:
        """Close the connection that was opened last, and wait until the peer can know it."""
        self.connections[-1].shutdown(socket.SHUT_RDWR)
        time.sleep(0.05)

    def close(self) -> None:
        for one in (self._listener, *self.connections):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, target: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=target, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            number = len(self.connections)
            self._start(lambda c=connection, n=number: self._serve(c, n))  # type: ignore[misc]

    def _serve(self, connection: socket.socket, number: int) -> None:
        buffer = b""
        try:
            connection.sendall(self.greeting)
            while chunk := connection.recv(4096):
                buffer += chunk
                while b"\n" in buffer:
                    line, buffer = buffer.split(b"\n", 1)
                    self.lines.append((number, line.decode().strip()))
                    for action in self.respond(line.decode().strip()):
                        if isinstance(action, bytes):
                            connection.sendall(action)
                        elif isinstance(action, float):
                            time.sleep(action)
                        else:
                            connection.shutdown(socket.SHUT_RDWR)
                            return
        except OSError:
            return


@pytest.fixture
def serve() -> Iterator[Callable[..., LineServer]]:
    """Start servers that are stopped after the test."""
    servers: list[LineServer] = []

    def start(respond: Respond, greeting: bytes = b"") -> LineServer:
        servers.append(LineServer(respond, greeting))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def close_instruments() -> Iterator[None]:
    """No test leaves an instrument open."""
    yield
    Instrument.close_all()


@pytest.fixture
def refused_address() -> str:
    """The address of a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"TCPIP0::127.0.0.1::{port}::SOCKET"


BENCH = Path(__file__).with_name("bench.lab.yaml")
_sessions = itertools.count()


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., str]:
    """The VISA library of a fresh simulated bench, with faults on purpose if given.

    A fault is written as in a laboratory file, for instance
    ``{device: rf, kind: mute, match: FREQ, nth: 1}``; options are those of the library's
    name, such as ``clock="real"``.
    """

    def library(*faults: str, **options: str) -> str:
        text = BENCH.read_text(encoding="utf-8")
        if faults:
            text += "faults:\n" + "".join(f"  - {fault}\n" for fault in faults)
        path = tmp_path / f"bench{next(_sessions)}.lab.yaml"
        path.write_text(text, encoding="utf-8")
        query = "&".join(f"{key}={value}" for key, value in {"seed": "1", **options}.items())
        return f"{path}?{query}@cavitylab"

    return library
