"""What a 33600A keeps for each channel, and how it prints numbers."""

from __future__ import annotations

import math

from .scpi_language import Setting

INFINITY = 9.9e37
HIGHEST_RATE = 1e9
LOWEST_RATE = 1e-6


def shown_real(value: float) -> str:
    """A number as the generator prints it: `+1.000000000000000E+03`."""
    if abs(value) >= INFINITY:
        return f"{math.copysign(9.9, value):+.15f}E+37"
    return f"{value:+.15E}"


def shown_whole(value: float) -> str:
    """A whole number, sign included."""
    return f"{int(value):+d}"


def shown_count(value: float) -> str:
    """A number of cycles or triggers, which may be infinite."""
    return shown_real(float(value))


def settings(max_frequency: float) -> tuple[Setting, ...]:
    """The plain settings of a generator that reaches `max_frequency`."""
    real, source = shown_real, "[SOURce#:]"
    return (
        Setting(f"{source}FUNCtion:RAMP:SYMMetry", 100.0, low=0, high=100, shown=real),
        Setting(f"{source}FUNCtion:PULSe:WIDTh", 1e-4, low=5e-9, high=1e6, unit="S", shown=real),
        Setting(f"{source}FUNCtion:PULSe:HOLD", "WIDT", ("WIDTh", "DCYCle")),
        Setting(f"{source}FUNCtion:PULSe:TRANsition[:BOTH]", 1e-8, low=8.4e-9, high=1e-6,
                unit="S", shown=real),
        Setting(f"{source}FUNCtion:SQUare:DCYCle", 50.0, low=0.01, high=99.99, shown=real),
        Setting(f"{source}FUNCtion:ARBitrary:SRATe", 4e4, low=LOWEST_RATE, high=HIGHEST_RATE,
                unit="SA/S", shown=real),
        Setting(f"{source}FUNCtion:ARBitrary:FILTer", "STEP", ("NORMal", "STEP", "OFF")),
        Setting(f"{source}FUNCtion:ARBitrary:ADVance", "SRAT", ("TRIGger", "SRATe")),
        Setting(f"{source}FREQuency", 1e3, low=1e-6, high=max_frequency, unit="HZ", shown=real),
        Setting(f"{source}FREQuency:MODE", "CW", ("CW", "LIST", "SWEep", "FIXed")),
        Setting(f"{source}FREQuency:STARt", 100.0, low=1e-6, high=max_frequency, unit="HZ",
                shown=real),
        Setting(f"{source}FREQuency:STOP", 1e3, low=1e-6, high=max_frequency, unit="HZ",
                shown=real),
        Setting(f"{source}SWEep:TIME", 1.0, low=1e-3, high=25e4, unit="S", shown=real),
        Setting(f"{source}SWEep:HTIMe", 0.0, low=0.0, high=3600.0, unit="S", shown=real),
        Setting(f"{source}SWEep:RTIMe", 0.0, low=0.0, high=3600.0, unit="S", shown=real),
        Setting(f"{source}SWEep:SPACing", "LIN", ("LINear", "LOGarithmic")),
        Setting(f"{source}AM[:DEPTh]", 100.0, low=0.0, high=120.0, shown=real),
        Setting(f"{source}FM[:DEViation]", 100.0, low=0.0, high=max_frequency, unit="HZ",
                shown=real),
        Setting(f"{source}PM[:DEViation]", 180.0, low=0.0, high=360.0, unit="DEG", shown=real),
        *(
            Setting(f"{source}{kind}:INTernal:FREQuency", rate, low=1e-6, high=5e6, unit="HZ",
                    shown=real)
            for kind, rate in (("AM", 100.0), ("FM", 10.0), ("PM", 10.0))
        ),
        *(
            Setting(f"{source}{kind}:INTernal:FUNCtion", "SIN",
                    ("SINusoid", "SQUare", "TRIangle", "RAMP", "NRAMp"))
            for kind in ("AM", "FM", "PM")
        ),
        Setting(f"{source}PHASe", 0.0, low=-360.0, high=360.0, unit="DEG", shown=real),
        Setting(f"{source}BURSt:STATe", False),
        Setting(f"{source}BURSt:MODE", "TRIG", ("TRIGgered", "GATed")),
        Setting(f"{source}BURSt:NCYCles", 1.0, low=1, high=INFINITY, shown=shown_count),
        Setting(f"{source}BURSt:PHASe", 0.0, low=-360, high=360, unit="DEG", shown=real),
        Setting(f"{source}BURSt:GATE:POLarity", "NORM", ("NORMal", "INVerted")),
        Setting(f"{source}BURSt:INTernal:PERiod", 1e-2, low=1e-6, high=8e3, unit="S", shown=real),
        Setting(f"{source}VOLTage:LIMit:STATe", False),
        Setting("TRIGger#:SOURce", "IMM", ("IMMediate", "EXTernal", "TIMer", "BUS")),
        Setting("TRIGger#:SLOPe", "POS", ("POSitive", "NEGative")),
        Setting("TRIGger#:DELay", 0.0, low=0.0, high=1000.0, unit="S", shown=real),
        Setting("TRIGger#:COUNt", 1.0, low=1, high=1e6, shown=shown_count),
        Setting("TRIGger#:TIMer", 1.0, low=1e-6, high=8e3, unit="S", shown=real),
        Setting("OUTPut#:POLarity", "NORM", ("NORMal", "INVerted")),
        Setting("OUTPut:SYNC", True),
        Setting("OUTPut:SYNC:SOURce", "CH1", ("CH1", "CH2")),
        Setting("OUTPut:TRIGger", False),
        Setting("FORMat:BORDer", "NORM", ("NORMal", "SWAPped")),
        Setting("ROSCillator:SOURce", "INT", ("INTernal", "EXTernal")),
    )  # fmt: skip
