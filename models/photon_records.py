"""Single runs of a relaxing pair with their photons: what a detector behind the cavity may see.

A run is one quantum trajectory from all atoms down (`trajectories`): photons leave at random, as
many and as bunched as the master equation says, and the atoms end in a pure state that knows of
them. Over many runs the mean photons and the populations are those of `relaxation_outcomes`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .relaxation_generator import Array, Generator, Matrix
from .relaxation_outcomes import relaxing_system, to_product_basis
from .relaxation_propagator import rising_times
from .trajectories import Walk, compiled_runs
from .two_ensembles import TwoEnsembles


class PhotonRecords:
    """Runs of one pair, each from a seed of its own: the same seed gives the same run.

    Args:
        parameters: the pair, with exchange or without; S up to 6.
        times: rising, not negative, the last one that at which the atoms are left, in the inverse
            unit of the rates.

    Raises:
        ValueError: on a larger spin, or on times that fall or are negative.
    """

    def __init__(self, parameters: TwoEnsembles, times: Sequence[float] | Array) -> None:
        wanted = rising_times(times)
        system = relaxing_system(parameters)
        self._turned = to_product_basis(system)
        self._walk = _LastStates(system, wanted)
        self._follow = compiled_runs(system, wanted)

    def follow(self, seeds: NDArray[np.int64]) -> tuple[NDArray[np.complex128], NDArray[np.int64]]:
        """Amplitudes of the atoms at the last time, and photons until each time.

        Args:
            seeds: (runs,) not negative.

        Returns:
            (runs, (2S+1)^2) normalised, column n1 (2S+1) + n2 of |n1, n2>; (runs, times).
        """
        if self._follow is None:
            table = self._walk.follow(seeds)
            states, photons = self._walk.states(table), table[:, :, -1].astype(np.int64)
        else:
            each = [self._follow(np.random.default_rng(seed)) for seed in seeds]
            size = self._turned.shape[1]
            states = np.array([found[:, -1] for found, _ in each]).reshape(len(each), size)
            photons = np.array([seen for _, seen in each]).reshape(len(each), -1)
        amplitudes = states @ self._turned.T
        norm = np.linalg.norm(amplitudes, axis=1, keepdims=True)
        return amplitudes / np.maximum(norm, 1e-300), photons


class _LastStates(Walk):
    """Runs side by side that keep their states."""

    def __init__(self, system: Generator, times: Array) -> None:
        super().__init__(system, times)
        self.columns = 2 * system.size

    def look(self, phi: Matrix) -> Array:
        """Real and imaginary parts, (runs, 2 states)."""
        return np.concatenate([np.real(phi), np.imag(phi)]).T

    def states(self, table: Array) -> Matrix:
        """States at the last time, (runs, states)."""
        last = table[:, -1, :-1]
        half = last.shape[1] // 2
        states: Matrix = last[:, :half] + 1j * last[:, half:]
        return states
