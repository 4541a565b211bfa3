"""Exact likelihood of raw counts where the common phase is narrow, for prepared pairs.

Density of counts as in `TableLikelihood`, with the common phase normal about a known mean and not
uniform. The counts then have a slope at phi = 0 and tell the sign of phi; only P(pi - phi) = P(phi)
is left for a mean of 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..models.ellipse_oriented import OrientedReadout
from ..models.two_ensembles import TwoEnsembles, steady_state
from .binomial_beliefs import CommonPhase
from .ellipse_beliefs import EllipseBeliefs
from .likelihood_table import TableLikelihood

Array = NDArray[np.float64]

_REACH = 6.0  # standard errors of the mean counts within which a phase is worth a table
_APART = 0.02  # radians between the tables of a scan: a score changes over more than that


class OrientedTable(TableLikelihood):
    """Density of counts of a prepared pair with a narrow common phase.

    Args:
        beliefs: where the nuisances are expected.
        common: the common phase.
    """

    def __init__(self, beliefs: EllipseBeliefs, common: CommonPhase) -> None:
        super().__init__(beliefs)
        self._known = False  # the cosine series is that of a uniform common phase
        self._common = common

    @property
    def name(self) -> str:
        """Name of the measurement model."""
        return "oriented_table"

    @property
    def believed_state(self) -> None:
        """There is no series in cos 2 phi to be kept: the counts are not even in phi."""
        return None

    def tables(self, phase: float, nuisances: Array) -> Array:
        """(4, d, d): P and its derivatives by phi, ln(Delta/Omega), ln(beta)."""
        ratio, area = float(np.exp(nuisances[0])), float(np.exp(nuisances[1]))
        state = steady_state(TwoEnsembles(self._beliefs.spin, 1.0, ratio))
        readout = OrientedReadout(state, phase, area)
        found = readout.derivatives(self._common.mean, self._common.std)
        return np.stack([found.P, found.d_phase, found.d_log_ratio, area * found.d_pulse_area])

    def scan(self, counts: Array, phases: Array, nuisances: Array) -> Array:
        """(shots, phases) densities where the mean counts allow the phase; 0 elsewhere."""
        found = np.zeros((len(counts), phases.size))
        step = abs(float(phases[1] - phases[0])) if phases.size > 1 else _APART
        stride = max(1, math.floor(_APART / step))
        near = np.flatnonzero(self._allowed(counts, phases, nuisances))
        for index in near[near % stride == 0].tolist():
            found[:, index] = self.evaluate(counts, float(phases[index]), nuisances)[0]
        return found

    def _allowed(self, counts: Array, phases: Array, nuisances: Array) -> Array:
        """Whether the sum of both counts, less what gain and background may add, fits a phase."""
        beliefs, common = self._beliefs, self._common
        gain, background = math.exp(nuisances[2]), float(nuisances[3])
        contrast = math.exp(-0.5 * common.std**2) * math.cos(common.mean)
        slope = gain * self._state.spin_length * math.sin(math.exp(nuisances[1])) * contrast
        total = counts.sum(axis=1)
        free = np.sqrt(np.diag(np.asarray(beliefs.covariance)))
        error = math.hypot(
            float(total.std()) / math.sqrt(max(1, len(total))),
            gain * beliefs.atoms * free[2],
            2.0 * free[3],
        )
        expected = gain * beliefs.atoms + 2.0 * background + slope * np.sin(phases)
        slack = _REACH * error + abs(slope) * _APART
        allowed: Array = np.abs(total.mean() - expected) < slack
        return allowed
