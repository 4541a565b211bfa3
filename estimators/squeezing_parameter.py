r"""The Wineland parameter from shots.

    xi^2 = N_tot (Var[sum_j w_j n_j] - Var_detection) / L^2,      counts n_j, length L in counts

N_tot = 4S for two ensembles, 2S for one. With the length from counts of the same detectors the
gain cancels. No law of the atom numbers is assumed: variances are unbiased, intervals Bonett's,
differences and ratios by MOVER.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimate import Estimate, Quantity
from .records import RecordError
from .squeezing_beliefs import LENGTH, REFERENCE, SQUEEZED, SqueezingBeliefs
from .squeezing_intervals import (
    FEWEST_SHOTS,
    Measured,
    SampleVariance,
    difference,
    stationarity,
)
from .squeezing_shots import SqueezingShots, total_variance, wineland

Array = NDArray[np.float64]

LARGEST = 1e6  # upper end of an interval that the shots leave open


class WinelandFromShots:
    """xi^2, linear and in dB, from repeated shots of the squeezed quadrature.

    Args:
        beliefs: atoms, detector and, if known, the spin length.
    """

    def __init__(self, beliefs: SqueezingBeliefs) -> None:
        self.beliefs = beliefs
        self._shots = SqueezingShots(beliefs, (SQUEEZED, LENGTH, REFERENCE))

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots, ensembles), setting (shots,), status (shots,)."""
        self._shots.add(records)

    def estimate(self, level: float = 0.95) -> Estimate:
        """xi2, xi2_db, variance and detection_variance (atoms^2), spin_length (atoms).

        Raises:
            RecordError: on fewer than `FEWEST_SHOTS` shots of a setting that is needed.
        """
        need_shots(self._shots, (SQUEEZED,))
        counts = self._shots.of(SQUEEZED)[0]
        weights = np.array(self.beliefs.weights[: self.beliefs.ensembles])
        seen = total_variance(counts, weights, level, self.beliefs.least_kurtosis)
        noise = self._shots.detection(counts, weights, level)
        own, length = difference(seen, noise), self._shots.length(level)
        answer = squeezing_quantities(self.beliefs, own, length, level)
        flags = variance_flags(seen, noise, own, length)
        gain = self.beliefs.gain
        quantities = {
            **answer,
            "variance": in_atoms(own, gain, level, 2),
            "detection_variance": in_atoms(noise, gain, level, 2),
            "spin_length": in_atoms(length, gain, level, 1),
        }
        return Estimate(
            estimator="squeezing from shots",
            shots=self._shots.shots,
            quantities=quantities,
            names=("variance", "detection_variance", "spin_length"),
            covariance=_covariance(seen, noise, length, gain),
            goodness_of_fit=stationarity(counts @ weights),
            diagnostics=_diagnostics(self._shots, seen, flags),
            assumptions=assumptions(self.beliefs),
            identifiable=(1.0 / self.beliefs.atoms, LARGEST),
        )


def need_shots(shots: SqueezingShots, settings: tuple[int, ...]) -> None:
    """Refuse an estimate for which a setting has too few shots.

    Raises:
        RecordError: naming the setting and how many shots it has.
    """
    beliefs, needed = shots.beliefs, list(settings)
    if beliefs.spin_length is None:
        needed.append(LENGTH)
    if beliefs.detection == "reference":
        needed.append(REFERENCE)
    for setting in needed:
        found = len(shots.of(setting)[0])
        if found < FEWEST_SHOTS:
            raise RecordError(
                f"Shots of `setting` {setting} must be at least {FEWEST_SHOTS} for a number with "
                f"an interval, but there are {found}."
            )


def squeezing_quantities(
    beliefs: SqueezingBeliefs, own: Measured, length: Measured, level: float, name: str = "xi2"
) -> dict[str, Quantity]:
    """xi^2 linear and in dB; an upper limit only where the noise hides the signal."""
    floor = 1.0 / beliefs.atoms
    value, std, (low, high) = wineland(beliefs.atoms, beliefs.spin_std, own, length, level)
    high = min(high, LARGEST)
    if not math.isfinite(value) or own.low <= 0.0:
        low = floor
    shown = min(max(value, low), high) if math.isfinite(value) else high
    std = std if math.isfinite(std) else high - low
    decibel = tuple(10.0 * math.log10(number) for number in (shown, low, high))
    return {
        name: Quantity(shown, std, (low, high), level),
        f"{name}_db": Quantity(
            decibel[0],
            10.0 / math.log(10.0) * std / shown,
            (decibel[1], decibel[2]),
            level,
            "dB",
        ),
    }


def variance_flags(
    seen: SampleVariance, noise: Measured, own: Measured, length: Measured
) -> list[str]:
    """What to worry about, in words."""
    flags = []
    if seen.value == 0.0:
        flags.append("all shots are equal: a saturated detector or a repeated reading")
    if seen.flagged:
        flags.append(
            f"kurtosis {seen.kurtosis:.1f} with {seen.shots} shots: the interval covers too little"
        )
    if own.low <= 0.0:
        flags.append("detection noise exceeds the signal: only the upper limit means something")
    elif noise.value > 2.0 * own.value:
        flags.append("detection noise is most of the variance")
    if not length.std < 0.1 * length.value:
        flags.append("the spin length is known to 10 % or worse")
    return flags


def in_atoms(measured: Measured, gain: float, level: float, power: int) -> Quantity:
    """A variance (power 2) or a length (power 1) in counts as a quantity in atoms."""
    scale, unit = gain**-power, "atoms^2" if power == 2 else "atoms"
    return Quantity(
        scale * measured.value,
        scale * measured.std,
        (scale * measured.low, scale * measured.high),
        level,
        unit,
    )


def assumptions(beliefs: SqueezingBeliefs) -> tuple[str, ...]:
    """What was taken as known."""
    source = {
        "counting": "Poisson noise of the counts",
        "reference": "variance of the reference shots",
        "none": "none",
    }[beliefs.detection]
    length = "from shots" if beliefs.spin_length is None else "from the beliefs"
    return (
        "shots independent and alike; no law of the atom numbers",
        f"detection variance: {source}; spin length {length}",
        f"N_tot = {beliefs.atoms:g}, known to {beliefs.spin_std:.2%}",
    )


def _covariance(seen: Measured, noise: Measured, length: Measured, gain: float) -> Array:
    own = seen.std**2 + noise.std**2
    covariance = np.array(
        [
            [own, -(noise.std**2), 0.0],
            [-(noise.std**2), noise.std**2, 0.0],
            [0.0, 0.0, length.std**2],
        ]
    )
    scale = np.array([gain**-2, gain**-2, 1.0 / gain])
    return covariance * np.outer(scale, scale)


def _diagnostics(
    shots: SqueezingShots, seen: SampleVariance, flags: list[str]
) -> Mapping[str, Any]:
    return {
        "kurtosis": seen.kurtosis,
        "shots_squeezed": seen.shots,
        "rejected": shots.rejected,
        "flags": tuple(flags),
    }
