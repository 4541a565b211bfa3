"""The language of the MOGLabs XRF: entries of a table, and the answers in its words.

The parsers raise `ValueError` for an answer of another form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .linked import Identity

PURE_QUESTION = (
    r"(INFO|VERSION|TEMP|VMON|ADC,\d,F|(FREQ|POW|PHASE|LIMIT|MODE|STATUS|TABLE,STATUS),\d)"
)
"""Messages that only ask: a question has no mark, but no value either."""


@dataclass(frozen=True, slots=True)
class TableEntry:
    """One line of a simple table (TSB).

    Attributes:
        frequency: Hz.
        power: dBm, or None for no RF at all.
        phase: Degrees.
        duration: Seconds, a multiple of 1 us, at least 1 us.
        flags: Comma-separated flags of the instrument, such as `TRIG` or `IO0H`.
    """

    frequency: float
    power: float | None
    phase: float
    duration: float
    flags: str = ""


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """Answer to `STATUS`: whether signal and amplifier are on, and the text itself."""

    signal: bool
    amplifier: bool
    text: str

    def __str__(self) -> str:
        return self.text


def is_refusal(answer: str) -> bool:
    """Whether the answer begins with ERR."""
    return answer.lstrip().upper().startswith("ERR")


_UNITS = {"HZ": 1.0, "KHZ": 1e3, "MHZ": 1e6, "GHZ": 1e9}


def parse_acknowledgement(text: str) -> str:
    """`OK`, `OK: ...` or `ERR: ...`; ValueError for anything else."""
    if not re.match(r"\s*(OK|ERR)\b", text, re.IGNORECASE):
        raise ValueError(text)
    return text.strip()


def parse_frequency(text: str) -> float:
    """Hz from an answer such as `80.00000009 MHz (0x147AE148)`."""
    match = re.match(r"\s*([+-]?\d+(?:\.\d*)?)\s*([kMG]?Hz)\b", text, re.IGNORECASE)
    if match is None:
        raise ValueError(text)
    return float(match[1]) * _UNITS[match[2].upper()]


def parse_power(text: str) -> float:
    """dBm from an answer such as `+24.00 dBm (0x1000)`."""
    match = re.match(r"\s*([+-]?\d+(?:\.\d*)?)\s*dBm\b", text, re.IGNORECASE)
    if match is None:
        raise ValueError(text)
    return float(match[1])


def parse_phase(text: str) -> float:
    """Degrees from an answer that begins with a plain decimal."""
    match = re.match(r"\s*([+-]?\d+(?:\.\d*)?)\s*(deg\b|\(|$)", text, re.IGNORECASE)
    if match is None:
        raise ValueError(text)
    return float(match[1])


def parse_mode(text: str) -> str:
    """One of the four modes, wherever it stands in the answer."""
    match = re.search(r"\b(NSB|NSA|TSB|TPA)\b", text.upper())
    if match is None:
        raise ValueError(text)
    return match[1]


def parse_status(text: str) -> ChannelStatus:
    """An answer that holds `SIG: ON|OFF` and `POW: ON|OFF`."""
    states = {
        name: match[1] == "ON"
        for name in ("SIG", "POW")
        if (match := re.search(rf"{name}:\s*(ON|OFF)\b", text.upper())) is not None
    }
    if len(states) < 2:
        raise ValueError(text)
    return ChannelStatus(states["SIG"], states["POW"], text.strip())


def parse_info(info: str) -> Identity:
    """Vendor, model and serial number as far as the answer to `INFO` holds them."""
    model = re.search(r"\b([AX]RF[\s-]?\d{3})\b", info, re.IGNORECASE)
    serial = re.search(r"(?:serial|S/N|SN)\w*\s*[:=#]?\s*([\w-]*\d[\w-]*)", info, re.IGNORECASE)
    if model is None:
        raise ValueError(info)
    return {
        "vendor": "MOGLabs",
        "model": model[1].upper(),
        "serial": serial[1] if serial else None,
        "firmware": None,
    }
