r"""Is it squeezed at all? A test that assumes nothing about the law of the atom numbers.

Two squeezed shots d, d' and two length shots l, l' make one number,

    Y = N_tot (d - d')^2/2 - t l l',       E[Y] = N_tot Var d - t L^2,

which is bounded because a counted atom number is. If xi^2 >= t, then E[Y] >= 0 and the product of
(1 - lambda Y) over shots, lambda <= 1/max Y, is a non-negative supermartingale: by Ville's
inequality it exceeds 1/alpha with a probability of at most alpha, at whatever moment one looks.
The price is a number of shots that grows as N_tot: rarer outliers could not have been seen.
Detection noise counts as noise of the state, which errs on the safe side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimate import Estimate, Quantity
from .records import RecordError
from .squeezing_beliefs import LENGTH, SQUEEZED, SqueezingBeliefs
from .squeezing_intervals import normal_quantile, stationarity
from .squeezing_parameter import LARGEST
from .squeezing_shots import SqueezingShots

Array = NDArray[np.float64]

_STAKES = np.array([0.25, 0.5, 0.9])  # shares of the largest lambda, mixed evenly
_NOISE_REACH = 8.0  # counting noises beyond the atoms' range at which outcomes are clipped


class SqueezingCertificate:
    """Upper limit of xi^2, and the p-value of "not squeezed", valid for any distribution.

    Args:
        beliefs: atoms and detector, taken as known.
    """

    def __init__(self, beliefs: SqueezingBeliefs) -> None:
        self.beliefs = beliefs
        self._shots = SqueezingShots(beliefs, (SQUEEZED, LENGTH))

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots, ensembles), setting (0 squeezed, 1 length)."""
        self._shots.add(records)

    def estimate(self, level: float = 0.95) -> Estimate:
        """xi2: plug-in value, and the interval from 1/N_tot to the distribution-free limit.

        Raises:
            RecordError: on fewer than two shots of either setting.
        """
        normal_quantile(level)
        squares, lengths = self._pairs()
        test = _Bets(self.beliefs, squares, lengths, self._largest())
        p_value = test.p_value(1.0)
        mean_length = max(float(lengths.mean()), 0.0)
        raw = self.beliefs.atoms * float(squares.mean())
        value = raw / mean_length if mean_length > 0.0 else LARGEST
        limit = test.upper_limit(1.0 - level)
        value = min(max(value, 1.0 / self.beliefs.atoms), limit)
        counts = self._shots.of(SQUEEZED)[0]
        weights = np.array(self.beliefs.weights[: self.beliefs.ensembles])
        return Estimate(
            estimator="squeezing, distribution-free test",
            shots=self._shots.shots,
            quantities={
                "xi2": Quantity(value, limit - value, (1.0 / self.beliefs.atoms, limit), level)
            },
            names=("xi2",),
            covariance=np.array([[(limit - value) ** 2]]),
            goodness_of_fit=stationarity(counts @ weights),
            diagnostics={
                "p_value_not_squeezed": p_value,
                "pairs": int(squares.size),
                "flags": () if limit < 1.0 else ("squeezing is not certified at this level",),
            },
            assumptions=(
                "shots independent and alike; atom numbers bounded; nothing else",
                "gain, background and N_tot known; detection noise counted as noise of the state",
            ),
            identifiable=(1.0 / self.beliefs.atoms, LARGEST),
        )

    def _pairs(self) -> tuple[Array, Array]:
        """(pairs,) of (d - d')^2/2 and of l l', atoms^2."""
        observed = []
        for setting, weights in (
            (SQUEEZED, self.beliefs.weights),
            (LENGTH, self.beliefs.length_weights),
        ):
            atoms = self._atoms(self._shots.of(setting)[0])
            values = atoms @ np.array(weights[: self.beliefs.ensembles])
            if values.size < 2:
                raise RecordError(
                    f"Shots of `setting` {setting} must be at least 2, but there are {values.size}."
                )
            observed.append(values[: values.size // 2 * 2].reshape(-1, 2))
        pairs = min(len(part) for part in observed)
        squared = 0.5 * (observed[0][:pairs, 0] - observed[0][:pairs, 1]) ** 2
        return squared, observed[1][:pairs, 0] * observed[1][:pairs, 1]

    def _atoms(self, counts: Array) -> Array:
        beliefs = self.beliefs
        reach = beliefs.spin + _NOISE_REACH * math.sqrt(beliefs.largest_mean) / beliefs.gain
        atoms: Array = (counts - beliefs.background) / beliefs.gain - beliefs.spin
        return np.clip(atoms, -reach, reach)

    def _largest(self) -> tuple[float, float]:
        """Largest (d - d')^2/2 and largest |l l'|, atoms^2."""
        beliefs = self.beliefs
        reach = beliefs.spin + _NOISE_REACH * math.sqrt(beliefs.largest_mean) / beliefs.gain
        d = reach * float(np.abs(beliefs.weights[: beliefs.ensembles]).sum())
        length = reach * float(np.abs(beliefs.length_weights[: beliefs.ensembles]).sum())
        return 2.0 * d * d, length * length


class _Bets:
    """The mixed products of (1 - lambda Y) for any threshold t."""

    def __init__(
        self,
        beliefs: SqueezingBeliefs,
        squares: Array,
        lengths: Array,
        largest: tuple[float, float],
    ) -> None:
        self._squares, self._lengths = beliefs.atoms * squares, lengths
        self._top = (beliefs.atoms * largest[0], largest[1])

    def p_value(self, threshold: float) -> float:
        """Of the hypothesis xi^2 >= threshold."""
        y = (self._squares - threshold * self._lengths) / (self._top[0] + threshold * self._top[1])
        paths = np.cumsum(np.log1p(-_STAKES[:, None] * y), axis=1)
        top = paths.max(axis=0)
        mixed = top + np.log(np.exp(paths - top).mean(axis=0))
        return math.exp(-max(float(mixed.max()), 0.0))

    def upper_limit(self, alpha: float) -> float:
        """Least threshold that is rejected, searched between 1e-6 and `LARGEST`."""
        low, high = -6.0, math.log10(LARGEST)
        if self.p_value(LARGEST) > alpha:
            return LARGEST
        for _ in range(60):
            middle = 0.5 * (low + high)
            if self.p_value(10.0**middle) <= alpha:
                high = middle
            else:
                low = middle
        return float(10.0**high)
