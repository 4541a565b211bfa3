"""How the runs of a protocol are told: rows for the terminal and a figure, by its name.

A protocol of somebody else brings its own as the attribute ``report``; without one its quantities
are told plainly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from ..protocols.engine import RunResult
    from ..protocols.protocol import ExperimentProtocol
    from .figures import RunningEstimate

_REPORTS: Mapping[str, str] = MappingProxyType(
    {
        "calibrate_atom_number": "calibration_report",
        "calibrate_coupling": "calibration_report",
        "calibrate_detector": "calibration_report",
        "calibrate_detuning": "calibration_report",
        "calibrate_rabi": "calibration_report",
        "calibrate_settling": "calibration_report",
        "dissipative_preparation": "preparation_report",
        "pumping_adaptive": "pumping_report",
        "pumping_hold": "pumping_hold_report",
        "pumping_scan": "pumping_report",
        "pumping_sweep": "pumping_sweep_report",
        "ramsey_ellipse": "ramsey_report",
    }
)


class Report(Protocol):
    """A module or object with these two functions; they are asked when there is an estimate."""

    def rows(self, result: RunResult, protocol: ExperimentProtocol) -> list[tuple[str, str]]:
        """Label and text of each line at the end of a run."""
        ...

    def figure(
        self,
        path: Path,
        result: RunResult,
        protocol: ExperimentProtocol,
        history: Sequence[RunningEstimate],
    ) -> Path | None:
        """Write the figure and return its path; None where there is nothing to draw."""
        ...


def report_of(protocol: ExperimentProtocol) -> Report:
    """The report of a protocol: its own, else the one of its name, else the plain one."""
    own = getattr(protocol, "report", None)
    if own is not None:
        return cast(Report, own)
    module = _REPORTS.get(protocol.name, "plain_report")
    return cast(Report, import_module(f".{module}", __package__))
