"""The VISA library `@cavitylab`: pyvisa on one side, a simulated laboratory on the other.

    pyvisa.ResourceManager("two_ensemble.lab.yaml?seed=7&session=a@cavitylab")

Options behind the question mark: seed, session (any text; tells laboratories
from the same file apart), latency (none, realistic), clock (virtual, real),
drifts (on, off), adversary (on, off), shot, time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

from pyvisa import attributes, constants, rname
from pyvisa.constants import InterfaceType, ResourceAttribute, StatusCode
from pyvisa.highlevel import VisaLibraryBase
from pyvisa.util import LibraryPath

from ..clock import Clock
from .laboratory import Laboratory
from .links import Link, ReadEnd
from .registry import laboratory_named

_STATUS = {
    ReadEnd.COUNT: StatusCode.success_max_count_read,
    ReadEnd.TERMINATOR: StatusCode.success_termination_character_read,
    ReadEnd.END: StatusCode.success,
    ReadEnd.TIMEOUT: StatusCode.error_timeout,
}
_RAW = ("SOCKET", "ASRL")
"""Sockets and serial lines mark no end of a message."""


class _Session:
    """An open resource: its link and its VISA attributes."""

    def __init__(self, link: Link, parsed: rname.ResourceName) -> None:
        self.link = link
        self.attributes: dict[int, Any] = {
            ResourceAttribute.resource_name: str(parsed),
            ResourceAttribute.resource_class: parsed.resource_class,
            ResourceAttribute.interface_type: parsed.interface_type_const,
            ResourceAttribute.timeout_value: 2000,
        }
        if parsed.interface_type_const is InterfaceType.asrl:
            # serial lines stop at the terminator unless told otherwise
            self.attributes[ResourceAttribute.asrl_end_in] = (
                constants.SerialTermination.termination_char
            )
        self.timeout = math.inf
        self.terminator: bytes | None = None
        self._look()

    def put(self, attribute: int, state: Any) -> None:
        """Keep an attribute."""
        self.attributes[attribute] = state
        self._look()

    def _look(self) -> None:
        """What a read needs: the time-out in seconds, and the byte at which it stops."""
        milliseconds = self.attributes[ResourceAttribute.timeout_value]
        endless = milliseconds == constants.VI_TMO_INFINITE
        self.timeout = math.inf if endless else milliseconds / 1e3
        self.terminator = self._terminator()

    def _terminator(self) -> bytes | None:
        end_in = self.attributes.get(ResourceAttribute.asrl_end_in)
        by_serial = end_in is constants.SerialTermination.termination_char
        if not self.attributes.get(ResourceAttribute.termchar_enabled, False) and not by_serial:
            return None
        return bytes([self.attributes.get(ResourceAttribute.termchar, 10)])


class CavityLabVisaLibrary(VisaLibraryBase):
    """A simulated laboratory behind pyvisa's interface.

    Attributes:
        laboratory: What answers.
        clock: Its clock; drivers that wait, wait on it.
    """

    laboratory: Laboratory
    clock: Clock

    @staticmethod
    def get_library_paths() -> tuple[LibraryPath, ...]:
        """There is no laboratory without a file."""
        return ()

    @staticmethod
    def get_debug_info() -> dict[str, str]:
        """For `pyvisa-info`."""
        return {"Version": "simulated laboratory of cavitylab"}

    def _init(self) -> None:
        self.laboratory = laboratory_named(str(self.library_path))
        self.clock = self.laboratory.clock
        self._sessions: dict[Any, _Session] = {}
        self._managers: set[Any] = set()
        self._next = 1
        self._guard = threading.Lock()
        self.issue_warning_on = set()  # the usual ends of a read are no surprise

    # -- beyond VISA --------------------------------------------------------------------

    def reveal(self) -> Mapping[str, Any]:
        """The hidden truth, averaged over the shots counted so far."""
        return self.laboratory.reveal()

    def apparatus_faults(self) -> tuple[str, ...]:
        """Why readings are missing: what the physics had no honest answer for."""
        with self.laboratory.lock:
            return tuple(self.laboratory.faults)

    # -- sessions -----------------------------------------------------------------------

    def _number(self) -> Any:
        with self._guard:
            self._next += 1
            return self._next

    def open_default_resource_manager(self) -> tuple[Any, StatusCode]:
        """A session of the resource manager."""
        number = self._number()
        self._managers.add(number)
        return number, self.handle_return_value(None, StatusCode.success)

    def list_resources(self, session: Any, query: str = "?*::INSTR") -> tuple[str, ...]:
        """Addresses at which a device answers."""
        return rname.filter(list(self.laboratory.addresses), query)

    def open(
        self,
        session: Any,
        resource_name: str,
        access_mode: constants.AccessModes = constants.AccessModes.no_lock,
        open_timeout: int = constants.VI_TMO_IMMEDIATE,
    ) -> tuple[Any, StatusCode]:
        """A link to whoever answers at `resource_name`."""
        try:
            parsed = rname.ResourceName.from_string(resource_name)
        except rname.InvalidResourceName:
            return 0, self.handle_return_value(None, StatusCode.error_invalid_resource_name)
        raw = parsed.resource_class in _RAW or parsed.interface_type in _RAW
        link = self.laboratory.open_link(str(parsed).upper(), framed=not raw)
        if link is None or (link.refused and not raw):
            return 0, self.handle_return_value(None, StatusCode.error_resource_not_found)
        number = self._number()
        self._sessions[number] = _Session(link, parsed)
        return number, self.handle_return_value(number, StatusCode.success)

    def close(self, session: Any) -> StatusCode:
        """Close a resource or the manager."""
        if session in self._managers:
            self._managers.discard(session)
            return self.handle_return_value(None, StatusCode.success)
        opened = self._sessions.pop(session, None)
        if opened is None:
            return self.handle_return_value(None, StatusCode.error_invalid_object)
        opened.link.close()
        return self.handle_return_value(None, StatusCode.success)

    def _session(self, session: Any) -> _Session:
        try:
            return self._sessions[session]
        except KeyError:
            self.handle_return_value(session, StatusCode.error_invalid_object)
            raise

    # -- attributes ---------------------------------------------------------------------

    def get_attribute(self, session: Any, attribute: Any) -> tuple[Any, StatusCode]:
        """The value of an attribute; VISA's default if it was never set."""
        if session in self._managers:
            return None, self.handle_return_value(session, StatusCode.success)
        values = self._session(session).attributes
        if attribute in values:
            return values[attribute], self.handle_return_value(session, StatusCode.success)
        known = attributes.AttributesByID.get(attribute)
        if known is None or known.default is attributes.NotAvailable:
            unsupported = StatusCode.error_nonsupported_attribute
            return None, self.handle_return_value(session, unsupported)
        return known.default, self.handle_return_value(session, StatusCode.success)

    def set_attribute(self, session: Any, attribute: Any, attribute_state: Any) -> StatusCode:
        """Keep an attribute; time-out and terminator are the ones that act."""
        self._session(session).put(attribute, attribute_state)
        return self.handle_return_value(session, StatusCode.success)

    # -- messages -----------------------------------------------------------------------

    def read(self, session: Any, count: int) -> tuple[bytes, StatusCode]:
        """Wait for an answer on the laboratory's clock."""
        opened = self._sessions.get(session) or self._session(session)
        data, why = opened.link.read(count, opened.terminator, opened.timeout)
        status = _STATUS[why]
        if why is ReadEnd.TIMEOUT or status in self.issue_warning_on:
            return data, self.handle_return_value(session, status)
        self._last_status = self._last_status_in_session[session] = status
        return data, status

    def write(self, session: Any, data: bytes) -> tuple[int, StatusCode]:
        """Send bytes."""
        link = (self._sessions.get(session) or self._session(session)).link
        link.write(data if isinstance(data, bytes) else bytes(data), end=link.framed)
        # what `handle_return_value` does of what is neither an error nor a warning
        self._last_status = self._last_status_in_session[session] = StatusCode.success
        return len(data), StatusCode.success

    def clear(self, session: Any) -> StatusCode:
        """Device clear; on a socket what arrives within 0.1 s is thrown away."""
        self._session(session).link.clear()
        return self.handle_return_value(session, StatusCode.success)

    def flush(self, session: Any, mask: Any) -> StatusCode:
        """Discard what has arrived, if the mask says so."""
        if mask & constants.BufferOperation.discard_read_buffer:
            self._session(session).link.clear()
        return self.handle_return_value(session, StatusCode.success)

    def read_stb(self, session: Any) -> tuple[int, StatusCode]:
        """Serial poll: only the bit that says an answer is waiting."""
        waiting = self._session(session).link.pending
        return 16 * waiting, self.handle_return_value(session, StatusCode.success)

    def assert_trigger(self, session: Any, protocol: Any) -> StatusCode:
        """Group execute trigger, as `*TRG`."""
        self._session(session).link.write(b"*TRG\n", end=True)
        return self.handle_return_value(session, StatusCode.success)

    # -- events: none -------------------------------------------------------------------

    def disable_event(self, session: Any, event_type: Any, mechanism: Any) -> StatusCode:
        """There are no events."""
        return StatusCode.success

    def discard_events(self, session: Any, event_type: Any, mechanism: Any) -> StatusCode:
        """There are no events."""
        return StatusCode.success
