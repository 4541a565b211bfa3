"""Roles as Bluesky devices: a RunEngine reads and moves them like any other.

Bluesky knows devices by their shape (`bluesky.protocols`: Readable, Movable, Configurable,
HasHints), so the adapters below have that shape and import nothing of it. Limits, calibrations and
the wire are the role's: what it refuses fails the status, and with it the plan. Open the station
around the RunEngine: leaving it makes everything safe.

```python
with Station.open("two_ensemble", rehearse="two_ensemble") as station:
    gradient = RoleDevice(station.roles["gradient"])
    RE(scan([gradient], gradient["detuning_difference"], 500, 1500, 11))
```
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from qcodes.parameters import ParameterBase

from ..instruments.errors import CavityLabError
from ..instruments.roles import Role

Reading: TypeAlias = dict[str, dict[str, Any]]

_ONE_AT_A_TIME = threading.RLock()
"""Roles share links: while one is moved in its thread, nothing else talks to the instruments."""


class NotSettableError(CavityLabError, TypeError):
    """A parameter that can only be read was to be set."""


class MoveStatus:
    """How a movement is going; of the shape of `bluesky.protocols.Status`."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[MoveStatus], None]] = []
        self._lock = threading.Lock()

    @property
    def done(self) -> bool:
        """Whether the movement has ended, well or badly."""
        return self._ended.is_set()

    @property
    def success(self) -> bool:
        """Whether it has ended well."""
        return self.done and self._error is None

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:
        """Why it failed; None if it did not.

        Raises:
            TimeoutError: It has not ended within ``timeout`` seconds.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"still moving after {timeout:g} s")
        return self._error

    def wait(self, timeout: float | None = None) -> None:
        """Return when the movement has ended; raise what it raised."""
        error = self.exception(timeout)
        if error is not None:
            raise error

    def add_callback(self, callback: Callable[[MoveStatus], None]) -> None:
        """Call ``callback(status)`` at the end, or at once if that has come."""
        with self._lock:
            if not self.done:
                self._callbacks.append(callback)
                return
        callback(self)

    def _finish(self, error: BaseException | None) -> None:
        self._error = error
        with self._lock:
            self._ended.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)


class ParameterDevice:
    """One parameter of a role: readable, and movable where the role allows it.

    Args:
        parameter: The role's parameter.
        parent: The role's device.
    """

    def __init__(self, parameter: ParameterBase, parent: RoleDevice) -> None:
        self._parameter = parameter
        self._parent = parent

    @property
    def name(self) -> str:
        """Role and parameter, e.g. ``gradient_detuning_difference``."""
        return f"{self._parent.name}_{self._parameter.name}"

    @property
    def parent(self) -> RoleDevice:
        """The device of the role."""
        return self._parent

    @property
    def hints(self) -> dict[str, Any]:
        """What a live plot should show."""
        return {"fields": [self.name]}

    @property
    def position(self) -> Any:
        """The present value, asked of the instrument."""
        with _ONE_AT_A_TIME:
            return _plain(self._parameter.get())

    def read(self) -> Reading:
        """Value and the time at which it was asked for."""
        value = self.position
        return {self.name: {"value": value, "timestamp": time.time()}}

    def describe(self) -> Reading:
        """Type, unit and origin of what `read` gives."""
        value = self.position
        key: dict[str, Any] = {
            "source": f"cavitylab:{self._parameter.full_name}",
            "dtype": _dtype(value),
            "shape": list(np.shape(value)),
            "object_name": self._parent.name,
        }
        unit = getattr(self._parameter, "unit", "")
        return {self.name: {**key, **({"units": unit} if unit else {})}}

    def read_configuration(self) -> Reading:
        """That of the role."""
        return self._parent.read_configuration()

    def describe_configuration(self) -> Reading:
        """That of the role."""
        return self._parent.describe_configuration()

    def set(self, value: Any) -> MoveStatus:
        """Move in a thread of its own; what the role refuses fails the status.

        Raises:
            NotSettableError: The parameter can only be read.
        """
        if not self._parameter.settable:
            raise NotSettableError(f"{self.name} can be read but not set")
        status = MoveStatus()

        def move() -> None:
            error: BaseException | None = None
            try:
                with _ONE_AT_A_TIME:
                    self._parameter.set(value)
            except Exception as raised:
                error = raised
            status._finish(error)

        threading.Thread(target=move, name=f"set {self.name}", daemon=True).start()
        return status

    def __repr__(self) -> str:
        return f"ParameterDevice({self.name})"


class RoleDevice(Mapping[str, ParameterDevice]):
    """A role with all its parameters; ``device["detuning_difference"]`` is one of them.

    Args:
        role: A role of an open station.
    """

    parent = None

    def __init__(self, role: Role) -> None:
        self._role = role
        self._children = MappingProxyType(
            {
                name: ParameterDevice(parameter, self)
                for name, parameter in role.parameters.items()
                if name != "IDN" and parameter.gettable
            }
        )

    @property
    def name(self) -> str:
        """Name of the role in the station file."""
        return str(self._role.name)

    @property
    def hints(self) -> dict[str, Any]:
        """Everything that is a number."""
        numbers = [k for k, v in self.describe().items() if v["dtype"] in ("number", "integer")]
        return {"fields": numbers}

    def read(self) -> Reading:
        """All parameters, asked of the instrument."""
        return {k: v for child in self._children.values() for k, v in child.read().items()}

    def describe(self) -> Reading:
        """Types, units and origins of what `read` gives."""
        return {k: v for child in self._children.values() for k, v in child.describe().items()}

    def read_configuration(self) -> Reading:
        """What the station file says of the role, and which calibration it uses."""
        now = time.time()
        return {name: {"value": v, "timestamp": now} for name, v in self._configured().items()}

    def describe_configuration(self) -> Reading:
        """Types of what `read_configuration` gives."""
        source = f"cavitylab:station file/{self.name}"
        return {
            name: {"source": source, "dtype": _dtype(value), "shape": []}
            for name, value in self._configured().items()
        }

    def _configured(self) -> dict[str, Any]:
        stated = self._role.settings.model_dump(mode="json")
        known = {k: v for k, v in stated.items() if isinstance(v, str | int | float)}
        if self._role.has_calibration:
            known["calibration_sha256"] = self._role.calibration.hash
        return {f"{self.name}_{key}": value for key, value in known.items()}

    def __getitem__(self, parameter: str) -> ParameterDevice:
        return self._children[parameter]

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def __len__(self) -> int:
        return len(self._children)

    # Bluesky keeps devices in sets and as keys: two devices are the same only if they are one.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"RoleDevice({self.name}: {', '.join(self)})"


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _dtype(value: Any) -> str:
    """Type in the words of JSON's schema."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else "array"
