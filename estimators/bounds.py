"""The precision that the counts allow: Cramer-Rao bounds with calibrated nuisances."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..models.metrology import standard_quantum_limit
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_posterior import FOLD_MARGIN
from .gaussian_ring import RingLikelihood
from .likelihood_table import LARGEST_SPIN, TableLikelihood, bin_kernels

Array = NDArray[np.float64]

_RESOLVED = 0.125  # counting noise in atoms below which counts tell every atom number
_BIN = 0.2  # width of a bin in counting noises
_ROWS = 256  # bins of port 1 handled at once
_NEGLIGIBLE = 1e-14


@dataclass(frozen=True, slots=True)
class Bounds:
    """Least standard deviations of the phase, radians, for a number of shots.

    Attributes:
        cramer_rao_std: nuisances free within their calibrations.
        cramer_rao_std_known: nuisances known exactly.
        standard_quantum_limit_std: 1/sqrt(4 S n), uncorrelated atoms counted perfectly.
        shots: n.
        information: (5, 5) expected information of one shot on phi, ln(Delta/Omega),
            ln(pulse area), ln(gain), background.
    """

    cramer_rao_std: float
    cramer_rao_std_known: float
    standard_quantum_limit_std: float
    shots: int
    information: Array = field(repr=False, compare=False)

    @property
    def gain_db(self) -> float:
        """20 log10(standard quantum limit / Cramer-Rao bound)."""
        return 20.0 * math.log10(self.standard_quantum_limit_std / self.cramer_rao_std)

    def to_json(self) -> dict[str, float]:
        """The three standard deviations."""
        return {
            "cramer_rao_std": self.cramer_rao_std,
            "cramer_rao_std_known": self.cramer_rao_std_known,
            "standard_quantum_limit_std": self.standard_quantum_limit_std,
        }


def ellipse_bounds(truth: EllipseBeliefs, phase: float, shots: int) -> Bounds:
    """Cramer-Rao bounds at a phase, with and without the nuisances' uncertainty.

    Args:
        truth: values of the nuisances (beliefs, or the truth of a rehearsal) with the
            covariance that their calibrations leave.
        phase: phi, radians; at a fold itself the bound does not exist.
        shots: number of shots.

    Raises:
        ValueError: on a phase outside (0, pi/2) or fewer than one shot.
    """
    if not FOLD_MARGIN < phase < math.pi / 2.0 - FOLD_MARGIN:
        raise ValueError(
            "Argument `phase` must lie inside (0, pi/2), where the counts carry information, "
            f"but is {phase!r}."
        )
    limit = standard_quantum_limit(truth.spin, shots)
    if truth.spin <= LARGEST_SPIN:
        information = table_information(truth, phase)
    else:
        information = _ring_information(truth, phase)
    turn = np.zeros((5, 1 + truth.directions.shape[1]))
    turn[0, 0] = 1.0
    turn[1:, 1:] = truth.directions
    total = shots * turn.T @ information @ turn + np.diag([0.0, *np.ones(turn.shape[1] - 1)])
    return Bounds(
        cramer_rao_std=math.sqrt(float(np.linalg.inv(total)[0, 0])),
        cramer_rao_std_known=1.0 / math.sqrt(shots * float(information[0, 0])),
        standard_quantum_limit_std=limit,
        shots=int(shots),
        information=information,
    )


def table_information(
    truth: EllipseBeliefs, phase: float, likelihood: TableLikelihood | None = None
) -> Array:
    """(5, 5) information of one shot, summed over binned counts or over atom numbers.

    Args:
        truth: values of the nuisances.
        phase: phi, radians.
        likelihood: the table of another state; the prepared one's if not given.
    """
    likelihood = TableLikelihood(truth) if likelihood is None else likelihood
    tables = likelihood.tables(phase, truth.centre)
    if truth.counting_noise * math.sqrt(2.0) < _RESOLVED:
        return _resolved_information(truth, tables)
    edges = _count_edges(truth)
    kernel, slope = bin_kernels(edges, truth.gain, truth.background, truth.atoms)
    by_gain = slope * (truth.gain * np.arange(truth.atoms + 1.0))
    information = np.zeros((5, 5))
    for start in range(0, len(kernel), _ROWS):
        rows = slice(start, start + _ROWS)
        plain = [kernel[rows] @ table @ kernel.T for table in tables]
        turned = [
            by[rows] @ tables[0] @ kernel.T + kernel[rows] @ tables[0] @ by.T
            for by in (by_gain, slope)
        ]
        probability = np.maximum(plain[0], 0.0)
        seen = probability > _NEGLIGIBLE / len(kernel)
        scaled = np.stack([table[seen] for table in [*plain[1:], *turned]])
        scaled /= np.sqrt(probability[seen])
        information += scaled @ scaled.T
    return information


def _count_edges(truth: EllipseBeliefs) -> Array:
    """Edges equally spaced in the root of the counts, where Poisson noise is constant."""
    top = truth.largest_mean + 9.0 * math.sqrt(truth.largest_mean) + 9.0
    steps = math.ceil(2.0 * math.sqrt(top) / _BIN)
    edges = np.unique(np.rint((0.5 * _BIN * np.arange(steps + 1)) ** 2))
    return np.append(edges, max(edges[-1] + 1.0, math.ceil(top)))


def _resolved_information(truth: EllipseBeliefs, tables: Array) -> Array:
    """Atom numbers known from the counts; gain and background from the Poisson means."""
    probability = np.maximum(tables[0], 0.0).ravel()
    seen = probability > _NEGLIGIBLE
    scaled = tables[1:].reshape(3, -1)[:, seen] / np.sqrt(probability[seen])
    information = np.zeros((5, 5))
    information[:3, :3] = scaled @ scaled.T
    atoms = np.arange(truth.atoms + 1.0)
    mean = truth.gain * atoms + max(truth.background, 1e-3)
    slopes = np.stack([truth.gain * atoms, np.ones_like(atoms)])
    for marginal in (tables[0].sum(axis=1), tables[0].sum(axis=0)):
        information[3:, 3:] += (slopes * (marginal / mean)) @ slopes.T
    return information


def _ring_information(truth: EllipseBeliefs, phase: float) -> Array:
    """Average of the scores' products over nodes of the common phase and of the noise."""
    likelihood = RingLikelihood(truth)
    theta = 2.0 * math.pi * (np.arange(96) + 0.25) / 96
    m1, m2, v1, v12, v2 = likelihood.moments(phase, truth.centre, theta)
    roots, weights = np.polynomial.hermite_e.hermegauss(9)
    first, second = (grid.ravel() for grid in np.meshgrid(roots, roots, indexing="ij"))
    weight = np.tile(np.outer(weights, weights).ravel() / weights.sum() ** 2, theta.size)
    scale = np.sqrt(v1)
    rest = np.sqrt(v2 - v12 * v12 / v1)
    counts = np.column_stack(
        [
            (m1[:, None] + scale[:, None] * first).ravel(),
            (m2[:, None] + (v12 / scale)[:, None] * first + rest[:, None] * second).ravel(),
        ]
    )
    density, slopes = likelihood.evaluate(counts, phase, truth.centre)
    scores = slopes / density[:, None]
    information: Array = (scores * (weight / theta.size)[:, None]).T @ scores
    return information
