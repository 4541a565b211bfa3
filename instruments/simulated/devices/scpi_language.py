"""The grammar of SCPI: headers in short and long form, parameters, units, plain settings.

Headers are written as the manuals print them, ``INPut#:LEVel[:ABSolute]``:
capitals are the short form, brackets an optional node, ``#`` a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from ..links import Answer, Link

Handler = Callable[[Any, "Call"], Answer]
HandlerT = TypeVar("HandlerT", bound=Handler)

ERRORS = {
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -131: "Invalid suffix",
    -148: "Character data not allowed",
    -211: "Trigger ignored",
    -213: "Init ignored",
    -221: "Settings conflict",
    -222: "Data out of range",
    -224: "Illegal parameter value",
    -230: "Data corrupt or stale",
    -310: "System error",
    -350: "Error queue overflow",
    -410: "Query INTERRUPTED",
    -420: "Query UNTERMINATED",
}
_MULTIPLIERS = {
    "": 1.0, "EX": 1e18, "PE": 1e15, "T": 1e12, "G": 1e9, "MA": 1e6, "K": 1e3,
    "M": 1e-3, "U": 1e-6, "N": 1e-9, "P": 1e-12, "F": 1e-15,
}  # fmt: skip
LONGEST_REMEMBERED = 200
"""Characters of a message whose parts are remembered, for the next time it comes."""
_NESTING = re.compile(r"[\"'()]")
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)$")


class ScpiError(Exception):
    """A refused command; becomes an entry of the error queue."""

    def __init__(self, code: int, text: str | None = None) -> None:
        self.code = code
        self.text = text if text is not None else ERRORS.get(code, "Device specific error")
        super().__init__(self.text)


class Call(NamedTuple):
    """One command as it came: parameters as text, numbers of the header, the link."""

    parameters: tuple[str, ...]
    numbers: tuple[int, ...]
    link: Link

    def only(self, least: int, most: int | None = None) -> tuple[str, ...]:
        """The parameters, `least` to `most` of them."""
        if len(self.parameters) < least:
            raise ScpiError(-109)
        if len(self.parameters) > (least if most is None else most):
            raise ScpiError(-108)
        return self.parameters

    def text(self) -> str:
        """The one parameter."""
        return self.only(1)[0]

    def number(self, low: float, high: float, unit: str = "", default: float = math.nan) -> float:
        """The one parameter as a number within [low, high]; MIN, MAX, DEF, INF understood."""
        return number(self.text(), low, high, unit, default)

    def switch(self) -> bool:
        """The one parameter as ON, OFF or a number."""
        word = self.text().upper()
        if word in ("ON", "OFF"):
            return word == "ON"
        return number(word, -math.inf, math.inf) != 0

    def choice(self, *forms: str) -> str:
        """The one parameter as one of the words (`IMMediate`); the short form is returned."""
        return choice(self.text(), *forms)


@dataclass(frozen=True, slots=True)
class Setting:
    """A plain setting with its question: `header value` and `header?`.

    Attributes:
        header: As printed; with a `#` it exists for the numbers 1 to `copies`.
        reset: Value after reset; its type says what the setting is (bool: ON or
            OFF, str: one of `words`, int and float: a number).
        shown: How the answer is printed.
    """

    header: str
    reset: bool | int | float | str
    words: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    copies: int = 2
    shown: Callable[[Any], str] = str

    def parse(self, call: Call) -> bool | int | float | str:
        """The value of a set command."""
        if isinstance(self.reset, bool):
            return call.switch()
        if isinstance(self.reset, str):
            return call.choice(*self.words)
        value = call.number(self.low, self.high, self.unit, float(self.reset))
        return int(value) if isinstance(self.reset, int) else value

    def show(self, value: bool | int | float | str) -> str:
        """The answer to the question."""
        return str(int(value)) if isinstance(value, bool) else self.shown(value)


def command(*headers: str) -> Callable[[HandlerT], HandlerT]:
    """Mark a method as the command (or the question, with `?`) of these headers."""

    def mark(method: HandlerT) -> HandlerT:
        method.__dict__["scpi_headers"] = headers
        return method

    return mark


def number(text: str, low: float, high: float, unit: str = "", default: float = math.nan) -> float:
    """A numeric parameter with unit and range.

    Raises:
        ScpiError: -104 no number, -131 wrong unit, -222 out of range.
    """
    word = text.strip().upper()
    match = _NUMBER.match(word)
    if match is not None:
        value = float(match[1]) * _multiplier(match[2], unit.upper())
        if not low <= value <= high:
            raise ScpiError(-222)
        return value
    special = {"MIN": low, "MINIMUM": low, "MAX": high, "MAXIMUM": high, "INF": 9.9e37}
    special |= {"INFINITY": 9.9e37, "DEF": default, "DEFAULT": default}
    if word not in special:
        raise ScpiError(-104)
    value = special[word]
    if math.isnan(value):
        raise ScpiError(-224)
    if not low <= value <= high:
        raise ScpiError(-222)
    return value


def _multiplier(suffix: str, unit: str) -> float:
    if not suffix:
        return 1.0
    if unit in ("HZ", "OHM") and suffix == "M" + unit:
        return 1e6
    if not unit or not suffix.endswith(unit) or suffix[: -len(unit)] not in _MULTIPLIERS:
        raise ScpiError(-131)
    return _MULTIPLIERS[suffix[: -len(unit)]]


def short(form: str) -> str:
    """The short form of a word (`IMMediate` -> `IMM`)."""
    return "".join(letter for letter in form if not letter.islower())


def choice(text: str, *forms: str) -> str:
    """The short form of the word meant.

    Raises:
        ScpiError: -224 if it is none of them.
    """
    word = text.strip().upper()
    for form in forms:
        if word in (short(form), form.upper()):
            return short(form)
    raise ScpiError(-224)


def split_outside(text: str, separator: str) -> list[str]:
    """Split where the separator is outside of quotes and parentheses."""
    if not _NESTING.search(text):
        return text.split(separator)
    parts, depth, quote, start = [], 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        elif letter == separator and depth <= 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def commands_in(message: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The commands of a compound message: header from the root, parameters."""
    return _remembered(message) if len(message) <= LONGEST_REMEMBERED else _parsed(message)


@lru_cache(maxsize=4096)
def _remembered(message: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return _parsed(message)


def _parsed(message: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    commands = []
    path = ""
    for part in split_outside(message, ";"):
        part = part.strip()
        if not part:
            continue
        header, _, rest = part.partition(" ")
        rest = rest.strip()
        if header.startswith("*"):
            full = header
        else:
            full = header[1:] if header.startswith(":") else path + header
            path = full[: full.rfind(":") + 1]
        parameters = tuple(one.strip() for one in split_outside(rest, ",")) if rest else ()
        commands.append((full, parameters))
    return tuple(commands)


def header_pattern(header: str) -> re.Pattern[str]:
    """A regular expression for short and long forms, optional nodes and numbers."""
    if header.startswith("*"):
        return re.compile(re.escape(header), re.IGNORECASE)
    expression = ""
    for optional, required, question in re.findall(r"\[:?([\w#]+):?\]|([\w#]+)|(\?)", header):
        if question:
            expression += r"\?"
        elif optional:
            expression += f"(?:{_node(optional)}:)?"
        else:
            expression += f"{_node(required)}:"
    return re.compile(expression, re.IGNORECASE)


def header_key(header: str) -> str:
    """A header with a colon behind every node, the form that `header_pattern` matches."""
    if header.startswith("*"):
        return header
    return f"{header[:-1]}:?" if header.endswith("?") else f"{header}:"


def _node(form: str) -> str:
    word = form.rstrip("#")
    digits = r"(\d*)" if form.endswith("#") else ""
    return f"(?:{short(word)}|{word.upper()}){digits}"
