"""The answers of a Delta SM15K, and the steps of its sequencer."""

from __future__ import annotations

from .linked import Identity

STEP_PATTERN = r"(SC|SV|SP|SCN|SPN|W)=[-+]?\d+(\.\d*)?([eE][-+]?\d+)?|TRG"
"""A step of a sequence that sets, waits, or waits for a trigger."""
REGISTER_A = {
    0: "constant voltage", 1: "constant current", 2: "constant power", 3: "voltage limit",
    4: "current limit", 5: "power limit", 6: "DC fail", 8: "over-temperature", 10: "AC fail",
    11: "interlock", 12: "remote shut-down", 13: "output on", 14: "panel locked",
}  # fmt: skip
"""Bits of STAT:REG:A?."""


def parse_error(text: str) -> tuple[int, str]:
    """Code and text of `0,None` or `<n>,<text>`.

    Raises:
        ValueError: If it has another form.
    """
    code, comma, words = text.partition(",")
    if not comma:
        raise ValueError(text)
    return int(code), words.strip()


def parse_idn(text: str) -> Identity:
    """The fields of `*IDN?`; the fifth is left out.

    Raises:
        ValueError: If there are not five.
    """
    fields = [field.strip() for field in text.split(",")]
    if len(fields) != 5 or not all(fields):
        raise ValueError(text)
    return dict(zip(("vendor", "model", "serial", "firmware"), fields[:4], strict=True))
