"""The words of the XRF's command language: values with units, table entries, answers."""

from __future__ import annotations

import math
import re

from .xrf_channel import (
    LEAST_DBM,
    Entry,
    Words,
    XRFChannel,
    amplitude_word,
    frequency_word,
    phase_word,
    power_of_word,
)

LONGEST_ENTRY = 2**20 - 1
LONGEST_IO_ENTRY = 2**16 - 1
_VALUE = re.compile(r"([-+]?\d*\.?\d+(?:E[-+]?\d+)?)\s*([A-Z]*)")
_FREQUENCY = {"": 1e6, "HZ": 1.0, "KHZ": 1e3, "MHZ": 1e6, "GHZ": 1e9}
_TIME = {"": 1.0, "NS": 1e-3, "US": 1.0, "MS": 1e3, "S": 1e6}


class Refused(Exception):
    """The line is answered with ``ERR: <text>``."""


def frequency_of(text: str) -> int:
    """The frequency word of a text; MHz unless it says otherwise."""
    if text.startswith("0X"):
        word = _hexadecimal(text)
    else:
        word = frequency_word(_quantity(text, _FREQUENCY, "frequency"))
    hertz = word * 1e9 / 2**32
    if not 20e6 - 1 <= hertz <= 400e6 + 1:
        raise Refused(f"Frequency {hertz / 1e6:.2f} MHz out of range")
    return word


def amplitude_of(text: str, limit_dbm: float) -> int:
    """The amplitude word of a text (dBm unless it says otherwise), not above the limit."""
    if text.startswith("0X"):
        word = _hexadecimal(text) & 0x3FFF
    else:
        value, unit = _split(text, "power")
        word = amplitude_word(_in_dbm(value, unit))
    if power_of_word(word) > limit_dbm + 5e-3:
        raise Refused(f"Power {power_of_word(word):+.2f} dBm exceeds limit {limit_dbm:+.2f} dBm")
    return word


def _in_dbm(value: float, unit: str) -> float:
    if unit in ("MW", "W"):
        watt = value * (1e-3 if unit == "MW" else 1.0)
        if watt <= 0:
            raise Refused(f"Power {value} {unit} out of range")
        return 30 + 10 * math.log10(watt)
    if unit not in ("", "DBM", "DB"):
        raise Refused(f"Invalid unit, {unit}")
    if not LEAST_DBM <= value <= 40.0:
        raise Refused(f"Power {value:+.2f} dBm out of range")
    return value


def phase_of(text: str) -> int:
    """The phase word of a text; degrees unless it says otherwise."""
    if text.startswith("0X"):
        return _hexadecimal(text) & 0xFFFF
    return phase_word(_quantity(text, {"": 1.0, "DEG": 1.0, "RAD": 57.29577951308232}, "phase"))


def entry_of(fields: list[str], channel: XRFChannel) -> Entry:
    """A table entry from its fields: frequency, power, phase, duration, flags."""
    if len(fields) < 4:
        raise Refused("Too few arguments")
    flags = [flag for field in fields[4:] for flag in field.split() if flag]
    for flag in flags:
        if flag != "OFF" and not flag.startswith("IO"):
            raise Refused(f"Flag {flag} not available on this simulated unit")
    words = Words(
        frequency_of(fields[0]), amplitude_of(fields[1], channel.limit_dbm), phase_of(fields[2])
    )
    if fields[3].startswith("0X"):
        duration = _hexadecimal(fields[3])
    else:
        duration = round(_quantity(fields[3], _TIME, "duration"))
    longest = LONGEST_IO_ENTRY if any(flag.startswith("IOSET") for flag in flags) else LONGEST_ENTRY
    if not 1 <= duration <= longest:
        raise Refused(f"Duration {duration} us out of range")
    return Entry(words, duration, "OFF" in flags)


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise Refused(f"Invalid argument, {text}") from None


def _split(text: str, what: str) -> tuple[float, str]:
    match = _VALUE.fullmatch(text)
    if match is None:
        raise Refused(f"Invalid {what}, {text}")
    return float(match[1]), match[2]


def _quantity(text: str, units: dict[str, float], what: str) -> float:
    value, unit = _split(text, what)
    if unit not in units:
        raise Refused(f"Invalid unit, {unit}")
    return value * units[unit]


def whole(fields: list[str], place: int, low: int, high: int) -> int:
    """The whole number at a place of the line."""
    if len(fields) <= place or not fields[place].isdigit():
        raise Refused("Invalid number")
    value = int(fields[place])
    if not low <= value <= high:
        raise Refused(f"Number {value} out of range")
    return value


def shown_frequency(words: Words) -> str:
    """As the unit prints it."""
    return f"{words.hertz / 1e6:.8f} MHz (0x{words.frequency:08X})"


def shown_power(words: Words) -> str:
    """As the unit prints it, the sign always present."""
    shown = f"{words.dbm:+.2f}" if words.amplitude else "-100.00"
    return f"{shown} dBm (0x{words.amplitude:04X})"


def shown_phase(words: Words) -> str:
    """As the unit prints it."""
    return f"{words.degrees:.4f} deg (0x{words.phase:04X})"
