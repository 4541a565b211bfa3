"""Several ensembles in one bad cavity: the physics behind the wires.

Light couples ensemble k to the cavity with c_k and drives the cavity with e; with its linewidth
kappa, H = Omega S^x and the jump operator S^-, S = sum_k eta_k S_k, hold with

    eta_k = c_k/c,  Gamma = 4 c^2/kappa,  Omega = 4 e c/kappa,      c the largest of the c_k

(Shen et al., "Multi-ensemble superradiance for distributed quantum sensing", Eq. 1, for
kappa well above c sqrt(N)). Mean spins and covariances are followed through everything that the
drive does (Shen Eq. 2 with linearised fluctuations; at the operating point the dark state of
Eqs. 9-15); the counts are samples of the Gaussian state with these moments, through Poissonian
photon counting. Valid to about 1/N_k, while every ensemble's noise is small against its spin. Of
a few atoms (125 states in all) the density matrix of Eq. 1 is followed instead, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.multi_ensemble_superradiance import CoupledEnsembles
from ...models.multi_ensemble_superradiance_sensing import squeezing_matrix_from_moments
from .beams import TWO_PI
from .lines import Timeline
from .prepared import PreparedEnsembles, Remembered
from .pumped_truth import PumpedDriftsEntry
from .superradiant_shot import SuperradiantShot, read_superradiant_shot
from .superradiant_state import Analysis, SpinState, exact_spins, gaussian_spins
from .superradiant_truth import SuperradiantTruth

Array = NDArray[np.float64]

APPROXIMATIONS = (
    "every shot starts with all atoms down and with the same number of them",
    "the cavity follows at once (linewidth well above coupling times sqrt(N)); no loss, no decay "
    "of single atoms",
    "light switches at once; while the analysis pulse lasts nothing else happens",
    "phases of drive and analysis pulse are those of their RF at the atoms",
    "probe light does not change the counted atoms",
)


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
        """Atoms up, (shots, ensembles); many of them are Gaussian and so not whole."""
        return self.state(did).atoms(self._analysis(did), self.seed, shots)

    def observed(self, did: SuperradiantShot) -> tuple[Array, Array]:
        """Mean (M,) and covariance (M, M) of the numbers up less N_k/2, when they are counted."""
        return self.state(did).observed(self._analysis(did))

    def _analysis(self, did: SuperradiantShot) -> Analysis:
        return Analysis(did.pulse_area, did.pulse_phase, self.truth.phases)

    def state(self, did: SuperradiantShot) -> SpinState:
        """The state at the end of the hold.

        Raises:
            ApparatusFault: If many atoms have left the regime of Gaussian noise.
        """
        held = did if did.held else SuperradiantShot(did.couplings)
        key = held.couplings, held.steps
        found: SpinState = self._states.get_or(key, lambda: self._followed(held))
        return found

    def _followed(self, did: SuperradiantShot) -> SpinState:
        truth = self.truth
        largest = max(abs(one) for one in did.couplings)
        couplings = [one / largest if did.held else 1.0 for one in did.couplings]
        unit = TWO_PI * 4.0 * largest / truth.linewidth
        ensembles = CoupledEnsembles.from_atom_numbers(
            truth.atoms, couplings, unit * largest if did.held else 1.0
        )
        steps = [(one.duration, unit * one.amplitude) for one in did.steps if did.held]
        solve = exact_spins if truth.few else gaussian_spins
        return solve(ensembles, steps)

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
        matrix = squeezing_matrix_from_moments(truth.atoms, state.covariance_x, lengths)
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
        if self.truth.few:
            yield "the density matrix is followed exactly"
        else:
            yield (
                "mean field with linearised fluctuations: Gaussian counts, good to about one over "
                "the number of atoms of an ensemble"
            )
