"""Exact likelihood of raw counts of independent atoms after a Ramsey sequence of two pulses.

Both ensembles start down and see pulses of area beta before and after the dark time, with a
common phase theta that is new in every shot:

    p_j = sin^2(beta) [1 + cos(theta +- phi)] / 2.

It has the form of `TableLikelihood`, so that prepared and independent atoms can be fitted
together with one gain, one background and one pulse area.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from .counting_kernels import CountFold, log_factorials
from .ellipse_beliefs import EllipseBeliefs, natural
from .likelihood_table import TableLikelihood

Array = NDArray[np.float64]

_LEAST = 1e-12


class ProductTable(TableLikelihood):
    """Density of counts of independent atoms; the detuning ratio leaves no trace.

    Args:
        beliefs: where the nuisances are expected; `pulse_area` is that of both pulses.
    """

    def __init__(self, beliefs: EllipseBeliefs) -> None:
        super().__init__(beliefs)
        self._known = False  # the cosine series is that of a prepared pair
        self._atoms = beliefs.atoms
        nodes = 2 * beliefs.atoms + 2
        self._theta = 2.0 * math.pi * (np.arange(nodes) + 0.5) / nodes
        number = np.arange(self._atoms + 1.0)
        self._number = number
        self._log_choose = (
            gammaln(self._atoms + 1.0) - gammaln(number + 1.0) - gammaln(self._atoms - number + 1.0)
        )

    @property
    def name(self) -> str:
        """Name of the measurement model."""
        return "product_table"

    @property
    def fringe_scale(self) -> float:
        """1/sqrt(4S), radians."""
        return 1.0 / math.sqrt(2.0 * self._atoms)

    @property
    def believed_state(self) -> None:
        """The series that makes it cheap is that of a prepared pair."""
        return None

    def scan(self, counts: Array, phases: Array, nuisances: Array) -> Array:
        """(shots, phases) densities with the pulse area as believed."""
        _, _, gain, background = natural(nuisances)
        tables = np.stack([self._scan_table(float(phase)) for phase in phases])
        fold = CountFold(counts, log_factorials(counts), gain, background, self._atoms)
        return fold.fold(tables)

    def tables(self, phase: float, nuisances: Array) -> Array:
        """(4, d, d): P and its derivatives by phi, ln(Delta/Omega) (none), ln(beta)."""
        area = float(np.exp(nuisances[1]))
        up, by_up, by_area_up = self._port(phase, area, +1.0)
        down, by_down, by_area_down = self._port(phase, area, -1.0)
        share = 1.0 / self._theta.size
        plain = up @ down.T * share
        by_phase = (by_up @ down.T - up @ by_down.T) * share
        by_area = (by_area_up @ down.T + up @ by_area_down.T) * (area * share)
        return np.stack([plain, by_phase, np.zeros_like(plain), by_area])

    def _port(self, phase: float, area: float, sign: float) -> tuple[Array, Array, Array]:
        """(d, nodes) binomials of one port, their slopes by its own angle and by the area."""
        angle = self._theta + sign * phase
        height = math.sin(area) ** 2
        p = np.clip(0.5 * height * (1.0 + np.cos(angle)), _LEAST, 1.0 - _LEAST)
        log = np.log(p)[None, :] * self._number[:, None]
        log += np.log1p(-p)[None, :] * (self._atoms - self._number)[:, None]
        mass = np.exp(log + self._log_choose[:, None])
        slope = mass * (self._number[:, None] - self._atoms * p) / (p * (1.0 - p))
        by_angle = -0.5 * height * np.sin(angle)
        by_area = 0.5 * math.sin(2.0 * area) * (1.0 + np.cos(angle))
        return mass, slope * by_angle, slope * by_area

    def _scan_table(self, phase: float) -> Array:
        height = math.sin(self._beliefs.pulse_area) ** 2
        ports = []
        for sign in (+1.0, -1.0):
            p = 0.5 * height * (1.0 + np.cos(self._theta + sign * phase))
            p = np.clip(p, _LEAST, 1.0 - _LEAST)
            log = np.outer(self._number, np.log(p))
            log += np.outer(self._atoms - self._number, np.log1p(-p))
            ports.append(np.exp(log + self._log_choose[:, None]))
        table: Array = ports[0] @ ports[1].T / self._theta.size
        return table
