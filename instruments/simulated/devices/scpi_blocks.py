"""Binary blocks in the messages to an instrument: `#<d><length><bytes>`, any byte inside.

The bytes of a block may look like terminators, separators or quotes, so they are taken
out before anything else reads the message, and put back where a parameter names them.
"""

from __future__ import annotations

import re

from ..links import Answer, Link
from .scpi import ScpiDevice
from .scpi_language import ScpiError

_BEGINS = re.compile(rb"[\n#\"]")
_MARKS = re.compile(rb"[#\"]")
_MARK = "#BLOCK"


class BlockScpiDevice(ScpiDevice):
    """A SCPI instrument that takes definite blocks."""

    _blocks: tuple[bytes, ...] = ()

    def decode(self, message: bytes) -> str:
        """Every byte is kept."""
        return message.decode("latin-1")

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Lines; a line feed inside a block ends none."""
        if b"#" not in data and b'"' not in data:
            if data.find(b"\n") == len(data) - 1 and data[:1].isalnum():
                return [data[:-1].rstrip(b"\r")], b""
            *lines, rest = data.split(b"\n")
            return [line.rstrip(b"\r") for line in lines if line.strip(b" \r")], rest
        messages: list[bytes] = []
        start = place = block_end = 0
        while (found := _BEGINS.search(data, place)) is not None:
            place = found.end()
            if found.group() == b"\n":
                body = max(block_end, start)
                line = data[start:body] + data[body : place - 1].rstrip(b"\r")
                if line.strip(b" \r"):
                    messages.append(line)
                start = place
            elif found.group() == b'"':
                place = _behind_quote(data, place)
            elif data[place - 2 : place - 1] in (b",", b" ") and place - 2 >= start:
                stop = _behind_block(data, place - 1)
                if stop is None:
                    break
                place = block_end = stop
        return messages, data[start:]

    def handle(self, message: str, link: Link) -> Answer:
        """Obey a message whose blocks are taken out."""
        if "#" not in message:
            self._blocks = ()
            return super().handle(message, link)
        text, self._blocks = _without_blocks(message)
        return super().handle(text, link)

    def block(self, parameter: str) -> bytes | None:
        """The bytes of a parameter that is a block; None if it is text.

        Raises:
            ScpiError: -161 the block is shorter than it says.
        """
        if parameter.startswith(_MARK):
            return self._blocks[int(parameter.removeprefix(_MARK))]
        if parameter.startswith("#"):
            raise ScpiError(-161, "Invalid block data")
        return None


def _behind_quote(data: bytes, place: int) -> int:
    """The place behind a closed string, or `place` if the line ends first."""
    close = data.find(b'"', place)
    end = data.find(b"\n", place)
    return close + 1 if close >= 0 and (end < 0 or close < end) else place


def _header(data: bytes, place: int) -> tuple[int, int] | None:
    """Start and length of the block that begins with `#` at `place`; None: it is none."""
    digits = data[place + 1 : place + 2]
    if not digits.isdigit() or digits == b"0":
        return None
    start = place + 2 + int(digits)
    length = data[place + 2 : start]
    if len(length) < int(digits) or not length.isdigit():
        return None
    return start, int(length)


def _behind_block(data: bytes, place: int) -> int | None:
    """The place behind the block at `place`; None if more bytes have to come.

    A `#` that begins no block is skipped.
    """
    header = _header(data, place)
    if header is None:
        more = re.fullmatch(rb"#|#[1-9]\d*", data[place:]) is not None
        return None if more and len(data) - place < 11 else place + 1
    start, length = header
    return start + length if len(data) >= start + length else None


def _without_blocks(message: str) -> tuple[str, tuple[bytes, ...]]:
    """The message with marks in the place of its blocks, and the blocks."""
    data = message.encode("latin-1", errors="replace")
    pieces: list[str] = []
    blocks: list[bytes] = []
    start = place = 0
    while (found := _MARKS.search(data, place)) is not None:
        place = found.end()
        if found.group() == b'"':
            place = _behind_quote(data, place)
            continue
        header = _header(data, place - 1)
        if header is None or data[place - 2 : place - 1] not in (b",", b" "):
            continue
        first, length = header
        if len(data) < first + length:
            continue
        pieces.append(data[start : place - 1].decode("latin-1") + f"{_MARK}{len(blocks)}")
        blocks.append(data[first : first + length])
        start = place = first + length
    return "".join([*pieces, data[start:].decode("latin-1")]), tuple(blocks)
