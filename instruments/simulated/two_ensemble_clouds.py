"""Two large ensembles in a cavity, at any time: Gaussian atom numbers behind the wires.

As `two_ensemble_relaxing`, whose reading of the wires, drifts, noise and counting it shares; only
the state is another: second-order cumulants in place of the density matrix, for as long as their
own measure of error allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator, model_validator
from scipy.special import ndtri

from .clouds_state import CloudNumbers, cloud_numbers
from .draws import shot_uniforms
from .prepared import Remembered
from .relaxing_truth import RelaxingTruth, RelaxingTruthEntry
from .truth import DriftsEntry
from .two_ensemble_relaxing import APPROXIMATIONS, RelaxingPair, RelaxingShot

FEWEST_CLOUD_ATOMS, MOST_CLOUD_ATOMS = 20, 1_000_000
"""Atoms in each ensemble: fewer are solved exactly by `relaxing_pair`."""

_CACHED = 512


class CloudsTruthEntry(RelaxingTruthEntry):
    """Section `apparatus: truth:` of a laboratory file of the kind `relaxing_clouds`.

    As of the kind `relaxing_pair`, with 20 to a million atoms in each ensemble, and without the
    counter of the cavity's output.
    """

    @field_validator("atoms_per_ensemble")
    @classmethod
    def _tractable(cls, atoms: int) -> int:
        if not FEWEST_CLOUD_ATOMS <= atoms <= MOST_CLOUD_ATOMS:
            raise ValueError(
                f"must be from {FEWEST_CLOUD_ATOMS} to {MOST_CLOUD_ATOMS} in the kind "
                "relaxing_clouds: up to twelve atoms are followed exactly by relaxing_pair"
            )
        return atoms

    @model_validator(mode="after")
    def _dark(self) -> CloudsTruthEntry:
        if self.cavity_output is not None:
            raise ValueError(
                "cavity_output is not followed for large ensembles: take it out, or use the kind "
                "relaxing_pair"
            )
        return self


class RelaxingClouds(RelaxingPair):
    """The `Apparatus` (`lines.py`) of two large ensembles, at any time of their preparation.

    Args:
        truth: The hidden truth.
        seed: Keys the samples and the drifts.
        drifts: What drifts with the clock; None: nothing.
    """

    most_atoms: ClassVar[int] = 2 * MOST_CLOUD_ATOMS

    def __init__(self, truth: RelaxingTruth, seed: int, drifts: DriftsEntry | None = None) -> None:
        super().__init__(truth, seed, drifts)
        self._solved = Remembered(_CACHED)

    def _from_state(self, shot: RelaxingShot, number: int, shots: range) -> NDArray[np.int64]:
        """Gaussian numbers, rounded, within 0 and N."""
        falling = self.truth.single_atom_decay
        found: CloudNumbers = self._solved.get_or(
            (shot.steps, number), lambda: cloud_numbers(number, shot.steps, falling)
        )
        values, vectors = np.linalg.eigh(found.covariance)
        normal = np.stack(
            [ndtri(shot_uniforms(self._seed, f"projection.{k}", shots)) for k in (1, 2)], axis=1
        )
        drawn = found.mean + (normal * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        return np.asarray(np.clip(np.rint(drawn), 0, number), dtype=np.int64)

    def _approximations(self) -> Iterator[str]:
        for one in super()._approximations():
            if one != APPROXIMATIONS[1]:
                yield one
        yield (
            "numbers of atoms are Gaussian with the means and covariance of the second-order "
            "cumulant equations, rounded to whole atoms; a course that they do not hold for is "
            "refused"
        )
