"""Which classes a station file may name: ours, for suggestions, and any VISA driver of QCoDeS."""

from __future__ import annotations

import importlib
from typing import Any

from qcodes.instrument import VisaInstrument

from .roles import (
    Aom,
    CavityTrace,
    Detector,
    ExchangeDrive,
    GradientCoil,
    Laser,
    RamanDrive,
    Shutter,
    SqueezedSource,
    Timing,
)
from .roles.base import Role

ROLES: tuple[type[Role], ...] = (
    Aom,
    CavityTrace,
    Detector,
    ExchangeDrive,
    GradientCoil,
    Laser,
    RamanDrive,
    Shutter,
    SqueezedSource,
    Timing,
)
DRIVERS: tuple[str, ...] = (
    "delta_sm15k.DeltaSM15K",
    "keysight_53220a.Keysight53220A",
    "kepco_bop.KepcoBOP",
    "keysight_33600a.Keysight33600A",
    "keysight_infiniivision.KeysightInfiniiVision",
    "moglabs_xrf.MOGLabsXRF",
    "prawnblaster.PrawnBlaster",
    "srs_dg645.SRSDG645",
    "thorlabs_sc10.ThorlabsSC10",
    "toptica_dlcpro.TopticaDLCpro",
)
_HERE = __name__.rpartition(".")[0]


def known_types() -> list[str]:
    """Dotted names of the drivers and roles of this package."""
    roles = [f"{role.__module__}.{role.__name__}" for role in ROLES]
    return [*roles, *(f"{_HERE}.drivers.{driver}" for driver in DRIVERS)]


def find_type(path: str) -> type[Any] | None:
    """The driver or role called `path`, or None if there is no such class."""
    module_name, _, name = path.rpartition(".")
    if not module_name:
        return None
    try:
        kind = getattr(importlib.import_module(module_name), name, None)
    except (ImportError, ValueError):
        return None
    if isinstance(kind, type) and issubclass(kind, VisaInstrument | Role):
        return kind
    return None
