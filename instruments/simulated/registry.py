"""Laboratories by the name of their VISA library, and device models by name.

A library's name is ``<laboratory file>?option=value&...``. pyvisa forgets its
libraries when nobody holds them, so the laboratories live here: the same name
always leads to the same table, with its clock and its settings. The option
`session` tells two laboratories from the same file apart.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from pyvisa.rname import to_canonical_name

from ..clock import Clock, RealClock, VirtualClock
from ..errors import StationFileError
from .apparatus import build_apparatus
from .devices.base import SimulatedDevice
from .devices.delta_sm15k import DeltaSM15K
from .devices.kepco_bop import KepcoBOP
from .devices.keysight_33600a import Keysight33600A
from .devices.keysight_53220a import Keysight53220A
from .devices.keysight_infiniivision import KeysightInfiniiVision
from .devices.moglabs_xrf import MOGLabsXRF
from .devices.prawnblaster import PrawnBlaster
from .devices.srs_dg645 import SRSDG645
from .devices.thorlabs_sc10 import ThorlabsSC10
from .devices.toptica_dlcpro import TopticaDLCpro
from .faults import FaultRule
from .laboratory import Laboratory
from .laboratory_file import LaboratoryFile, load_laboratory

DEVICE_MODELS: Mapping[str, type[SimulatedDevice]] = {
    "delta_sm15k": DeltaSM15K,
    "kepco_bop": KepcoBOP,
    "keysight_33600a": Keysight33600A,
    "keysight_53220a": Keysight53220A,
    "keysight_infiniivision": KeysightInfiniiVision,
    "moglabs_xrf": MOGLabsXRF,
    "prawnblaster": PrawnBlaster,
    "srs_dg645": SRSDG645,
    "thorlabs_sc10": ThorlabsSC10,
    "toptica_dlcpro": TopticaDLCpro,
    "DeltaSM15K": DeltaSM15K,
    "KepcoBOP": KepcoBOP,
    "Keysight33600A": Keysight33600A,
    "Keysight53220A": Keysight53220A,
    "KeysightInfiniiVision": KeysightInfiniiVision,
    "MOGLabsXRF": MOGLabsXRF,
    "PrawnBlaster": PrawnBlaster,
    "SRSDG645": SRSDG645,
    "ThorlabsSC10": ThorlabsSC10,
    "TopticaDLCpro": TopticaDLCpro,
}
"""Names that a laboratory file may use: that of the driver's module or of its class."""

MOST_KEPT = 64
"""Laboratories remembered; the one used least recently is forgotten first."""

_OPTIONS = {
    "seed": "a whole number",
    "session": "any text",
    "latency": "none or realistic",
    "clock": "virtual or real",
    "drifts": "on or off",
    "adversary": "on or off",
    "shot": "number of the first shot",
    "time": "seconds on the virtual clock at the start",
}

_laboratories: OrderedDict[str, Laboratory] = OrderedDict()
_lock = threading.RLock()


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a library's name."""

    seed: int | None = None
    latency: bool = False
    virtual: bool = True
    drifts: bool = True
    adversary: bool = False
    shot: int = 0
    time: float = 0.0


def parse_name(name: str) -> tuple[str, Options]:
    """Laboratory file and options of a library's name.

    Raises:
        StationFileError: Unknown option, or one that cannot be read.
    """
    path, _, query = name.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    for key in given:
        if key not in _OPTIONS:
            known = ", ".join(f"{one} ({what})" for one, what in _OPTIONS.items())
            raise StationFileError(f"{name}: unknown option `{key}`; there are {known}.")
    try:
        return path, Options(
            seed=int(given["seed"]) if given.get("seed") else None,
            latency=_either(given, "latency", "none", "realistic"),
            virtual=not _either(given, "clock", "virtual", "real"),
            drifts=not _either(given, "drifts", "on", "off"),
            adversary=_either(given, "adversary", "off", "on"),
            shot=int(given.get("shot", "0")),
            time=float(given.get("time", "0")),
        )
    except ValueError as problem:
        raise StationFileError(f"{name}: {problem}") from problem


def _either(given: Mapping[str, str], key: str, usual: str, other: str) -> bool:
    value = given.get(key, usual)
    if value not in (usual, other):
        raise ValueError(f"option `{key}` must be {usual} or {other}, but is {value!r}.")
    return value == other


def laboratory_named(name: str) -> Laboratory:
    """The laboratory of this name, built on first use.

    Raises:
        StationFileError: A wrong name, or a wrong laboratory file.
    """
    with _lock:
        if name not in _laboratories:
            path, options = parse_name(name)
            clock: Clock = VirtualClock(options.time) if options.virtual else RealClock()
            _laboratories[name] = open_laboratory(path, options, clock)
            while len(_laboratories) > MOST_KEPT:
                _laboratories.popitem(last=False)
        _laboratories.move_to_end(name)
        return _laboratories[name]


def forget(name: str) -> None:
    """Clear this table away; the next use of the name builds a fresh one."""
    with _lock:
        _laboratories.pop(name, None)


def open_laboratory(path: str, options: Options, clock: Clock) -> Laboratory:
    """Read a laboratory file and build what it describes.

    Raises:
        StationFileError: With everything that is wrong in the file.
    """
    file = load_laboratory(path, options.seed, options.drifts, models=DEVICE_MODELS)
    laboratory = Laboratory(
        file.seed,
        clock=clock,
        latency=options.latency,
        adversary=options.adversary,
        first_shot=options.shot,
    )
    furnish(laboratory, file)
    return laboratory


def furnish(laboratory: Laboratory, file: LaboratoryFile) -> None:
    """Put the devices on the table, lay the wires, bring the physics and the faults.

    Raises:
        StationFileError: What the file asks for cannot be built.
    """
    for entry in file.devices:
        device = DEVICE_MODELS[entry.model](entry.name, laboratory, entry.settings)
        laboratory.add(device, [canonical(address) for address in entry.addresses])
    laboratory.connect((wire.source, wire.target) for wire in file.wires)
    laboratory.spoil(
        [
            FaultRule(
                device=fault.device,
                kind=fault.kind,
                pattern=fault.match,
                nth=fault.nth,
                probability=fault.probability,
                seconds=fault.seconds,
                value=None if fault.value is None else str(fault.value),
            )
            for fault in file.faults
        ]
    )
    laboratory.apparatus = build_apparatus(file)


def canonical(address: str) -> str:
    """The one form of a VISA address under which devices are kept.

    Raises:
        StationFileError: No VISA address.
    """
    try:
        return to_canonical_name(address).upper()
    except ValueError as problem:
        raise StationFileError(f"{address} is no VISA address: {problem}") from problem
