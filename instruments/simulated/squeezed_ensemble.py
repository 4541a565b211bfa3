"""An ensemble on a squeezed waveguide: the physics behind the wires.

The density matrix of N atoms at equivalent places, after any hold under squeezed light with loss
and detuning, all atoms down before (Bai & An, "Generating stable spin squeezing by
squeezed-reservoir engineering", Eq. 7; in the end the steady state of Eq. 8), turned by the pulse
that the drive gives, then the populations: counts are samples of exact distributions.

Valid for broadband squeezed light (bandwidth well above A N e^(2r)), one waveguide mode, equal
couplings of all atoms and no loss of single atoms, as Eq. 7 is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.squeezed_reservoir import SqueezedReservoir
from ...models.squeezed_reservoir_dynamics import evolved_density_matrices, squeezed_evolution
from ...models.table_draws import cells_of
from .beams import TWO_PI
from .draws import shot_uniforms
from .lines import Timeline
from .prepared import PreparedEnsembles, Remembered, pulse_matrix
from .pumped_truth import PumpedDriftsEntry
from .squeezed_shot import SqueezedShot, read_squeezed_shot
from .squeezed_truth import SqueezedTruth

APPROXIMATIONS = (
    "every shot starts with all atoms down and with the same number of them",
    "the density matrix is exact for broadband squeezed light, one waveguide mode and equal "
    "couplings; transmission and detuning included, single atoms are not lost",
    "RF phases are those at T0 in every shot; light and RF switch at once",
    "probe light does not change the counted atoms",
)


class SqueezedEnsemble(PreparedEnsembles[SqueezedShot]):
    """The `Apparatus` (`lines.py`) of one ensemble on a squeezed waveguide.

    Args:
        truth: The hidden truth.
        seed: Keys the samples and the drifts.
        drifts: What drifts with the clock; None: nothing.
    """

    def __init__(
        self, truth: SqueezedTruth, seed: int, drifts: PumpedDriftsEntry | None = None
    ) -> None:
        super().__init__(truth, seed, drifts, ("probe",))
        self.truth = truth
        self._states = Remembered(32)
        self._ladders = Remembered(256)

    def read(self, timeline: Timeline, power: float) -> SqueezedShot:
        """What a shot did; see `read_squeezed_shot`."""
        return read_squeezed_shot(timeline, self.truth, power)

    def atoms(self, did: SqueezedShot, shots: range) -> NDArray[np.float64]:
        """Atoms up, (shots, 1), drawn from the exact distribution."""
        ladder = self._ladders.get_or(did, lambda: np.cumsum(self.populations(did)))
        draws = shot_uniforms(self.seed, "projection", shots) * ladder[-1]
        return np.asarray(cells_of(ladder, draws)[:, None], dtype=np.float64)

    def populations(self, did: SqueezedShot) -> NDArray[np.float64]:
        """Chances of 0 … N atoms up."""
        key = did.squeezing, did.detuning, did.hold
        state = self._states.get_or(key, lambda: self._state(did))
        # alpha turns the state about z by alpha/2
        turned = pulse_matrix(
            0.5 * self.truth.atoms, did.pulse_area, did.pulse_phase + 0.5 * did.phase
        )
        chances = np.sum((turned @ state) * turned.conj(), axis=1).real
        return np.asarray(np.maximum(chances[::-1], 0.0), dtype=np.float64)

    def _reservoir(self, did: SqueezedShot) -> SqueezedReservoir:
        return SqueezedReservoir(
            self.truth.atoms,
            did.squeezing,
            did.detuning,
            transmission=self.truth.transmission,
            collective_decay=TWO_PI * self.truth.decay,
        )

    def _state(self, did: SqueezedShot) -> NDArray[np.complex128]:
        """Density matrix after the hold at alpha = 0, m descending."""
        found = evolved_density_matrices(self._reservoir(did), [did.hold])[0]
        return np.asarray(found, dtype=np.complex128)

    def told(self, latest: SqueezedShot | None) -> dict[str, Any]:
        """Truth of the light, and of the latest state: xi2, spin_length, analysis_phase.

        `analysis_phase` is that of a pi/2 pulse, RF phase at T0 in rad and modulo pi, after which
        the counted atoms vary least, if the drive is on resonance.
        """
        truth = self.truth
        found: dict[str, Any] = {
            "atoms": truth.atoms,
            "transmission": truth.transmission,
            "collective_decay": truth.decay,
            "shift": truth.shift,
            "phase_offset": truth.phase_offset,
            "drive_full_rabi": truth.drive.full_strength,
            "drive_saturation_power": truth.drive.saturation_power,
        }
        if latest is None or not latest.hold:
            return found
        (state,) = squeezed_evolution(self._reservoir(latest), [latest.hold])
        return found | {
            "squeezing": latest.squeezing,
            "detuning": latest.detuning / TWO_PI,
            "xi2": state.xi2,
            "smallest_variance": state.v_min,
            "spin_length": state.spin_length,
            "analysis_phase": (state.angle - 0.5 * latest.phase - 0.5 * math.pi) % math.pi,
        }

    def approximations(self) -> Iterator[str]:
        """What is left out."""
        yield from APPROXIMATIONS
