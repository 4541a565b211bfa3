r"""A combination n.phi of the phases of many ensembles, linear in the counts.

    phi_k = asin(x_k/slope_k),   x_k = mean of (counts_k - b)/g - S_k,   slope_k = d<x_k>/d phi_k

With M observables and M phases there is no freedom left: for Gaussian data this is the maximum
of the likelihood. The error holds the shots' covariance and the contrasts' own errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from .estimate import Estimate, Quantity
from .records import RecordError, read_counts, refuse_beyond, refuse_unknown
from .squeezing_intervals import stationarity

Array = NDArray[np.float64]

_LARGEST_SINE = 0.98


@dataclass(frozen=True, slots=True)
class CombinedPhaseBeliefs:
    """Ensembles, detector and contrasts.

    Attributes:
        direction: n_k of n.phi.
        spins: S_k.
        slopes: d<S_x,k>/d phi_k at phi = 0, atoms; signed (-R_k where the phase turns z to -x).
        slope_stds: their standard deviations, independent of each other.
        gain: counts per atom.
        background: counts.

    Raises:
        ValueError: on rows of different lengths or slopes of zero.
    """

    direction: tuple[float, ...]
    spins: tuple[float, ...]
    slopes: tuple[float, ...]
    slope_stds: tuple[float, ...]
    gain: float = 1.0
    background: float = 0.0

    def __post_init__(self) -> None:
        sizes = {len(self.direction), len(self.spins), len(self.slopes), len(self.slope_stds)}
        if len(sizes) != 1:
            raise ValueError(
                "Arguments `direction`, `spins`, `slopes`, `slope_stds` must have one entry for "
                f"each ensemble, but have lengths {sorted(sizes)}."
            )
        if not all(s > 0.0 for s in self.spins) or not all(s != 0.0 for s in self.slopes):
            raise ValueError("Every spin must be positive and every slope other than zero.")
        if not self.gain > 0.0 or not self.background >= 0.0:
            raise ValueError("Argument `gain` must be positive and `background` not negative.")

    @property
    def ensembles(self) -> int:
        """M."""
        return len(self.direction)


class CombinedPhase:
    """n.phi from counts of M ensembles.

    Args:
        beliefs: direction, contrasts, detector.
    """

    def __init__(self, beliefs: CombinedPhaseBeliefs) -> None:
        self.beliefs = beliefs
        self._blocks: list[Array] = []
        self._rejected = 0

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots, M), status.

        Raises:
            RecordError: on what cannot be used.
        """
        refuse_unknown(records, ("counts",))
        beliefs = self.beliefs
        counts, rejected = read_counts(records, beliefs.ensembles)
        refuse_beyond(counts, 2.0 * max(beliefs.spins) * beliefs.gain + beliefs.background)
        self._blocks.append(counts)
        self._rejected += rejected

    def estimate(self, level: float = 0.95) -> Estimate:
        """combined_phase and phase_1 … phase_M, radians.

        Raises:
            RecordError: on fewer than three shots.
        """
        shots = sum(len(block) for block in self._blocks)
        if shots < 3:
            raise RecordError(f"Records must hold at least 3 good shots, but hold {shots}.")
        beliefs = self.beliefs
        x = (np.concatenate(self._blocks) - beliefs.background) / beliefs.gain
        x = x - np.array(beliefs.spins)
        slopes = np.array(beliefs.slopes)
        raw = x.mean(axis=0) / slopes
        sines = np.clip(raw, -_LARGEST_SINE, _LARGEST_SINE)
        phases, turn = np.arcsin(sines), 1.0 / (slopes * np.sqrt(1.0 - sines**2))
        of_shots = np.cov(x, rowvar=False).reshape(slopes.size, slopes.size) / shots
        covariance = of_shots * np.outer(turn, turn)
        own = np.tan(phases) * np.array(beliefs.slope_stds) / slopes
        covariance = covariance + np.diag(own**2)
        reach = float(student.ppf(0.5 + 0.5 * level, shots - 1))
        direction = np.array(beliefs.direction)
        value = float(direction @ phases)
        std = math.sqrt(float(direction @ covariance @ direction))
        beyond = np.abs(raw) > _LARGEST_SINE
        quarter = 0.5 * math.pi * np.abs(direction).sum()
        quantities = {"combined_phase": _quantity(value, std, reach, level)}
        if (beyond & (direction != 0.0)).any():
            quantities["combined_phase"] = _whole(float(quarter), level)
        for k, phase in enumerate(phases):
            error = math.sqrt(float(covariance[k, k]))
            quantities[f"phase_{k + 1}"] = (
                _whole(0.5 * math.pi, level)
                if beyond[k]
                else _quantity(float(phase), error, reach, level)
            )
        flags = []
        if beyond.any():
            flags.append("an ensemble is at the top of its fringe: its phase is not determined")
        if np.all(x == x[0]):
            flags.append("all shots are equal: a saturated detector or a repeated reading")
        return Estimate(
            estimator="combined phase",
            shots=shots,
            quantities=quantities,
            names=tuple(f"phase_{k + 1}" for k in range(slopes.size)),
            covariance=covariance,
            goodness_of_fit=stationarity(x @ (direction * turn)),
            diagnostics={"rejected": self._rejected, "flags": tuple(flags)},
            assumptions=(
                "every phase within a quarter turn of the zero of its fringe",
                "contrasts known within their errors; shots independent",
            ),
            identifiable=(
                -0.5 * math.pi * float(np.abs(direction).sum()),
                0.5 * math.pi * float(np.abs(direction).sum()),
            ),
        )


def combined_phase_bounds(
    beliefs: CombinedPhaseBeliefs, phases: Array, covariance: Array, shots: int
) -> float:
    """Cramer-Rao bound of n.phi for Gaussian x_k, contrasts free within their errors.

    Args:
        beliefs: direction and contrasts.
        phases: (M,) true phases.
        covariance: (M, M) of one shot's x_k, counting noise included, atoms^2.
        shots: their number.
    """
    size = beliefs.ensembles
    slopes, stds = np.array(beliefs.slopes), np.array(beliefs.slope_stds)
    by_phase, by_slope = np.diag(slopes * np.cos(phases)), np.diag(np.sin(phases))
    jacobian = np.hstack([by_phase, by_slope])
    information = shots * jacobian.T @ np.linalg.solve(covariance, jacobian)
    prior = np.concatenate([np.zeros(size), 1.0 / np.maximum(stds, 1e-12) ** 2])
    bound = np.linalg.inv(information + np.diag(prior))[:size, :size]
    direction = np.array(beliefs.direction)
    return math.sqrt(float(direction @ bound @ direction))


def _whole(end: float, level: float) -> Quantity:
    return Quantity(0.0, end / math.sqrt(3.0), (-end, end), level, "rad")


def _quantity(value: float, std: float, reach: float, level: float) -> Quantity:
    return Quantity(value, std, (value - reach * std, value + reach * std), level, "rad")
