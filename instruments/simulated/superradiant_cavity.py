"""Several ensembles in one bad cavity: the physics behind the wires.

Light couples ensemble k to the cavity with c_k and drives the cavity with e; with its linewidth
kappa, H = Omega S^x and the jump operator S^-, S = sum_k eta_k S_k, hold with

    eta_k = c_k/c,  Gamma = 4 c^2/kappa,  Omega = 4 e c/kappa,      c the largest of the c_k

(Shen et al., "Multi-ensemble superradiance for distributed quantum sensing", Eq. 1, for
kappa well above c sqrt(N)). Mean spins and covariances are followed through everything that the
drive does (Shen Eq. 2 with linearised fluctuations; at the operating point the dark state of
Eqs. 9-15); the counts are samples of the Gaussian state with these moments, through Poissonian
photon counting. Valid to about 1/N_k, while every ensemble's noise is small against its spin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ...models.multi_ensemble_superradiance import CoupledEnsembles
from ...models.multi_ensemble_superradiance_moments import DriveProfile, evolve_moments
from ...models.multi_ensemble_superradiance_sensing import squeezing_matrix_from_moments
from .beams import TWO_PI
from .draws import shot_uniforms
from .lines import ApparatusFault, Timeline
from .prepared import PreparedEnsembles, Remembered
from .pumped_truth import PumpedDriftsEntry
from .superradiant_shot import SuperradiantShot, read_superradiant_shot
from .superradiant_truth import SuperradiantTruth

Array = NDArray[np.float64]

MOST_NOISE = 0.4
"""Largest standard deviation of a spin component, in units of the ensemble's spin N_k/2, ever."""

LOOKS = 32
"""Times of a hold at which that is looked at."""

EDGE = 1e-9
"""Seconds in which the drive goes from one step to the next."""

APPROXIMATIONS = (
    "every shot starts with all atoms down and with the same number of them",
    "mean field with linearised fluctuations: Gaussian counts, good to about one over the number "
    "of atoms of an ensemble",
    "the cavity follows at once (linewidth well above coupling times sqrt(N)); no loss, no decay "
    "of single atoms",
    "light switches at once; while the analysis pulse lasts nothing else happens",
    "phases of drive and analysis pulse are those of their RF at the atoms",
    "probe light does not change the counted atoms",
)


@dataclass(frozen=True, slots=True)
class SpinState:
    """Moments of all ensembles, spins in units of hbar, the drive along x.

    Attributes:
        means: (M, 3).
        covariance: (M, 3, M, 3), symmetrised.
    """

    means: Array = field(repr=False)
    covariance: Array = field(repr=False)


class SuperradiantCavity(PreparedEnsembles[SuperradiantShot]):
    """The `Apparatus` (`lines.py`) of several ensembles in one cavity.

    Args:
        truth: The hidden truth.
        seed: Keys the samples and the drifts.
        drifts: What drifts with the clock; None: nothing.
    """

    def __init__(
        self, truth: SuperradiantTruth, seed: int, drifts: PumpedDriftsEntry | None = None
    ) -> None:
        probes = [f"probe.{number}" for number in range(1, len(truth.atoms) + 1)]
        super().__init__(truth, seed, drifts, probes)
        self.truth = truth
        self._states = Remembered(64)

    def read(self, timeline: Timeline, power: float) -> SuperradiantShot:
        """What a shot did; see `read_superradiant_shot`."""
        return read_superradiant_shot(timeline, self.truth, power)

    def atoms(self, did: SuperradiantShot, shots: range) -> Array:
        """Atoms up, (shots, ensembles); of a Gaussian state, so not whole."""
        means, covariance = self.observed(did)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        draws = [
            ndtri(shot_uniforms(self.seed, f"projection.{one}", shots)) for one in range(len(means))
        ]
        numbers = np.array(self.truth.atoms, dtype=np.float64)
        found = 0.5 * numbers + means + np.stack(draws, axis=1) @ root.T
        return np.asarray(np.clip(found, 0.0, numbers), dtype=np.float64)

    def observed(self, did: SuperradiantShot) -> tuple[Array, Array]:
        """Mean (M,) and covariance (M, M) of S_z,k when the atoms are counted."""
        state = self.state(did)
        sine, cosine = math.sin(did.pulse_area), math.cos(did.pulse_area)
        across = np.array(
            [-sine * math.sin(did.pulse_phase), sine * math.cos(did.pulse_phase), cosine]
        )
        phases = np.array(self.truth.phases)
        # the axis that the pulse turns to z, before the phases were written
        axes = np.stack(
            [
                np.cos(phases) * across[0] + np.sin(phases) * across[1],
                np.cos(phases) * across[1] - np.sin(phases) * across[0],
                np.full(phases.size, cosine),
            ],
            axis=1,
        )
        means = np.sum(axes * state.means, axis=1)
        covariance = np.einsum("ka,kalb,lb->kl", axes, state.covariance, axes)
        return means, np.asarray(covariance, dtype=np.float64)

    def state(self, did: SuperradiantShot) -> SpinState:
        """Moments at the end of the hold.

        Raises:
            ApparatusFault: If the state is not Gaussian any more.
        """
        held = did if did.held else SuperradiantShot(did.couplings)
        found: SpinState = self._states.get_or(
            (held.couplings, held.steps), lambda: self._followed(held)
        )
        return found

    def _followed(self, did: SuperradiantShot) -> SpinState:
        truth = self.truth
        largest = max(abs(one) for one in did.couplings)
        couplings = [one / largest if did.held else 1.0 for one in did.couplings]
        unit = TWO_PI * 4.0 * largest / truth.linewidth
        ensembles = CoupledEnsembles.from_atom_numbers(
            truth.atoms, couplings, unit * largest if did.held else 1.0
        )
        times, drives, now = [], [], 0.0
        for step in did.steps:
            times += [now + min(EDGE, 0.1 * step.duration), now + step.duration]
            drives += [unit * step.amplitude] * 2
            now += step.duration
        profile = DriveProfile(tuple(times), tuple(drives)) if times else 0.0
        moments = evolve_moments(ensembles, 0.0, profile, np.linspace(0.0, now, LOOKS))
        size = len(truth.atoms)
        history = moments.covariance.reshape(-1, size, 3, size, 3)
        spins = 0.5 * np.array(truth.atoms)
        noise = [
            math.sqrt(float(np.linalg.eigvalsh(history[:, k, :, k])[:, -1].max())) / spins[k]
            for k in range(size)
        ]
        if max(noise) > MOST_NOISE:
            raise ApparatusFault(
                f"the noise of ensemble {int(np.argmax(noise)) + 1} grows to {max(noise):.2g} of "
                f"its spin, and up to {MOST_NOISE:g} can be answered for: the drive is near or "
                "above the critical one, or pulse and hold do not fit: lower the RF power on "
                "drive.rf, or the pulse's length"
            )
        return SpinState(moments.mean_spins[-1], np.asarray(history[-1], dtype=np.float64))

    def told(self, latest: SuperradiantShot | None) -> dict[str, Any]:
        """Truth of the cavity, and of the latest state its squeezing matrix for S_x.

        `lengths` are those of the mean spins, `slopes` d<S_x,k>/d phase_k at phase 0, in atoms.
        """
        truth = self.truth
        found: dict[str, Any] = {
            "atoms": list(truth.atoms),
            "linewidth": truth.linewidth,
            "phases": list(truth.phases),
        }
        if latest is None or not latest.held:
            return found
        state = self.state(latest)
        lengths = np.linalg.norm(state.means, axis=1)
        matrix = squeezing_matrix_from_moments(truth.atoms, state.covariance[:, 0, :, 0], lengths)
        return found | {
            "couplings": list(latest.couplings),
            "lengths": lengths.tolist(),
            "slopes": (-state.means[:, 1]).tolist(),
            "squeezing_matrix": matrix.tolist(),
            "smallest_eigenvalue": float(np.linalg.eigvalsh(matrix)[0]),
        }

    def approximations(self) -> Iterator[str]:
        """What is left out."""
        yield from APPROXIMATIONS
