"""TOPTICA DLC pro laser controller with one diode laser on its frequency lock.

The terminal `laser1` is the light: emission, lock, power. The terminal `transmission` is the
photodiode behind the cavity that the laser is locked to: as many volts as the setting of that
name says while the lock holds, else dark. Light needs the diode
current above threshold, the emission button, a closed interlock; a lock that
has lost the laser stays lost until it is switched off and on again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..lines import LightState, Stretch
from ..links import Link
from ..shots import Shot
from .base import SimulatedDevice

PROMPT = b"\n> "
LOCK_TIME = 0.3
"""Seconds from switching the lock on to being locked."""
_EXPRESSION = re.compile(r"""\(\s*([\w!-]+)\s+'([\w:-]+)\s*(.*?)\s*\)""", re.DOTALL)

Value = bool | int | float | str


class Refused(Exception):
    """The answer is an error text."""


class TopticaDLCpro(SimulatedDevice):
    """The controller."""

    outputs = ("laser1", "transmission")
    latency = (2e-3, 1e-3)
    port = 1998
    defaults: ClassVar[Mapping[str, Any]] = {
        "serial": "DLC PRO_000001",
        "label": "drive laser",
        "wavelength": 689.4,
        "threshold_current": 80.0,
        "current": 150.0,
        "current_clip": 220.0,
        "slope": 0.35e-3,
        "transmission": 1.0,
        "emission": True,
        "locked": True,
        "interlock_open": False,
        "firmware": "3.3.3",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.started = self.now()
        self.user_level = 3
        self.lock_on = bool(self.settings["locked"])
        self.lock_lost = False
        self.lock_since = self.now() - LOCK_TIME
        self.tree: dict[str, Value] = _tree(self.settings)
        self.computed: dict[str, Callable[[], Value]] = {
            "uptime": lambda: int(self.now() - self.started),
            "ul": lambda: self.user_level,
            "emission": self.emission,
            "laser1:emission": self.emission,
            "laser1:dl:cc:current-act": self._current,
            "laser1:dl:cc:voltage-act": lambda: round(1.4 + 4e-3 * self._current(), 4),
            "laser1:dl:tc:temp-act": self._temperature,
            "laser1:dl:pc:voltage-act": lambda: self.tree["laser1:dl:pc:voltage-set"],
            "laser1:dl:lock:lock-enabled": lambda: self.lock_on,
            "laser1:dl:lock:state": lambda: _LOCK_STATES[self.lock_state()],
            "laser1:dl:lock:state-txt": self.lock_state,
            "laser1:health": lambda: int(self.lock_lost),
            "laser1:health-txt": lambda: "Lock lost" if self.lock_lost else "Ok",
            "system-health": lambda: int(self.lock_lost),
            "system-health-txt": lambda: "Warning" if self.lock_lost else "Ok",
        }

    # -- light --------------------------------------------------------------------------

    def emission(self) -> bool:
        """Light is possible."""
        tree = self.tree
        closed = not tree["interlock-open"] and not tree["frontkey-locked"]
        pressed = bool(tree["emission-button-enabled"] and tree["laser1:dl:cc:enabled"])
        return closed and pressed

    def _current(self) -> float:
        if not self.emission():
            return 0.0
        return float(self.tree["laser1:dl:cc:current-set"])

    def _temperature(self) -> float:
        return round(float(self.tree["laser1:dl:tc:temp-set"]) + 2e-4 * self.rng.normal(), 4)

    def power(self) -> float:
        """Optical power, watt."""
        above = self._current() - self.settings["threshold_current"]
        return float(max(0.0, above * self.settings["slope"]))

    def lock_state(self) -> str:
        """The lock in the unit's words."""
        if not self.lock_on:
            return "Idle"
        if self.lock_lost or self.power() <= 0:
            self.lock_lost = True
            return "Lock Lost"
        return "Locked" if self.now() >= self.lock_since + LOCK_TIME - 1e-9 else "Locking"

    def signal(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        """The light during a shot."""
        locked = self.lock_state() == "Locked"
        if terminal == "transmission":
            volts = self.settings["transmission"] if locked and self.power() > 0 else 0.0
            return (Stretch(0.0, shot.period, float(volts)),)
        state = LightState(self.power() > 0, locked, self.power())
        return (Stretch(0.0, shot.period, state),)

    def steady(self, shot: Shot) -> bool:
        """Nothing is still locking."""
        return self.lock_state() != "Locking"

    def trip(self, kind: str, value: str | None, link: Link | None) -> None:
        """`laser_unlocked`: the lock loses the laser."""
        if kind == "laser_unlocked" and self.lock_on:
            self.lock_lost = True
        if kind == "error_queue":
            self._pending_error = value or "Error: -1 internal error"

    _pending_error: str | None = None

    # -- messages -----------------------------------------------------------------------

    def opened(self, link: Link) -> bytes:
        """The greeting ends with the prompt."""
        name = self.settings["serial"]
        return f"Welcome to DLC pro > command line\n{name} {self.settings['label']}".encode() + (
            PROMPT
        )

    def ending(self, link: Link) -> bytes:
        """LF `>` space."""
        return PROMPT

    def handle(self, message: str, link: Link) -> str:
        """One expression in, one answer out."""
        if self._pending_error is not None:
            text, self._pending_error = self._pending_error, None
            return text
        match = _EXPRESSION.fullmatch(message.strip())
        if match is None:
            return f"Error: -1 cannot parse '{message.strip()}'"
        verb, name, rest = match.groups()
        try:
            if verb in ("param-ref", "param-gsv"):
                return shown(self.read(name))
            if verb == "param-set!":
                return str(self.write(name, rest))
            if verb == "exec":
                return self._execute(name, rest)
        except Refused as refused:
            return f"Error: {refused}"
        return f"Error: -2 unknown command '{verb}'"

    def read(self, name: str) -> Value:
        """The value of a parameter."""
        if name in self.computed:
            return self.computed[name]()
        if name not in self.tree:
            raise Refused(f"-3 no such parameter '{name}'")
        return self.tree[name]

    def write(self, name: str, text: str) -> int:
        """Set a parameter; the status, negative if refused."""
        if name not in self.tree and name not in self.computed:
            raise Refused(f"-3 no such parameter '{name}'")
        if name not in _WRITABLE:
            return -12
        if name == "laser1:dl:lock:lock-enabled":
            return self._switch_lock(text)
        value = parsed(text, self.tree[name])
        if value is None:
            return -10
        if name == "laser1:dl:cc:current-clip" and self.user_level > 2:
            return -15
        if not _within(self.tree, name, value):
            return -11
        self.tree[name] = value
        return 0

    def _switch_lock(self, text: str) -> int:
        if text not in ("#t", "#f"):
            return -10
        if (text == "#t") != self.lock_on:
            self.lock_on = text == "#t"
            self.lock_lost = False
            self.lock_since = self.now()
        return 0

    def _execute(self, name: str, rest: str) -> str:
        if name == "change-ul":
            level, _, password = rest.partition(" ")
            if not level.isdigit() or int(level) > 4:
                raise Refused("-10 no such user level")
            if int(level) >= 3 or password.strip('"'):
                self.user_level = int(level)
            return str(self.user_level)
        raise Refused(f"-3 no such command '{name}'")


_LOCK_STATES = {"Idle": 0, "Locking": 2, "Locked": 3, "Lock Lost": 4}


def shown(value: Value) -> str:
    """A value in the unit's language."""
    if isinstance(value, bool):
        return "#t" if value else "#f"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)


def parsed(text: str, like: Value) -> Value | None:
    """A value of the same type as `like`; None if it is not."""
    if isinstance(like, bool):
        return {"#t": True, "#f": False}.get(text)
    if isinstance(like, str):
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else None
    try:
        return int(text) if isinstance(like, int) else float(text)
    except ValueError:
        return None


def _within(tree: dict[str, Value], name: str, value: Value) -> bool:
    bounds = {
        "laser1:dl:cc:current-set": (0.0, tree["laser1:dl:cc:current-clip"]),
        "laser1:dl:cc:current-clip": (0.0, tree["laser1:dl:cc:current-clip-limit"]),
        "laser1:dl:tc:temp-set": (tree["laser1:dl:tc:temp-set-min"],
                                  tree["laser1:dl:tc:temp-set-max"]),
        "laser1:dl:pc:voltage-set": (tree["laser1:dl:pc:voltage-min"],
                                     tree["laser1:dl:pc:voltage-max"]),
    }  # fmt: skip
    if name not in bounds:
        return True
    low, high = bounds[name]
    return float(low) <= float(value) <= float(high)


def _tree(settings: dict[str, Any]) -> dict[str, Value]:
    root: dict[str, Value] = {
        "system-type": "DLC pro", "system-model": "DLC pro", "system-label": settings["label"],
        "serial-number": settings["serial"], "fw-ver": settings["firmware"],
        "emission-button-enabled": settings["emission"],
        "interlock-open": settings["interlock_open"], "frontkey-locked": False,
        "system-messages": "", "system-service-report": "",
    }  # fmt: skip
    laser: dict[str, Value] = {
        "type": "DL pro", "product-name": "DL pro > 689 nm", "enabled": True, "busy": False,
        "dl:type": "DL", "dl:model": "DL pro", "dl:serial-number": "010001",
        "dl:cc:enabled": settings["emission"], "dl:cc:current-set": settings["current"],
        "dl:cc:current-offset": 0.0, "dl:cc:current-clip": settings["current_clip"],
        "dl:cc:current-clip-limit": settings["current_clip"] + 30.0, "dl:cc:forced-off": False,
        "dl:cc:status": 0, "dl:cc:status-txt": "Current on",
        "dl:tc:enabled": True, "dl:tc:temp-set": 20.0, "dl:tc:temp-set-min": 15.0,
        "dl:tc:temp-set-max": 35.0, "dl:tc:ready": True, "dl:tc:fault": False,
        "dl:tc:status-txt": "OK",
        "dl:pc:enabled": True, "dl:pc:voltage-set": 70.0, "dl:pc:voltage-min": -1.0,
        "dl:pc:voltage-max": 140.0,
        "scan:enabled": False, "scan:hold": False, "scan:signal-type": 1,
        "scan:output-channel": 50, "scan:unit": "V", "scan:frequency": 10.0,
        "scan:amplitude": 1.0, "scan:offset": 70.0, "scan:phase-shift": 0.0,
        "dl:lock:hold": False, "dl:lock:type": 0, "dl:lock:relock:enabled": False,
        "dl:lock:window:enabled": False, "dl:lock:window:level-high": 1.0,
        "dl:lock:window:level-low": -1.0,
        "dl:factory-settings:wavelength": settings["wavelength"],
        "dl:factory-settings:threshold-current": settings["threshold_current"],
        "dl:factory-settings:power": 50.0,
        "dl:factory-settings:cc:current-clip": settings["current_clip"],
    }  # fmt: skip
    return root | {f"laser1:{name}": value for name, value in laser.items()}


_WRITABLE = {
    "system-label",
    "emission-button-enabled",
    *(
        f"laser1:{name}"
        for name in (
            "enabled", "dl:cc:enabled", "dl:cc:current-set", "dl:cc:current-offset",
            "dl:cc:current-clip", "dl:tc:enabled", "dl:tc:temp-set", "dl:pc:enabled",
            "dl:pc:voltage-set", "scan:enabled", "scan:hold", "scan:signal-type",
            "scan:output-channel", "scan:frequency", "scan:amplitude", "scan:offset",
            "scan:phase-shift", "dl:lock:lock-enabled", "dl:lock:hold", "dl:lock:type",
            "dl:lock:relock:enabled", "dl:lock:window:enabled", "dl:lock:window:level-high",
            "dl:lock:window:level-low",
        )
    ),
}  # fmt: skip
