"""Instruments: VISA drivers, calibrated roles, the station and its simulated laboratory.

Only the errors are loaded here; drivers (QCoDeS) and the station come with
their own modules, so importing this package costs nothing.
"""

from .errors import (
    CalibrationError,
    CavityLabError,
    InstrumentError,
    LimitError,
    LinkError,
    StaleReply,
    StationFileError,
)

__all__ = [
    "CalibrationError",
    "CavityLabError",
    "InstrumentError",
    "LimitError",
    "LinkError",
    "StaleReply",
    "StationFileError",
]
