"""The simulated instruments on loopback TCP, one port each, for any client.

The same devices and links as behind the VISA library, on the real clock. With
`native` every instrument has its own port number at an address of its own
(127.0.0.2, 127.0.0.3, ...), so that a station file needs other hosts only.
"""

from __future__ import annotations

import select
import socket
import threading
from dataclasses import dataclass
from types import TracebackType

from .devices.base import SimulatedDevice
from .laboratory import Laboratory
from .links import LONGEST_NAP, Link


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a device listens."""

    name: str
    host: str
    port: int

    @property
    def visa_address(self) -> str:
        """For pyvisa."""
        return f"TCPIP0::{self.host}::{self.port}::SOCKET"


class LaboratoryServer:
    """Serves every device of a laboratory.

    Args:
        laboratory: With a real clock: TCP clients wait in real time.
        native: The instruments' own ports, each at a loopback address of its own.

    Raises:
        ValueError: The laboratory has a virtual clock.
    """

    def __init__(self, laboratory: Laboratory, native: bool = False) -> None:
        if laboratory.virtual:
            raise ValueError(
                "a laboratory on TCP must have a real clock, but this one is virtual: "
                "open it with clock=real."
            )
        self.laboratory = laboratory
        self.native = native
        self.endpoints: list[Endpoint] = []
        self._listeners: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def start(self) -> list[Endpoint]:
        """Listen; returns one endpoint for each device.

        Raises:
            OSError: A port is taken, or a loopback address is not available.
        """
        try:
            for number, device in enumerate(self.laboratory.devices.values()):
                self._listen(device, f"127.0.0.{number + 2}" if self.native else "127.0.0.1")
        except OSError:
            self.stop()
            raise
        return list(self.endpoints)

    def _listen(self, device: SimulatedDevice, host: str) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listeners.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, device.port if self.native else 0))
        listener.listen()
        endpoint = Endpoint(device.name, host, listener.getsockname()[1])
        self.endpoints.append(endpoint)
        self._spawn(self._accept, listener, device, endpoint)

    def _spawn(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads = [one for one in self._threads if one.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, device: SimulatedDevice, where: Endpoint) -> None:
        while not self._stopping.is_set():
            ready, _, _ = select.select([listener], [], [], 0.1)
            if not ready:
                continue
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            link = self.laboratory.link_to(device, where.visa_address, framed=False)
            if link.refused:
                connection.close()
            else:
                self._spawn(self._serve, connection, link)

    def _serve(self, connection: socket.socket, link: Link) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            try:
                while not self._stopping.is_set() and not link.dead:
                    answer = link.arrived()
                    if answer:
                        connection.sendall(answer)
                    ready = link.next_ready() - self.laboratory.now()
                    nap = min(max(ready, 0.0), LONGEST_NAP if ready < 1e9 else 0.1)
                    readable, _, _ = select.select([connection], [], [], nap)
                    if readable:
                        data = connection.recv(65536)
                        if not data:
                            return
                        link.write(data)
            except OSError:
                return
            finally:
                link.close()

    def stop(self) -> None:
        """Close every port and link; idempotent."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=2.0)
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self.endpoints.clear()

    def __enter__(self) -> LaboratoryServer:
        """Listen."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()
