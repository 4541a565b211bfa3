"""What an InfiniiVision keeps, and how it prints numbers, and one record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .scpi_language import Setting


@dataclass(slots=True)
class Record:
    """One acquisition of all channels shown.

    Attributes:
        time: Of its trigger, seconds on the clock.
        words: Unsigned 16-bit codes by channel.
        averaged: Triggers in it.
    """

    time: float
    words: dict[int, NDArray[np.float64]]
    averaged: int = 1


def shown_real(value: float) -> str:
    """A number as the oscilloscope prints it: `+1.00000E-03`."""
    return f"{value:+.5E}"


def shown_whole(value: float) -> str:
    """A whole number, sign included."""
    return f"{int(value):+d}"


CHANNELS = ("CHANnel1", "CHANnel2", "CHANnel3", "CHANnel4")
KEPT = (
    Setting("ACQuire:TYPE", "NORM", ("NORMal", "AVERage", "HRESolution", "PEAK")),
    Setting("ACQuire:COUNt", 8, low=2, high=65_536, shown=shown_whole),
    Setting("ACQuire:MODE", "RTIM", ("RTIMe", "SEGMented")),
    Setting("ACQuire:SEGMented:COUNt", 2, low=2, high=1000, shown=shown_whole),
    Setting("TIMebase:MODE", "MAIN", ("MAIN", "WINDow", "XY", "ROLL")),
    Setting("TIMebase:RANGe", 1e-3, low=20e-9, high=500.0, unit="S", shown=shown_real),
    Setting("TIMebase:POSition", 0.0, low=-500.0, high=500.0, unit="S", shown=shown_real),
    Setting("TIMebase:REFerence", "CENT", ("LEFT", "CENTer", "RIGHt")),
    Setting("CHANnel#:RANGe", 40.0, low=8e-3, high=40.0, unit="V", copies=4, shown=shown_real),
    Setting("CHANnel#:OFFSet", 0.0, low=-40.0, high=40.0, unit="V", copies=4, shown=shown_real),
    Setting("CHANnel#:COUPling", "DC", ("AC", "DC"), copies=4),
    Setting("CHANnel#:IMPedance", "ONEM", ("ONEMeg", "FIFTy"), copies=4),
    Setting("CHANnel#:BWLimit", False, copies=4),
    Setting("CHANnel#:PROBe", 1.0, low=0.1, high=1e4, copies=4, shown=shown_real),
    Setting("TRIGger:MODE", "EDGE", ("EDGE",)),
    Setting("TRIGger[:EDGE]:SOURce", "CHAN1", (*CHANNELS, "EXTernal")),
    Setting("TRIGger[:EDGE]:LEVel", 0.0, low=-40.0, high=40.0, unit="V", shown=shown_real),
    Setting("TRIGger[:EDGE]:SLOPe", "POS", ("POSitive", "NEGative")),
    Setting("TRIGger:SWEep", "AUTO", ("AUTO", "NORMal")),
    Setting("WAVeform:SOURce", "CHAN1", CHANNELS),
    Setting("WAVeform:FORMat", "BYTE", ("BYTE", "WORD", "ASCii")),
    Setting("WAVeform:BYTeorder", "MSBF", ("MSBFirst", "LSBFirst")),
    Setting("WAVeform:UNSigned", True),
    Setting("WAVeform:POINts:MODE", "NORM", ("NORMal", "MAXimum", "RAW")),
    Setting("WAVeform:POINts", 1000, low=100, high=8_000_000, shown=shown_whole),
)
