r"""Likelihood of gated counts of fresh steady states: a mixture of Poisson laws.

    P(y|u) = sum_n p_n Poisson(y; g n + b),   p_n ~ (u/u_c)^n,  n = 0 … N.

The sum over n is taken on the Gauss nodes of the N+1 values (all of them where the counts
tell single atoms apart), so that the cost follows the counting noise and not N, and N need
not be a whole number.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, loggamma

from ..models.pumped_superradiance_records import quadrature

Array = NDArray[np.float64]

_LOWEST = -12.0  # ln(u/u_c) below which no atom is excited that would matter
_FLOOR = 1e-3  # counts; keeps the logarithm of an empty gate's mean finite
_BLOCK = 40_000  # entries of a table handled at once: they stay in the cache
_REACH = 9.0  # standard deviations of n given a count, beyond which nothing is added
_TAIL = 160.0  # counts more, for few counts, whose law is far from normal


class Ladder:
    """Atom numbers, their log weights, and moments of n at each pump.

    Args:
        atoms: N, not necessarily whole.
        largest_mean: counts of a full ensemble; sets the nodes that are needed.
        largest_log: largest |ln(u/u_c)| among the pumps.
        droop: of the three-level pump.
    """

    def __init__(
        self, atoms: float, largest_mean: float, largest_log: float, droop: float = 0.0
    ) -> None:
        self.last = nodes_needed(atoms, largest_mean, largest_log, droop)
        self._droop = droop
        self.set_atoms(atoms)

    def set_atoms(self, atoms: float) -> None:
        """The same number of nodes for another N."""
        self.atoms = atoms
        self.numbers: Array
        self.log_weights: Array
        if self.last == atoms:  # the levels themselves, for which nobody need ask Gauss
            self.numbers = np.arange(self.last + 1.0)
            self.log_weights = np.full(self.last + 1, -math.log(self.last + 1.0))
        else:
            nodes, basis = quadrature(1.0 / atoms, self.last)
            self.numbers = 0.5 * atoms * (1.0 + nodes)
            with np.errstate(divide="ignore"):
                self.log_weights = 2.0 * np.log(np.abs(basis[0]))
        if self._droop > 0.0:
            self.log_weights = self.log_weights - _droop_logs(self.numbers, self._droop)

    def tilts(self, log_ratios: Array) -> tuple[Array, Array]:
        """(pumps,) ln sum_n weight e^{n X}, and the mean of n."""
        exponents = log_ratios[:, None] * self.numbers + self.log_weights
        top = exponents.max(axis=1, keepdims=True)
        weights = np.exp(exponents - top)
        sums = weights.sum(axis=1, keepdims=True)
        return np.log(sums[:, 0]) + top[:, 0], (weights / sums) @ self.numbers

    def cumulants(self, log_ratios: Array) -> Array:
        """(4, pumps): the first four cumulants of n."""
        exponents = log_ratios[:, None] * self.numbers + self.log_weights
        p = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        mean = p @ self.numbers
        off = self.numbers - mean[:, None]
        square = off * off
        weighed = p * square
        second, third, fourth = (
            part.sum(axis=1) for part in (weighed, weighed * off, weighed * square)
        )
        return np.stack([mean, second, third, fourth - 3.0 * second**2])


def nodes_needed(atoms: float, largest_mean: float, largest_log: float, droop: float) -> int:
    """The last Gauss node for kernels of the counting noise times e^{n X}; N at the most."""
    scaled = 0.5 * atoms * min(abs(largest_log), -_LOWEST)
    if droop > 0.0:
        scaled += 0.5 * atoms * math.log1p((droop * atoms) ** 2)
    wanted = math.ceil(1.3 * math.pi * math.sqrt(largest_mean) + 4.5 * math.sqrt(scaled) + 20.0)
    return min(math.floor(atoms), wanted)


def log_ratio(pumps: Array, critical: float) -> Array:
    """X = ln(u/u_c), kept above a value where no atom is excited."""
    ratios: Array = np.log(np.maximum(pumps, 1e-300)) - math.log(critical)
    return np.maximum(ratios, _LOWEST)


class SnapshotLikelihood:
    """Log-probabilities of distinct (pump, count) pairs and their scores.

    Args:
        pumps: (pairs,) knob.
        counts: (pairs,) whole numbers.
        droop: of the three-level pump.
    """

    def __init__(self, pumps: Array, counts: Array, droop: float = 0.0) -> None:
        self.pumps, self.place = np.unique(pumps, return_inverse=True)
        self._counts = counts
        self._log_factorials = gammaln(counts + 1.0)
        self._droop = droop
        self._kept: Ladder | None = None

    def evaluate(
        self, critical: float, gain: float, background: float, atoms: float
    ) -> tuple[Array, Array]:
        """Log-probabilities (pairs,) and scores (pairs, 3) by ln u_c, ln g and b."""
        return self._at(self.ladder(critical, gain, background, atoms), critical, gain, background)

    def atoms_score(self, critical: float, gain: float, background: float, atoms: float) -> Array:
        """(pairs,) derivative of the log-probabilities by ln N."""
        reach = float(np.abs(log_ratio(self.pumps, critical)).max())
        ladder, step = Ladder(atoms, gain * atoms + background, reach, self._droop), 1e-4
        ends = []
        for sign in (1.0, -1.0):
            ladder.set_atoms(atoms * math.exp(sign * step))
            ends.append(self._at(ladder, critical, gain, background)[0])
        slope: Array = (ends[0] - ends[1]) / (2.0 * step)
        return slope

    def ladder(self, critical: float, gain: float, background: float, atoms: float) -> Ladder:
        """The nodes; those of the last call where they are as many as needed."""
        reach = float(np.abs(log_ratio(self.pumps, critical)).max())
        wanted = nodes_needed(atoms, gain * atoms + background, reach, self._droop)
        kept = self._kept
        if kept is None or kept.atoms != atoms or not wanted <= kept.last <= 1.5 * wanted + 20:
            roomy = 1.3 * (gain * atoms + background)
            self._kept = kept = Ladder(atoms, roomy, reach, self._droop)
        return kept

    def _at(
        self, ladder: Ladder, critical: float, gain: float, background: float
    ) -> tuple[Array, Array]:
        ratios = log_ratio(self.pumps, critical)
        tilts, mean_number = ladder.tilts(ratios)
        numbers = ladder.numbers
        mean = gain * numbers + max(background, _FLOOR)
        columns = np.stack([np.log(mean), numbers, ladder.log_weights - mean])
        sums = np.column_stack([np.ones_like(numbers), numbers, 1.0 / mean, numbers / mean])
        logs, scores = np.empty(self._counts.size), np.empty((self._counts.size, 3))
        first_level, width = self._window(ladder, ratios, gain, float(mean[0]))
        block = max(1, _BLOCK // width)
        for start in range(0, self._counts.size, block):
            part = slice(start, start + block)
            y, at = self._counts[part], self.place[part]
            level = first_level[part, None] + np.arange(width)
            near = width < numbers.size
            if near:
                exponents = y[:, None] * columns[0][level]
                exponents += ratios[at][:, None] * level + columns[2][level]
            else:
                exponents = np.column_stack([y, ratios[at], np.ones_like(y)]) @ columns
            top = exponents.max(axis=1)
            weights = np.exp(exponents - top[:, None])
            if near:
                over_mean = weights * sums[level, 2]
                total, first = weights.sum(axis=1), (weights * level).sum(axis=1)
                inverse, mixed = over_mean.sum(axis=1), (over_mean * level).sum(axis=1)
            else:
                total, first, inverse, mixed = (weights @ sums).T
            logs[part] = np.log(total) + top - tilts[at] - self._log_factorials[part]
            scores[part, 0] = mean_number[at] - first / total
            scores[part, 1] = gain * (y * mixed - first) / total
            scores[part, 2] = y * inverse / total - 1.0
        scores[np.maximum(self.pumps, 0.0)[self.place] <= critical * math.exp(_LOWEST), 0] = 0.0
        return logs, scores

    def _window(
        self, ladder: Ladder, ratios: Array, gain: float, least: float
    ) -> tuple[NDArray[np.intp], int]:
        """First level of each pair and the number of levels that its counts leave possible.

        n given y follows (g n + b)^y e^{-(g - X) n}, with its mode at y/(1 - X/g) counts. All
        nodes where they are not the levels themselves, or the tilt is not small against g.
        """
        size = ladder.numbers.size
        none = np.zeros(self._counts.size, dtype=np.intp)
        if size != ladder.atoms + 1 or self._droop > 0.0 or ratios.max() > 0.5 * gain:
            return none, size
        mode = np.maximum(self._counts / (1.0 - ratios[self.place] / gain), least)
        reach = _REACH * mode / np.sqrt(np.maximum(self._counts, 1.0)) + _TAIL
        width = 2 * math.ceil(float(reach.max()) / gain) + 3
        if 2 * width > size:
            return none, size
        first = np.rint((mode - least) / gain).astype(np.intp) - width // 2
        return np.clip(first, 0, size - width), width


def count_cumulants(number: Array, gain: float, background: float) -> Array:
    """(4, pumps) cumulants of the counts from those of n: factorial cumulants carry over."""
    k1 = gain * number[0] + background
    k2, k3, k4 = (gain**order * number[order - 1] for order in (2, 3, 4))
    return np.stack([k1, k2 + k1, k3 + 3.0 * k2 + k1, k4 + 6.0 * k3 + 7.0 * k2 + k1])


def _droop_logs(numbers: Array, droop: float) -> Array:
    """sum_{k=1}^{n} ln(1 + (droop k)^2), continued to any n by the gamma function."""
    shift = 1j / droop
    rise = loggamma(numbers + 1.0 + shift) - loggamma(1.0 + shift)
    logs: Array = 2.0 * rise.real + 2.0 * numbers * math.log(droop)
    return logs
