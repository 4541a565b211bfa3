"""Every way an instrument, its link or its files can fail, one exception type each.

All derive from `CavityLabError`; each also is the built-in exception that a
caller would expect, so `except ConnectionError` or `except ValueError` in code
that knows nothing of this package does the right thing.
"""

from __future__ import annotations


class CavityLabError(Exception):
    """Base class of every error that this package raises on purpose."""

    def __str__(self) -> str:
        # QCoDeS appends "setting x to 5" to `args` of what passes through a parameter:
        # shown as one sentence instead of as a tuple.
        return "; ".join(str(arg) for arg in self.args)


class LinkError(CavityLabError, ConnectionError):
    """The link to an instrument failed: no answer, refused, dropped, or unreadable bytes.

    The driver has marked the link dirty; the next exchange reopens it first.
    """


class StaleReply(LinkError):
    """An answer arrived that does not belong to the question: it was thrown away."""


class InstrumentError(CavityLabError, RuntimeError):
    """The instrument itself reported an error, or answered what it should never answer."""


class LimitError(CavityLabError, ValueError):
    """A value is outside the limits of the instrument or of the laboratory; nothing was sent."""


class StationFileError(CavityLabError, ValueError):
    """A station or laboratory file is wrong; the message names file, line and remedy."""


class CalibrationError(CavityLabError, ValueError):
    """A calibration is missing, not invertible, or used outside its domain."""
