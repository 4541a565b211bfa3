"""Roles: what a physicist sets and reads, over the drivers and through the calibrations."""

from .aom import Aom, AomProgram
from .base import Health, ReadingsMismatch, Role, SafeResult
from .cavity_trace import CavityTrace, TraceProgram
from .detector import Detector, DetectorProgram
from .exchange_drive import ExchangeDrive
from .external_trigger import ExternalTrigger, TriggerTimeout
from .gradient_coil import GradientCoil
from .laser import Laser
from .raman_drive import RamanDrive
from .shutter import Shutter
from .squeezed_source import SqueezedSource
from .timing import Timing, TimingProgram

__all__ = [
    "Aom",
    "AomProgram",
    "CavityTrace",
    "Detector",
    "DetectorProgram",
    "ExchangeDrive",
    "ExternalTrigger",
    "GradientCoil",
    "Health",
    "Laser",
    "RamanDrive",
    "ReadingsMismatch",
    "Role",
    "SafeResult",
    "Shutter",
    "SqueezedSource",
    "Timing",
    "TimingProgram",
    "TraceProgram",
    "TriggerTimeout",
]
