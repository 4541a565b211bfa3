"""The kinds of apparatus that a laboratory file can name, and how each is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .lines import Apparatus
from .pumped_cavity import PumpedCavity
from .pumped_truth import PumpedDriftsEntry, PumpedTruthEntry, draw_pumped_truth
from .relaxing_truth import RelaxingTruthEntry, draw_relaxing_truth
from .squeezed_ensemble import SqueezedEnsemble
from .squeezed_truth import SqueezedTruthEntry, draw_squeezed_truth
from .superradiant_cavity import SuperradiantCavity
from .superradiant_truth import MOST_ENSEMBLES, SuperradiantTruthEntry, draw_superradiant_truth
from .truth import DriftsEntry, FilePart, TwoEnsembleTruthEntry, draw_truth
from .two_ensemble_cavity import TwoEnsembleCavity
from .two_ensemble_clouds import CloudsTruthEntry, RelaxingClouds
from .two_ensemble_relaxing import RelaxingPair
from .two_mode_cavity import TwoModeCavity
from .two_mode_truth import ANALYSIS, RAMAN, TwoModeTruthEntry, draw_two_mode_truth

if TYPE_CHECKING:
    from .laboratory_file import LaboratoryFile


@dataclass(frozen=True, slots=True)
class ApparatusKind:
    """One physics that can stand behind the wires.

    Attributes:
        lines: Physical lines that wires can drive.
        truth: What the section `apparatus: truth:` of its laboratory files holds.
        drifts: What the section `drifts:` holds.
        build: From (truth section, seed, drifts or None) to the apparatus.
    """

    lines: tuple[str, ...]
    truth: type[FilePart]
    drifts: type[FilePart]
    build: Callable[[Any, int, Any], Apparatus]


_TWO_ENSEMBLE_LINES = (
    "drive.rf",
    "drive.switch",
    "coupling.rf",
    "coupling.switch",
    "gradient.current",
    "light",
    "probe.1",
    "probe.2",
    "counter.gate",
)

_PUMPED_LINES = ("pump.rf", "pump.switch", "light", "probe", "counter.gate")

_TWO_MODE_LINES = (
    *(f"{beam}.{what}" for beam in (*RAMAN, *ANALYSIS) for what in ("rf", "switch")),
    "gradient.current",
    "light",
    "probe.1",
    "probe.2",
    "counter.gate",
)

_SQUEEZED_LINES = (
    "squeezer.rf",
    "squeezer.switch",
    "coupling.switch",
    "drive.rf",
    "drive.switch",
    "light",
    "probe",
    "counter.gate",
)

_SUPERRADIANT_LINES = (
    "drive.rf",
    *(f"coupling_{number}.rf" for number in range(1, MOST_ENSEMBLES + 1)),
    "analysis.rf",
    "analysis.switch",
    "light",
    *(f"probe.{number}" for number in range(1, MOST_ENSEMBLES + 1)),
    "counter.gate",
)


def _kind(
    lines: tuple[str, ...],
    truth: type[FilePart],
    drifts: type[FilePart],
    draw: Callable[[Any, int], Any],
    apparatus: Callable[[Any, int, Any], Apparatus],
) -> ApparatusKind:
    """A kind whose hidden truth is drawn from the file's for the seed, then handed on."""

    def build(entry: Any, seed: int, drifting: Any) -> Apparatus:
        return apparatus(draw(entry, seed), seed, drifting)

    return ApparatusKind(lines, truth, drifts, build)


_KINDS: dict[str, ApparatusKind] = {
    "two_ensemble_cavity": _kind(
        _TWO_ENSEMBLE_LINES, TwoEnsembleTruthEntry, DriftsEntry, draw_truth, TwoEnsembleCavity
    ),
    "relaxing_pair": _kind(
        _TWO_ENSEMBLE_LINES, RelaxingTruthEntry, DriftsEntry, draw_relaxing_truth, RelaxingPair
    ),
    "relaxing_clouds": _kind(
        _TWO_ENSEMBLE_LINES, CloudsTruthEntry, DriftsEntry, draw_relaxing_truth, RelaxingClouds
    ),
    "pumped_cavity": _kind(
        _PUMPED_LINES, PumpedTruthEntry, PumpedDriftsEntry, draw_pumped_truth, PumpedCavity
    ),
    "two_mode_cavity": _kind(
        _TWO_MODE_LINES, TwoModeTruthEntry, DriftsEntry, draw_two_mode_truth, TwoModeCavity
    ),
    "squeezed_waveguide": _kind(
        _SQUEEZED_LINES,
        SqueezedTruthEntry,
        PumpedDriftsEntry,
        draw_squeezed_truth,
        SqueezedEnsemble,
    ),
    "superradiant_cavity": _kind(
        _SUPERRADIANT_LINES,
        SuperradiantTruthEntry,
        PumpedDriftsEntry,
        draw_superradiant_truth,
        SuperradiantCavity,
    ),
}

KINDS: Mapping[str, ApparatusKind] = MappingProxyType(_KINDS)
"""Every kind by the name that `apparatus: kind:` gives it."""


def add_kind(name: str, kind: ApparatusKind) -> None:
    """Make an apparatus of one's own known to the laboratory files of this process.

    Raises:
        ValueError: There is another kind of that name.
    """
    if _KINDS.setdefault(name, kind) is not kind:
        raise ValueError(f"there is a kind of apparatus {name!r} already: choose another name")


def build_apparatus(file: LaboratoryFile) -> Apparatus:
    """The apparatus of a laboratory file, its hidden truth drawn for the file's seed."""
    return KINDS[file.apparatus.kind].build(file.apparatus.truth, file.seed, file.drifts)
