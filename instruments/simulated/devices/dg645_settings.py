"""The plain settings of a DG645: names, ranges, reset values, how they are printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

OUTPUTS = ("T0", "AB", "CD", "EF", "GH")
EDGES = {"AB": (2, 3), "CD": (4, 5), "EF": (6, 7), "GH": (8, 9)}
_MESSAGE = re.compile(r"(\*?[A-Z]{3,4})\s*(\?)?\s*(.*)", re.DOTALL)
_REAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(E[-+]?\d+)?")
_INTEGER = re.compile(r"[-+]?\d+")


class Refused(Exception):
    """A command that ends in an error code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"error {code}")


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that is only kept.

    Attributes:
        name: Mnemonic.
        reset: Default.
        low: Smallest value. high: Largest value.
        indices: Outputs for which it exists; with `indexed` the first parameter.
        whole: An integer.
        decimals: Digits behind the point in the answer.
        aborts: Writing it during a delay cycle aborts the cycle.
    """

    name: str
    reset: float
    low: float
    high: float
    indices: tuple[int, ...] = (0,)
    indexed: bool = False
    whole: bool = True
    decimals: int = 0
    aborts: bool = False

    def parse(self, text: str) -> float:
        """The value of a set command.

        Raises:
            Refused: 10 out of range, 118 or 120 no number.
        """
        value = float(integer(text)) if self.whole else real(text)
        if not self.low <= value <= self.high:
            raise Refused(10)
        return value

    def show(self, value: float) -> str:
        """The answer to the question."""
        return str(int(value)) if self.whole else f"{value:+.{self.decimals}f}"


@lru_cache(maxsize=4096)
def understood(message: str) -> tuple[str, bool, tuple[str, ...]]:
    """Mnemonic, whether it is a question, and parameters; most messages come again.

    Raises:
        Refused: 110 no command.
    """
    match = _MESSAGE.fullmatch(message.upper())
    if match is None:
        raise Refused(110)
    rest = match[3].strip()
    parameters = tuple(one.strip() for one in rest.split(",")) if rest else ()
    return match[1], bool(match[2]), parameters


def integer(text: str) -> int:
    """A whole number.

    Raises:
        Refused: 120 no integer.
    """
    if _INTEGER.fullmatch(text):
        return int(text)
    value = real(text, 120)
    if value != int(value):
        raise Refused(120)
    return int(value)


def real(text: str, code: int = 118) -> float:
    """A decimal number.

    Raises:
        Refused: 118 (or `code`) no number.
    """
    if not _REAL.fullmatch(text.upper()):
        raise Refused(code)
    return float(text)


def channel_code(text: str) -> int:
    """The code of a channel, 0 (T0) to 9 (H).

    Raises:
        Refused: 120 no integer, 10 out of range.
    """
    code = integer(text)
    if not 0 <= code <= 9:
        raise Refused(10)
    return code


def expect(parameters: list[str], wanted: int) -> None:
    """Refuse (115, 116) another number of parameters than `wanted`."""
    if len(parameters) != wanted:
        raise Refused(116 if len(parameters) < wanted else 115)


_FRONT = (0, 1, 2, 3, 4)
_LIST = (
    Setting("TSRC", 5, 0, 6, aborts=True),
    Setting("TRAT", 1000.0, 100e-6, 10e6, whole=False, decimals=6),
    Setting("TLVL", 1.0, -3.5, 3.5, whole=False, decimals=2),
    Setting("LAMP", 2.5, 0.5, 5.0, _FRONT, True, whole=False, decimals=2),
    Setting("LOFF", 0.0, -2.0, 2.0, _FRONT, True, whole=False, decimals=2),
    Setting("LPOL", 1, 0, 1, _FRONT, True),
    Setting("BURM", 0, 0, 1, aborts=True),
    Setting("BURC", 5, 1, 2**32 - 1, aborts=True),
    Setting("BURP", 100e-6, 100e-9, 2000.0, whole=False, decimals=12, aborts=True),
    Setting("BURD", 0.0, 0.0, 2000.0, whole=False, decimals=12, aborts=True),
    Setting("BURT", 0, 0, 1, aborts=True),
    Setting("ADVT", 0, 0, 1),
    Setting("HOLD", 0.0, 0.0, 2000.0, whole=False, decimals=12, aborts=True),
    Setting("PRES", 1, 1, 2**31 - 1, _FRONT, True),
    Setting("PHAS", 0, 0, 2**31 - 1, _FRONT, True),
    Setting("INHB", 1, 0, 5),
    Setting("INSE", 0, 0, 255),
    Setting("*ESE", 0, 0, 255),
    Setting("*SRE", 0, 0, 255),
    Setting("*PSC", 1, 0, 1),
    Setting("SHDP", 1, 0, 1),
)
SETTINGS = {setting.name: setting for setting in _LIST}
"""By mnemonic."""
