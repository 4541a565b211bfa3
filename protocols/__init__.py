"""What is asked of the laboratory: protocols, the engine that asks, the recorder that keeps.

Protocols are loaded by name on first use, so that listing them costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..instruments.errors import CavityLabError

if TYPE_CHECKING:
    from .calibrate_atom_number import CalibrateAtomNumber
    from .calibrate_coupling import CalibrateCoupling
    from .calibrate_detector import CalibrateDetector
    from .calibrate_detuning import CalibrateDetuning
    from .calibrate_rabi import CalibrateRabi
    from .calibrate_settling import CalibrateSettling
    from .dissipative_preparation import DissipativePreparation
    from .protocol import ExperimentProtocol
    from .pumping_adaptive import PumpingAdaptive
    from .pumping_hold import PumpingHold
    from .pumping_scan import PumpingScan
    from .pumping_sweep import PumpingSweep
    from .ramsey_ellipse import RamseyEllipse

__all__ = [
    "PROTOCOLS",
    "CalibrateAtomNumber",
    "CalibrateCoupling",
    "CalibrateDetector",
    "CalibrateDetuning",
    "CalibrateRabi",
    "CalibrateSettling",
    "DissipativePreparation",
    "PumpingAdaptive",
    "PumpingHold",
    "PumpingScan",
    "PumpingSweep",
    "RamseyEllipse",
    "UnknownProtocolError",
    "protocol_by_name",
    "shipped_rehearsal",
]

PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "calibrate_atom_number": "CalibrateAtomNumber",
        "calibrate_coupling": "CalibrateCoupling",
        "calibrate_detector": "CalibrateDetector",
        "calibrate_detuning": "CalibrateDetuning",
        "calibrate_rabi": "CalibrateRabi",
        "calibrate_settling": "CalibrateSettling",
        "dissipative_preparation": "DissipativePreparation",
        "pumping_adaptive": "PumpingAdaptive",
        "pumping_hold": "PumpingHold",
        "pumping_scan": "PumpingScan",
        "pumping_sweep": "PumpingSweep",
        "ramsey_ellipse": "RamseyEllipse",
    }
)
"""Class of each protocol by the protocol's name, which is also the name of its module."""

_REHEARSALS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "calibrate_atom_number": ("two_ensemble", "two_ensemble.lab.yaml"),
        "calibrate_coupling": ("two_ensemble", "two_ensemble.lab.yaml"),
        "calibrate_detector": ("two_ensemble", "two_ensemble.lab.yaml"),
        "calibrate_detuning": ("two_ensemble", "two_ensemble.lab.yaml"),
        "calibrate_rabi": ("two_ensemble", "two_ensemble.lab.yaml"),
        "calibrate_settling": ("two_ensemble", "two_ensemble.lab.yaml"),
        "dissipative_preparation": (
            "dissipative_preparation",
            "dissipative_preparation.lab.yaml",
        ),
        "pumping_adaptive": ("pumped_cavity", "pumped_cavity.lab.yaml"),
        "pumping_hold": ("pumped_cavity_fluorescence", "pumped_cavity_fluorescence.lab.yaml"),
        "pumping_scan": ("pumped_cavity", "pumped_cavity.lab.yaml"),
        "pumping_sweep": ("pumped_cavity", "pumped_cavity.lab.yaml"),
        "ramsey_ellipse": ("two_ensemble", "two_ensemble.lab.yaml"),
    }
)


class UnknownProtocolError(CavityLabError, ValueError):
    """There is no protocol of that name."""


def protocol_by_name(name: str) -> Callable[..., ExperimentProtocol]:
    """The protocol's class; call it with its settings.

    Raises:
        UnknownProtocolError: There is no protocol of that name.
    """
    _check_name(name)
    found: Callable[..., ExperimentProtocol] = getattr(
        import_module(f".{name}", __name__), PROTOCOLS[name]
    )
    return found


def shipped_rehearsal(name: str) -> tuple[str, str]:
    """Names of the shipped station file and laboratory file on which the protocol is rehearsed.

    Raises:
        UnknownProtocolError: There is no protocol of that name.
    """
    _check_name(name)
    return _REHEARSALS[name]


def _check_name(name: str) -> None:
    if name not in PROTOCOLS:
        raise UnknownProtocolError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")


def __getattr__(name: str) -> Any:
    for module, class_name in PROTOCOLS.items():
        if name == class_name:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
