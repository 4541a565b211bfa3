"""What a 53220A keeps, and how it prints numbers."""

from __future__ import annotations

import math

from .scpi_language import Setting

MEMORY = 1_000_000
"""Readings; then the oldest are overwritten."""


def shown_real(value: float) -> str:
    """A number as the counter prints it: 15 digits, exponent of three."""
    if math.isinf(value):
        value = math.copysign(9.9e37, value)
    mantissa, exponent = f"{value:+.14E}".split("E")
    return f"{mantissa}E{exponent[0]}{int(exponent[1:]):03d}"


def shown_whole(value: float) -> str:
    """A whole number as the counter prints it, sign included."""
    return f"{int(value):+d}"


MEASUREMENT = (
    Setting("SAMPle:COUNt", 1, low=1, high=1_000_000, shown=shown_whole),
    Setting("TRIGger:COUNt", 1, low=1, high=1_000_000, shown=shown_whole),
    Setting("TRIGger:SOURce", "IMM", ("IMMediate", "EXTernal", "BUS")),
    Setting("TRIGger:SLOPe", "NEG", ("POSitive", "NEGative")),
    Setting("TRIGger:DELay", 0.0, low=0.0, high=3600.0, unit="S", shown=shown_real),
    Setting("[SENSe:]TOTalize:GATE:POLarity", "NEG", ("POSitive", "NEGative")),
    Setting("[SENSe:]TOTalize:GATE:TIME", 0.1, low=1e-4, high=9.9e37, unit="S", shown=shown_real),
)
"""Reset by every CONFigure."""

KEPT = (
    Setting("INPut#:COUPling", "AC", ("AC", "DC")),
    Setting("INPut#:IMPedance", 1e6, low=50.0, high=1e6, unit="OHM", shown=shown_real),
    Setting("INPut#:RANGe", 5.0, low=5.0, high=50.0, unit="V", shown=shown_real),
    Setting("INPut#:SLOPe", "POS", ("POSitive", "NEGative")),
    Setting("INPut#:FILTer[:LPASs][:STATe]", False),
    Setting("INPut#:NREJection", False),
    Setting("INPut#:LEVel[:ABSolute]", 0.0, low=-5.125, high=5.125, unit="V", shown=shown_real),
    Setting("INPut#:LEVel:AUTO", True),
    Setting("OUTPut[:STATe]", False),
    Setting("ROSCillator:SOURce", "INT", ("INTernal", "EXTernal")),
    Setting("ROSCillator:SOURce:AUTO", True),
    Setting("ROSCillator:EXTernal:FREQuency", 1e7, low=1e6, high=1e7, unit="HZ", shown=shown_real),
    Setting("SYSTem:TIMeout", 9.9e37, low=10e-3, high=9.9e37, unit="S", shown=shown_real),
    Setting("FORMat:BORDer", "NORM", ("NORMal", "SWAPped")),
    Setting("DATA:POINts:EVENt:THReshold", 1, low=1, high=MEMORY, shown=shown_whole),
)
"""Kept until *RST."""
