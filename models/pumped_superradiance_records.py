r"""Exact likelihood of count records: the atoms as a hidden chain behind Poisson counts.

In each bin the populations are multiplied by Poisson's probability of its count at the
rate a (1 + x) + b, and then move on by the master equation. The filter works in the Gram
polynomials of `pumped_superradiance_modes` and their quadrature nodes, so its cost does not
grow with N; with all N+1 modes it is the filter over the populations themselves. Derived
from Eq. 1 of Shimshi & Shahmoon, "Dissipative phase transition and metrology in
collectively pumped superradiance" (2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal, expm
from scipy.special import gammaln, xlogy

from ._checks import positive, whole
from .pumped_superradiance import PumpedEnsemble
from .pumped_superradiance_counts import FluorescenceReadout
from .pumped_superradiance_modes import couplings, mode_ramp, modes_needed, stationary_modes
from .pumped_superradiance_scans import checked_rate, on_ladder
from .pumped_superradiance_stepping import ElementSolver

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FilteredRecords:
    """What count records say.

    Attributes:
        log_likelihood: (records,) ln P(counts | parameters).
        scaled_mean: (records, bins), <x> given the counts up to and with each bin.
        scaled_variance: (records, bins), Var x given the same.
    """

    log_likelihood: Array
    scaled_mean: Array = field(repr=False)
    scaled_variance: Array = field(repr=False)


def filter_held_records(
    parameters: PumpedEnsemble,
    readout: FluorescenceReadout,
    counts: Sequence[int] | NDArray[np.int64],
    bin_time: float,
    *,
    last_mode: int | None = None,
) -> FilteredRecords:
    """Filter records taken at constant pump, from the steady state on.

    Args:
        parameters: the ensemble.
        readout: a and b.
        counts: (bins,) or (records, bins) whole numbers, not negative.
        bin_time: length of a bin; at most about 0.1/gamma, as the rate is taken constant
            within a bin.
        last_mode: modes to keep; by default enough for the posteriors that `readout` can
            sharpen, and never more than N.

    Raises:
        ValueError: naming the argument that breaks these rules.
    """
    observed = _checked_counts(counts)
    gamma, s, nu = parameters.decay, parameters.scaled_pump, 1.0 / parameters.atoms
    step = gamma * positive(bin_time, "bin_time")
    last = _modes(parameters.atoms, s, readout.half_rate / gamma, last_mode)
    nodes, basis = quadrature(nu, last)
    sub, diagonal, sup = mode_ramp(nu, last).at(s)
    generator = np.diag(diagonal) + np.diag(sub[1:], -1) + np.diag(sup[:-1], 1)
    forward = basis.T @ expm(step * generator) @ basis
    state = basis.T @ stationary_modes(nu, s, last)
    chain = _Chain(nodes, basis, readout, bin_time)
    weights = np.repeat(state[:, None], observed.shape[0], axis=1)
    for k in range(observed.shape[1]):
        weights = forward @ chain.take(weights, observed[:, k])
    return chain.result()


def filter_swept_records(
    atoms: float,
    start: float,
    rate: float,
    readout: FluorescenceReadout,
    counts: Sequence[int] | NDArray[np.int64],
    bin_time: float,
    *,
    downward: bool = False,
    decay: float = 1.0,
    last_mode: int | None = None,
) -> FilteredRecords:
    """Filter records taken while s moves linearly, from the steady state at `start` on.

    Args:
        atoms: N, or math.inf.
        start: s at the beginning of the first bin.
        rate: r = |ds/dt|, in the unit of `decay`.
        readout: a and b.
        counts: (bins,) or (records, bins) whole numbers, not negative.
        bin_time: length of a bin, at most about 0.1/gamma.
        downward: whether s falls.
        decay: gamma.
        last_mode: as in `filter_held_records`.

    Raises:
        ValueError: naming the argument that breaks these rules.
    """
    observed = _checked_counts(counts)
    nu, speed = checked_rate(atoms, rate, decay)
    step = decay * positive(bin_time, "bin_time")
    signed = -speed if downward else speed
    bins = observed.shape[1]
    stop = start + signed * step * bins
    on_ladder(min(start, stop), atoms, "start")
    last = _modes(atoms, max(abs(start), abs(stop)), readout.half_rate / decay, last_mode)
    nodes, basis = quadrature(nu, last)
    solver = ElementSolver(mode_ramp(nu, last))
    chain = _Chain(nodes, basis, readout, bin_time)
    state = basis.T @ stationary_modes(nu, start, last)
    weights = np.repeat(state[:, None], observed.shape[0], axis=1)
    for k in range(bins):
        modes = basis @ chain.take(weights, observed[:, k])
        ends = solver.solve(modes, start + signed * step * k, signed, step)
        weights = basis.T @ ends[:, -1]
    return chain.result()


def quadrature(inverse_atoms: float, last: int) -> tuple[Array, Array]:
    """Nodes x_j and the orthogonal matrix (modes, nodes) between modes and nodes.

    With last = N the nodes are all x = 2 m/N; otherwise they are the Gauss nodes of the
    N+1 values. Multiplying p by f(x) multiplies the node amplitudes by f(x_j), and row 0
    sums a distribution.
    """
    b = couplings(inverse_atoms, last + 1)
    nodes, basis = eigh_tridiagonal(np.zeros(last + 1), b[1:-1])
    return np.clip(np.asarray(nodes, np.float64), -1.0, 1.0), np.asarray(basis, np.float64)


class _Chain:
    """The record's likelihood and posterior moments, gathered bin by bin."""

    def __init__(
        self, nodes: Array, basis: Array, readout: FluorescenceReadout, bin_time: float
    ) -> None:
        self._nodes, self._sum = nodes, basis[0]
        self._mean_counts = bin_time * (readout.half_rate * (1.0 + nodes) + readout.background)
        self._logs: list[Array] = []
        self._means: list[Array] = []
        self._variances: list[Array] = []

    def take(self, weights: Array, counts: NDArray[np.int64]) -> Array:
        """Weigh (nodes, records) amplitudes with one bin's counts and normalise them."""
        observed = counts.astype(np.float64)
        mean = self._mean_counts[:, None]
        logs = xlogy(observed, mean) - mean - gammaln(observed + 1.0)
        largest = logs.max(axis=0)
        weighed = weights * np.exp(logs - largest)
        total = self._sum @ weighed
        if not np.all(total > 0.0):
            raise ValueError(
                "Argument `counts` must be possible under the model, but a bin has "
                f"{int(counts[int(np.argmin(total))])!r} counts where the likelihood vanishes "
                "in rounding: check a and b, or raise `last_mode`."
            )
        weighed /= total
        mean_x = (self._sum * self._nodes) @ weighed
        square = (self._sum * self._nodes**2) @ weighed
        self._logs.append(np.log(total) + largest)
        self._means.append(mean_x)
        self._variances.append(square - mean_x**2)
        return np.asarray(weighed, dtype=np.float64)

    def result(self) -> FilteredRecords:
        """All bins together."""
        return FilteredRecords(
            log_likelihood=np.sum(self._logs, axis=0),
            scaled_mean=np.stack(self._means, axis=1),
            scaled_variance=np.stack(self._variances, axis=1),
        )


def _modes(atoms: float, s: float, half_rate: float, last: int | None) -> int:
    """Modes for the steady state and for posteriors of width (2 gamma/a)^(1/4)."""
    if last is not None:
        return int(min(atoms, whole(last, "last_mode", least=1)))
    return int(min(atoms, modes_needed(atoms, s) + math.ceil(10.0 * half_rate**0.25)))


def _checked_counts(counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """(records, bins) whole numbers, at least one bin, none negative."""
    table = np.atleast_2d(np.asarray(counts))
    rounded = np.asarray(table, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] == 0 or not np.all(np.isfinite(rounded)):
        raise ValueError(
            "Argument `counts` must be whole numbers of shape (bins,) or (records, bins), but "
            f"has shape {np.shape(counts)}."
        )
    if np.any(rounded < 0.0) or np.any(rounded != np.round(rounded)):
        raise ValueError("Argument `counts` must hold whole numbers, none negative.")
    return rounded.astype(np.int64)
