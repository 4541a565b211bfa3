"""What SCPI instruments have in common: the error queue, and blocks of announced length."""

from __future__ import annotations

import re
from typing import ClassVar

from .base import CavityLabInstrument

POWER_ON_BIT = 1 << 7
"""Bit of `*ESR?` that is set by switching on and cleared by reading."""


class ScpiInstrument(CavityLabInstrument):
    """A `CavityLabInstrument` with `SYST:ERR?` and `*ESR?`.

    The power-on bit of `*ESR?` is cleared at the first connection; found set
    after a reopening it tells that the instrument was switched off meanwhile.
    """

    survival_check_clears = True
    error_question = "SYST:ERR?"
    never_repeat: ClassVar[tuple[str, ...]] = (
        r"SYST\w*:ERR",
        r"\*(ESR|TST|CAL)\?",
        r"STAT\w*:\w+(:EVEN\w*)?\?",
    )

    def _error_in(self, answer: str) -> str:
        code, text = parse_error(answer)
        return f'{code} "{text}"' if code else ""

    def write_block(self, cmd: str, data: bytes) -> None:
        """Send `cmd` with a definite block behind it, then read the error queue.

        Args:
            cmd: The command up to the block, for instance ``DATA:ARB name,``.
            data: The bytes; any of them, also terminators.

        Raises:
            LinkError: If the link failed; it is unknown whether the block arrived.
            InstrumentError: If the instrument refused it.
        """
        length = str(len(data))
        payload = f"#{len(length)}{length}".encode("ascii") + data
        with self.group():
            self._group_messages.append(f"{cmd}<block of {len(data)} bytes>")
            self._exchange(cmd, None, repeat=False, payload=payload)

    def _prepare_survival_check(self) -> None:
        self.ask_parsed("*ESR?", int, "an integer", repeat=True)

    def _settings_survived(self) -> str:
        status = self.ask_int("*ESR?")
        return "the power-on bit of *ESR? is set" if status & POWER_ON_BIT else ""


def parse_error(text: str) -> tuple[int, str]:
    """Code and text of an answer such as `-113,"Undefined header"`.

    Raises:
        ValueError: If it has another form.
    """
    match = re.fullmatch(r'\s*([+-]?\d+)\s*,\s*"(.*)"\s*', text)
    if match is None:
        raise ValueError(text)
    return int(match[1]), match[2]


def block_is_complete(buffer: bytearray, end: bytes) -> bool:
    """Whether a definite block `#<d><length><data>` and its end mark are all there.

    A buffer that does not begin like a block is complete at its end mark: it is
    then another answer, and `block_data` refuses it.
    """
    if not buffer:
        return False
    header = _header(buffer)
    if header is None:
        return buffer.endswith(end) and not _may_become_block(buffer)
    start, length = header
    return len(buffer) >= start + length + len(end)


def block_data(raw: bytes, end: bytes) -> bytes:
    """The data of a definite block.

    Raises:
        ValueError: If it is no such block, or is longer than announced.
    """
    header = _header(raw)
    if header is None:
        raise ValueError("no block header")
    start, length = header
    if raw[start + length :].removesuffix(end) or len(raw) < start + length:
        raise ValueError("the block does not end where its header says")
    return raw[start : start + length]


def _header(buffer: bytes | bytearray) -> tuple[int, int] | None:
    """Offset and length of the data, or None if the header is not there (yet)."""
    if len(buffer) < 2 or buffer[:1] != b"#" or not chr(buffer[1]).isdigit():
        return None
    digits = int(chr(buffer[1]))
    length = bytes(buffer[2 : 2 + digits])
    if digits == 0 or len(length) < digits or not length.isdigit():
        return None
    return 2 + digits, int(length)


def _may_become_block(buffer: bytearray) -> bool:
    """Whether what is there so far is the beginning of a block header."""
    return re.fullmatch(rb"#|#[1-9]\d*", bytes(buffer)) is not None
