"""States of several ensembles at the end of a hold, and the atoms up that are found in them.

Of many atoms the moments are followed (mean field with linearised fluctuations) and the counts
are Gaussian; of few the whole density matrix, and the counts are exact. Shen et al., "Multi-
ensemble superradiance for distributed quantum sensing", Eqs. 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ...models.multi_ensemble_superradiance import CoupledEnsembles
from ...models.multi_ensemble_superradiance_exact import follow_exact
from ...models.multi_ensemble_superradiance_moments import DriveProfile, evolve_moments
from .draws import shot_uniforms
from .lines import ApparatusFault
from .prepared import pulse_matrix

Array = NDArray[np.float64]

MOST_NOISE = 0.4
"""Largest standard deviation of a spin component, in units of the ensemble's spin N_k/2, ever."""

LOOKS = 32
"""Times of a hold at which that is looked at."""

EDGE = 1e-9
"""Seconds in which the drive goes from one step to the next."""

Steps = Sequence[tuple[float, float]]
"""(duration in s, Omega angular) one after the other."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What happens behind the hold: phases written about z, then one pulse on all atoms.

    Attributes:
        area: Of the pulse, rad.
        phase: Of its axis in the x-y plane, rad.
        written: Phase of each ensemble, rad.
    """

    area: float
    phase: float
    written: tuple[float, ...]


class SpinState(Protocol):
    """A state at the end of a hold, spins in units of hbar, the drive along x."""

    @property
    def means(self) -> Array:
        """(M, 3) mean spins."""
        ...

    @property
    def covariance_x(self) -> Array:
        """(M, M) of S_x."""
        ...

    def observed(self, analysis: Analysis) -> tuple[Array, Array]:
        """Mean (M,) and covariance (M, M) of the numbers up less N_k/2."""
        ...

    def atoms(self, analysis: Analysis, seed: int, shots: range) -> Array:
        """Atoms up, (shots, M)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class GaussianSpins:
    """Moments of all ensembles.

    Attributes:
        numbers: N_k.
        means: (M, 3).
        covariance: (M, 3, M, 3), symmetrised.
    """

    numbers: tuple[int, ...]
    means: Array = field(repr=False)
    covariance: Array = field(repr=False)

    @property
    def covariance_x(self) -> Array:
        """(M, M) of S_x."""
        return np.asarray(self.covariance[:, 0, :, 0], dtype=np.float64)

    def observed(self, analysis: Analysis) -> tuple[Array, Array]:
        """Mean (M,) and covariance (M, M) of the numbers up less N_k/2."""
        sine, cosine = math.sin(analysis.area), math.cos(analysis.area)
        # the axis that the pulse turns to z, in the frame before the phases were written
        angle = analysis.phase + 0.5 * math.pi - np.array(analysis.written)
        axes = np.stack(
            [sine * np.cos(angle), sine * np.sin(angle), np.full(angle.size, cosine)], axis=1
        )
        means = np.sum(axes * self.means, axis=1)
        covariance = np.einsum("ka,kalb,lb->kl", axes, self.covariance, axes)
        return means, np.asarray(covariance, dtype=np.float64)

    def atoms(self, analysis: Analysis, seed: int, shots: range) -> Array:
        """Atoms up, (shots, M), not whole."""
        means, covariance = self.observed(analysis)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        draws = [
            ndtri(shot_uniforms(seed, f"projection.{one}", shots)) for one in range(means.size)
        ]
        numbers = np.array(self.numbers, dtype=np.float64)
        found = 0.5 * numbers + means + np.stack(draws, axis=1) @ root.T
        return np.asarray(np.clip(found, 0.0, numbers), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class ExactSpins:
    """The density matrix of few atoms.

    Attributes:
        numbers: N_k.
        means: (M, 3).
        covariance_x: (M, M) of S_x.
        density: In the product basis, atoms up ascending, the last ensemble's fastest.
    """

    numbers: tuple[int, ...]
    means: Array = field(repr=False)
    covariance_x: Array = field(repr=False)
    density: NDArray[np.complex128] = field(repr=False)

    def chances(self, analysis: Analysis) -> Array:
        """Of all numbers up together, in the order of the basis."""
        turns = [
            pulse_matrix(0.5 * number, analysis.area, analysis.phase - written)[::-1, ::-1]
            for number, written in zip(self.numbers, analysis.written, strict=True)
        ]
        turned = turns[0]
        for turn in turns[1:]:
            turned = np.asarray(np.kron(turned, turn), dtype=np.complex128)
        found = np.sum((turned @ self.density) * turned.conj(), axis=1).real
        return np.asarray(np.maximum(found, 0.0), dtype=np.float64)

    def _up(self) -> Array:
        """(M, states) numbers up of every basis state."""
        grid = np.indices([number + 1 for number in self.numbers], dtype=np.float64)
        return grid.reshape(len(self.numbers), -1)

    def observed(self, analysis: Analysis) -> tuple[Array, Array]:
        """Mean (M,) and covariance (M, M) of the numbers up less N_k/2."""
        chances, up = self.chances(analysis), self._up()
        means = up @ chances
        covariance = (up * chances) @ up.T - np.outer(means, means)
        return means - 0.5 * np.array(self.numbers), covariance

    def atoms(self, analysis: Analysis, seed: int, shots: range) -> Array:
        """Atoms up, (shots, M), from the exact distribution."""
        ladder = np.cumsum(self.chances(analysis))
        draws = shot_uniforms(seed, "projection", shots) * ladder[-1]
        cells = np.minimum(np.searchsorted(ladder, draws, side="right"), ladder.size - 1)
        return np.asarray(self._up().T[cells], dtype=np.float64)


def exact_spins(ensembles: CoupledEnsembles, steps: Steps) -> ExactSpins:
    """Few atoms after the steps of the drive, all down before (Shen Eq. 1, exactly)."""
    density, moments = follow_exact(ensembles, steps)
    numbers = tuple(round(one) for one in ensembles.atom_numbers)
    return ExactSpins(numbers, moments.mean_spins, moments.covariance_x, density)


def gaussian_spins(ensembles: CoupledEnsembles, steps: Steps) -> GaussianSpins:
    """Many atoms after the steps of the drive, all down before (Shen Eq. 2, linearised).

    Raises:
        ApparatusFault: If the noise has grown too large for that on the way.
    """
    times: list[float] = []
    drives: list[float] = []
    now = 0.0
    for duration, drive in steps:
        times += [now + min(EDGE, 0.1 * duration), now + duration]
        drives += [drive, drive]
        now += duration
    profile = DriveProfile(tuple(times), tuple(drives)) if times else 0.0
    moments = evolve_moments(ensembles, 0.0, profile, np.linspace(0.0, now, LOOKS))
    numbers = tuple(round(one) for one in ensembles.atom_numbers)
    size = len(numbers)
    history = moments.covariance.reshape(-1, size, 3, size, 3)
    noise = [
        2.0 * math.sqrt(float(np.linalg.eigvalsh(history[:, k, :, k])[:, -1].max())) / numbers[k]
        for k in range(size)
    ]
    if max(noise) > MOST_NOISE:
        raise ApparatusFault(
            f"the noise of ensemble {int(np.argmax(noise)) + 1} grows to {max(noise):.2g} of its "
            f"spin, and up to {MOST_NOISE:g} can be answered for: the drive is near or above the "
            "critical one, or pulse and hold do not fit: lower the RF power on drive.rf, or the "
            "pulse's length"
        )
    return GaussianSpins(numbers, moments.mean_spins[-1], history[-1])
