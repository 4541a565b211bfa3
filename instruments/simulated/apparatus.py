"""From a laboratory file to the physics it describes."""

from __future__ import annotations

from .laboratory_file import LaboratoryFile
from .lines import Apparatus
from .truth import draw_truth
from .two_ensemble_cavity import TwoEnsembleCavity


def build_apparatus(file: LaboratoryFile) -> Apparatus:
    """The apparatus of a laboratory file, its hidden truth drawn for the file's seed."""
    truth = draw_truth(file.apparatus.truth, file.seed)
    return TwoEnsembleCavity(truth, file.seed, file.drifts)
