r"""Squeezing by turning the state before it is counted.

    V(phi) = a + c_1 cos 2 phi + c_2 sin 2 phi + Var_detection,     xi^2_min = N_tot (a - |c|)/L^2

The sample variances at every angle are fitted with their gamma law (shots of one angle share a
mean that is free), widened by the kurtosis of all residuals. The smallest eigenvalue of a noisy
matrix is low: sigma^2/(2 |c|) is added, sigma the error of c across its direction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from .estimate import Estimate, GoodnessOfFit, Quantity
from .records import RecordError
from .squeezing_beliefs import LENGTH, REFERENCE, SQUEEZED, SqueezingBeliefs
from .squeezing_intervals import LARGEST_KURTOSIS, MANY_SHOTS, Measured, normal_quantile
from .squeezing_parameter import LARGEST, assumptions, in_atoms, need_shots, squeezing_quantities
from .squeezing_shots import SqueezingShots

Array = NDArray[np.float64]

_CLEAR = 3.0  # standard errors of |c| above which the squeezed angle is determined


@dataclass(frozen=True, slots=True, eq=False)
class AngleVariances:
    """Sample variances by analysis angle: (K,) angle, variance, degrees of freedom, detection."""

    angles: Array
    variances: Array
    degrees: Array
    detection: Array
    kurtosis: float

    @property
    def design(self) -> Array:
        """(3, K) of 1, cos 2 phi, sin 2 phi."""
        return np.stack([np.ones_like(self.angles), *_waves(self.angles)])


class SqueezingTomography:
    """Smallest variance over the analysis angle, the angle, and the antisqueezing.

    Args:
        beliefs: atoms, detector, spin length.
    """

    def __init__(self, beliefs: SqueezingBeliefs) -> None:
        self.beliefs = beliefs
        self._shots = SqueezingShots(beliefs, (SQUEEZED, LENGTH, REFERENCE), angled=True)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots, ensembles), angle (shots,) in radians, setting, status."""
        self._shots.add(records)

    def estimate(self, level: float = 0.95) -> Estimate:
        """xi2, xi2_db, anti, anti_db, angle (of the least variance, in [0, pi)).

        Raises:
            RecordError: on fewer than three different angles modulo pi, or too few shots.
        """
        need_shots(self._shots, (SQUEEZED,))
        table = self._table(level)
        fitted, covariance, deviance = fit_variances(table)
        covariance = covariance * max(0.5 * (table.kurtosis - 1.0), 0.5)
        a, size = float(fitted[0]), float(np.hypot(fitted[1], fitted[2]))
        turn = math.atan2(fitted[2], fitted[1])
        along = np.array([0.0, math.cos(turn), math.sin(turn)])
        across = np.array([0.0, -math.sin(turn), math.cos(turn)])
        width = float(across @ covariance @ across)
        clear = size > _CLEAR * math.sqrt(width)
        shift = width / (2.0 * size) if clear else 0.0
        unit = np.array([1.0, 0.0, 0.0])
        least = _measured(a - size + shift, unit - along, covariance, level)
        most = _measured(a + size - shift, unit + along, covariance, level)
        length = self._shots.length(level)
        beliefs = self.beliefs
        quantities = {
            **squeezing_quantities(beliefs, least, length, level),
            **squeezing_quantities(beliefs, most, length, level, "anti"),
            "angle": _angle(turn, size, width, clear, level),
            "spin_length": in_atoms(length, beliefs.gain, level, 1),
        }
        scale = beliefs.gain**-2
        flags = _flags(table, clear, least)
        return Estimate(
            estimator="squeezing tomography",
            shots=self._shots.shots,
            quantities=quantities,
            names=("a", "c1", "c2"),
            covariance=covariance * scale**2,
            goodness_of_fit=_check(table, deviance),
            diagnostics={
                "kurtosis": table.kurtosis,
                "angles": int(table.angles.size),
                "a": a * scale,
                "c1": float(fitted[1]) * scale,
                "c2": float(fitted[2]) * scale,
                "rejected": self._shots.rejected,
                "flags": tuple(flags),
            },
            assumptions=(*assumptions(beliefs), "the mean at every angle is free"),
            identifiable=(1.0 / beliefs.atoms, LARGEST),
        )

    def _table(self, level: float) -> AngleVariances:
        counts, angles = self._shots.of(SQUEEZED)
        weights = np.array(self.beliefs.weights[: self.beliefs.ensembles])
        folded = np.round(np.mod(angles, math.pi), 9) % round(math.pi, 9)
        # Turned by pi the observable changes its sign: the mean is another, the variance not.
        groups: dict[tuple[float, int], list[int]] = {}
        for shot, (angle, half) in enumerate(
            zip(folded, np.floor(np.round(angles / math.pi, 9)).astype(int) % 2, strict=True)
        ):
            groups.setdefault((float(angle), int(half)), []).append(shot)
        used = {key: rows for key, rows in sorted(groups.items()) if len(rows) > 1}
        if len({key[0] for key in used}) < 3:
            raise RecordError(
                "Column `angle` must hold at least 3 angles that differ modulo pi, with 2 shots "
                f"or more each, but has {len({key[0] for key in used})}."
            )
        signal = counts @ weights
        variances = np.array([signal[rows].var(ddof=1) for rows in used.values()])
        if not np.all(variances > 0.0):
            raise RecordError(
                "Column `counts` must vary from shot to shot at every angle, but is constant at "
                f"angle {list(used)[int(np.argmin(variances))][0]:.6g}."
            )
        detection = [
            self._shots.detection(counts[rows], weights, level).value for rows in used.values()
        ]
        residuals = np.concatenate(
            [
                (signal[rows] - signal[rows].mean()) / math.sqrt(v * (len(rows) - 1) / len(rows))
                for rows, v in zip(used.values(), variances, strict=True)
            ]
        )
        return AngleVariances(
            np.array([key[0] for key in used]),
            variances,
            np.array([len(rows) - 1.0 for rows in used.values()]),
            np.array(detection),
            _pooled_kurtosis(residuals, [len(rows) for rows in used.values()]),
        )


def fit_variances(table: AngleVariances) -> tuple[Array, Array, float]:
    """Largest gamma likelihood of the sample variances.

    Returns:
        (a, c1, c2) without the detection, their covariance for Gaussian shots, the deviance.
    """
    design, degrees = table.design, table.degrees
    total = np.full(table.variances.size, float(table.variances @ degrees / degrees.sum()))
    fitted: Array = np.zeros(3)
    for _ in range(60):
        weight = degrees / (2.0 * total**2)
        normal = (design * weight) @ design.T
        pull = (design * weight) @ (table.variances - table.detection)
        new = np.asarray(np.linalg.solve(normal, pull), dtype=np.float64)
        moved = float((new - fitted) @ normal @ (new - fitted))
        fitted = new
        # Sums of fitted and detected variance stay positive while the weights settle.
        total = np.maximum(fitted @ design + table.detection, 0.02 * table.variances.min())
        if moved < 1e-20:
            break
    weight = degrees / (2.0 * total**2)
    ratio = table.variances / total
    deviance = float(
        np.sum(degrees * (ratio - 1.0 - np.log(ratio)) / (1.0 + 1.0 / (3.0 * degrees)))
    )
    covariance = np.asarray(np.linalg.inv((design * weight) @ design.T), dtype=np.float64)
    return fitted, covariance, deviance


def _waves(angles: Array) -> tuple[Array, Array]:
    return np.cos(2.0 * angles), np.sin(2.0 * angles)


def _measured(value: float, gradient: Array, covariance: Array, level: float) -> Measured:
    """Limits symmetric in the logarithm where the value is clear of zero, else in the value."""
    std = math.sqrt(max(float(gradient @ covariance @ gradient), 0.0))
    reach = normal_quantile(level) * std
    if value > 2.0 * std:
        factor = math.exp(reach / value)
        return Measured(value, std, value / factor, value * factor)
    return Measured(value, std, value - reach, value + reach)


def _angle(turn: float, size: float, width: float, clear: bool, level: float) -> Quantity:
    """Angle of the least variance: half of the phase of c, turned by pi/2."""
    value = (0.5 * turn + 0.5 * math.pi) % math.pi
    if not clear:
        return Quantity(value, math.pi / math.sqrt(12.0), (0.0, math.pi), level, "rad")
    std = 0.5 * math.sqrt(width) / size
    reach = normal_quantile(level) * std
    return Quantity(value, std, (value - reach, value + reach), level, "rad")


def _pooled_kurtosis(residuals: Array, sizes: list[int]) -> float:
    """Kurtosis of residuals scaled by their groups' own variances, unbiased for Gaussian shots.

    A group of m shots scaled by itself has the expectation 3 (m-1)/(m+1) instead of 3.
    """
    expected = sum(3.0 * m * (m - 1.0) / (m + 1.0) for m in sizes) / sum(sizes)
    return 3.0 * float(np.mean(residuals**4)) / expected


def _flags(table: AngleVariances, clear: bool, least: Measured) -> list[str]:
    flags = []
    shots = float(table.degrees.sum()) + table.degrees.size
    if table.kurtosis > LARGEST_KURTOSIS and shots < MANY_SHOTS:
        flags.append(f"kurtosis {table.kurtosis:.1f} with {shots:.0f} shots: interval too short")
    if not clear:
        flags.append("the variance does not depend on the angle within errors: angle undetermined")
    if least.low <= 0.0:
        flags.append("detection noise exceeds the signal: only the upper limit means something")
    return flags


def _check(table: AngleVariances, deviance: float) -> GoodnessOfFit | None:
    """Deviance of the sample variances from the wave, scaled by the kurtosis."""
    degrees = table.angles.size - 3
    if degrees < 1:
        return None
    scaled = deviance / max(0.5 * (table.kurtosis - 1.0), 0.5)
    return GoodnessOfFit(
        scaled, float(chi2.sf(scaled, degrees)), degrees, "gamma deviance of the variances"
    )
