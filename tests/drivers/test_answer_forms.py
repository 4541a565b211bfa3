"""The forms of the instruments' answers, as far as they can be read without a link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cavitylab.instruments.drivers import moglabs_xrf_language as xrf
from cavitylab.instruments.drivers.scpi import block_data, block_is_complete, parse_error
from cavitylab.instruments.drivers.toptica_dlcpro import scheme


@pytest.mark.parametrize(
    ("parser", "text", "value"),
    [
        (xrf.parse_frequency, "80.00000009 MHz (0x147AE148)", 80.00000009e6),
        (xrf.parse_frequency, "350 kHz", 350e3),
        (xrf.parse_power, "+24.00 dBm (0x1000)", 24.0),
        (xrf.parse_power, "-3.5dBm", -3.5),
        (xrf.parse_phase, "90.00", 90.0),
        (xrf.parse_phase, "45.0 deg (0x2000)", 45.0),
        (xrf.parse_mode, "CH1 mode TSB", "TSB"),
        (parse_error, '-113,"Undefined header"', (-113, "Undefined header")),
        (parse_error, '+0,"No error"', (0, "No error")),
    ],
)
def test_answers_in_si_units(parser: Callable[[str], Any], text: str, value: Any) -> None:
    """The value comes out in SI units, whatever the unit on the wire."""
    expected = pytest.approx(value) if isinstance(value, float) else value
    assert parser(text) == expected


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        (xrf.parse_frequency, "+24.00 dBm (0x1000)"),
        (xrf.parse_power, "80.00000009 MHz (0x147AE148)"),
        (xrf.parse_phase, "80.00000009 MHz (0x147AE148)"),
        (xrf.parse_phase, "+24.00 dBm (0x1000)"),
        (xrf.parse_mode, "OK"),
        (xrf.parse_status, "SIG: ON"),
        (xrf.parse_acknowledgement, "80.0 MHz"),
        (parse_error, "80.0"),
    ],
)
def test_answer_to_another_question_is_refused(parser: Callable[[str], Any], text: str) -> None:
    """A stale answer of the same unit cannot pass for the wanted one."""
    with pytest.raises(ValueError, match="."):
        parser(text)


def test_xrf_identity_is_found_in_free_text() -> None:
    """Model and serial number, wherever `INFO` has them."""
    identity = xrf.parse_info("MOGLabs XRF421 agile RF, serial A0123")
    assert (identity["model"], identity["serial"]) == ("XRF421", "A0123")


class TestDefiniteBlocks:
    """#<digits><length><data> and the end mark."""

    def test_complete_only_with_the_announced_length(self) -> None:
        """New lines inside the data end nothing."""
        whole = b"#210ab\ncd\nef\ng\n"
        for length in range(len(whole)):
            assert not block_is_complete(bytearray(whole[:length]), b"\n")
        assert block_is_complete(bytearray(whole), b"\n")
        assert block_data(whole, b"\n") == b"ab\ncd\nef\ng"

    def test_empty_block(self) -> None:
        """No data is data too."""
        assert block_is_complete(bytearray(b"#10\n"), b"\n")
        assert block_data(b"#10\n", b"\n") == b""

    @pytest.mark.parametrize("raw", [b"80.0\n", b"#Zx\n", b"#13abcd\n"])
    def test_anything_else_is_refused(self, raw: bytes) -> None:
        """A line, a broken header, a block longer than announced."""
        assert block_is_complete(bytearray(raw), b"\n")
        with pytest.raises(ValueError, match="block"):
            block_data(raw, b"\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "#t"), (False, "#f"), (3, "3"), (99.5, "99.5"), ('a "b" \\', r'"a \"b\" \\"')],
)
def test_scheme_values(value: bool | int | float | str, text: str) -> None:
    """Values as the DLC pro writes them."""
    assert scheme(value) == text
