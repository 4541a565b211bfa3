"""The error codes of the SRS DG645 in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ERROR_TEXTS: Mapping[int, str] = MappingProxyType(
    {
        10: "illegal value",
        11: "illegal mode",
        12: "illegal delay",
        13: "illegal link",
        14: "recall failed",
        15: "locked by another interface",
        16: "self test failed",
        17: "calibration failed",
        30: "lost data",
        32: "no listener",
        110: "illegal command",
        111: "undefined command",
        112: "illegal query",
        113: "illegal set",
        114: "null parameter",
        115: "extra parameters",
        116: "missing parameters",
        117: "parameter overflow",
        118: "invalid floating point number",
        120: "invalid integer",
        121: "integer overflow",
        122: "invalid hexadecimal",
        126: "syntax error",
        170: "communication error",
        171: "overrun",
        254: "too many errors",
    }
)


def error_in_words(code: int) -> str:
    """Code and meaning of an answer to `LERR?` other than 0."""
    text = "hardware fault" if 40 <= code <= 91 else ERROR_TEXTS.get(code, "unknown error")
    return f"error {code} ({text})"
