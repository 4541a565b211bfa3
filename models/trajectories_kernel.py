"""Quantum trajectories compiled by numba; loads numba when imported.

Nothing imports this page but `trajectories`. In the coupled basis of `relaxation_generator`
K has one diagonal, two neighbours inside a block J and one in each of the blocks J - 1 and
J + 1, all of them runs of consecutive memory: no index is stored. A run fills few blocks at
a time (J falls from 2S as photons leave), so only those whose weight counts are kept, and
the step is as long as their rates allow: 5 products and sums per state kept and term.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._compiled import compiled
from .relaxation_generator import Array, Generator, Matrix

_FRONT = 8  # spare places before the first state, which its neighbours' sums read
_TERMS = 40
_REACH = 7.0  # longest step in units of 1/|K| on the blocks kept: rounding grows to e^7 at most
_SMALL = 1e-12  # amplitude of a term, of a norm of 1, at which the series ends
_EMPTY = 1e-26  # weight of a block, of a norm of 1, that is left out
_ITERATIONS = 60
_INSTANT = 1e-12  # accuracy of the time of a photon, of the step
_TOGETHER = 16  # places that a loop may do at once


@compiled
def _weight(v: Any, block: int, first: Any) -> float:
    """The weight of one block."""
    part = v[first[block] : first[block + 1]]
    total = 0.0
    for n in range(part.size):
        total += part[n].real * part[n].real + part[n].imag * part[n].imag
    return total


@compiled
def _clear(v: Any, block: int, first: Any) -> None:
    """Empty one block, if there is one of that number."""
    if 0 <= block < first.size - 1:
        v[first[block] : first[block + 1]] = 0.0


@compiled
def _product(v: Any, out: Any, block: int, scale: float, first: Any, table: Any) -> float:
    """The block of scale K v, and its weight.

    Places are unsigned (a place that might be negative would be tested) and each loop reads
    few arrays: so the compiler can tell that nothing overlaps and does several at once.
    """
    one = np.uint64(1)
    start, end = first[block], first[block + 1]
    below = start - first[max(block - 1, 0)] + one
    above = first[min(block + 1, first.size - 2)] - start + one
    half, up, arriving, leaving, _ = table
    for i in range(start, end):
        out[i] = up[i - one] * v[i - one] - up[i] * v[i + one] - half[i] * v[i]
    total = 0.0
    for i in range(start, end):
        value = scale * (out[i] + arriving[i] * v[i - below] - leaving[i] * v[i + above])
        out[i] = value
        total += value.real * value.real + value.imag * value.imag
    return total


@compiled
def _expand(terms: Any, spans: Any, step: float, first: Any, table: Any, norm: float) -> int:
    """Terms (step K)^k phi / k! from the first on; returns how many are kept."""
    small, last = 0, first.size - 2
    for k in range(1, _TERMS):
        low, high = max(spans[k - 1, 0] - 1, 0), min(spans[k - 1, 1] + 1, last)
        before, now = terms[k - 1], terms[k]
        total = 0.0
        for block in range(low, high + 1):
            total += _product(before, now, block, step / k, first, table)
        low, high = _keep(now, low, high, first, norm)
        for away in range(1, 3):  # what the next term reads beyond
            _clear(now, low - away, first)
            _clear(now, high + away, first)
        spans[k, 0], spans[k, 1] = low, high
        small = small + 1 if total < _SMALL**2 * norm else 0
        if small == 2:
            return k + 1
    return _TERMS


@compiled
def _keep(v: Any, low: int, high: int, first: Any, norm: float) -> Any:
    """Leave out the outermost blocks that hold nothing; the rest as first and last."""
    while low < high and _weight(v, low, first) < _EMPTY * norm:
        _clear(v, low, first)
        low += 1
    while low < high and _weight(v, high, first) < _EMPTY * norm:
        _clear(v, high, first)
        high -= 1
    return low, high


@compiled
def _norm_and_rate(v: Any, low: int, high: int, first: Any, half: Any) -> Any:
    """|v|^2 and how fast it decays."""
    part, rates = v[first[low] : first[high + 1]], half[first[low] : first[high + 1]]
    norm = rate = 0.0
    for n in range(part.size):
        weight = part[n].real * part[n].real + part[n].imag * part[n].imag
        norm += weight
        rate += rates[n] * weight
    return norm, 2.0 * rate


@compiled
def _evaluate(terms: Any, spans: Any, kept: int, x: float, first: Any, half: Any, out: Any) -> Any:
    """The series at the fraction x of the step: norm, its decay, first and last block."""
    low, high = spans[0, 0], spans[0, 1]
    for k in range(1, kept):
        low, high = min(low, spans[k, 0]), max(high, spans[k, 1])
    out[:] = 0.0
    power = 1.0
    for k in range(kept):
        start, end = first[spans[k, 0]], first[spans[k, 1] + 1]
        term, target = terms[k, start:end], out[start:end]
        for n in range(target.size):
            target[n] += power * term[n]
        power *= x
    norm, rate = _norm_and_rate(out, low, high, first, half)
    return norm, rate, low, high


@compiled
def _jump(v: Any, low: int, high: int, first: Any, table: Any) -> float:
    """A photon leaves: amplitudes move down by one inside their blocks; the new decay."""
    start, end = first[low], first[high + 1]
    part, above, factors = v[start:end], v[start + 1 : end + 1], table[4][start:end]
    total = 0.0
    for n in range(part.size):
        value = factors[n] * above[n]
        part[n] = value
        total += value.real * value.real + value.imag * value.imag
    factor = 1.0 / math.sqrt(total)
    for n in range(part.size):
        part[n] *= factor
    return float(_norm_and_rate(v, low, high, first, table[0])[1])


@compiled
def _crossing(
    terms: Any, spans: Any, kept: int, step: float, norms: Any, first: Any, half: Any, out: Any
) -> Any:
    """The fraction of the step at which the norm falls to its threshold; fills `out` there."""
    norm, rate, threshold = norms
    low, high, x, a, b = 0.0, 1.0, 0.0, 0, 0
    for _ in range(_ITERATIONS):
        # Newton's step for the logarithm, which is close to a straight line
        guess = x + math.log(norm / threshold) * norm / (rate * step) if rate > 0.0 else -1.0
        if x > 0.0 and abs(guess - x) <= _INSTANT or high - low <= 1e-15:
            break
        x = guess if low < guess < high else 0.5 * (low + high)
        norm, rate, a, b = _evaluate(terms, spans, kept, x, first, half, out)
        if norm > threshold:
            low = x
        else:
            high = x
    return x, a, b


@compiled
def _run(
    start: Any, times: Any, first: Any, bounds: Any, table: Any, rng: Any, states: Any, photons: Any
) -> None:
    """One run: the state, not normalised, and the photons at each of the times."""
    half, last = table[0], first.size - 2
    terms = np.zeros((_TERMS, start.size), dtype=start.dtype)
    spans = np.zeros((_TERMS, 2), dtype=np.int64)
    phi, work = start.copy(), np.zeros_like(start)
    low, high = _keep(phi, 0, last, first, 1.0)
    norm, rate = _norm_and_rate(phi, low, high, first, half)
    clock, count = 0.0, 0
    threshold = 1.0 - rng.random()
    for todo in range(times.size):
        while clock < times[todo]:
            rest = times[todo] - clock
            step = min(_REACH / bounds[high], rest)
            if rate > 0.0:  # a little beyond where the photon is expected
                expected = math.log(norm / threshold) * norm / rate
                step = min(step, 1.25 * expected + 0.1 * step)
            terms[0], spans[0, 0], spans[0, 1] = phi, low, high
            kept = _expand(terms, spans, step, first, table, norm)
            after, falling, a, b = _evaluate(terms, spans, kept, 1.0, first, half, work)
            photon = after <= threshold
            if photon:
                norms = (norm, rate, threshold)
                x, a, b = _crossing(terms, spans, kept, step, norms, first, half, work)
                clock += x * step
            else:
                clock = times[todo] if step >= rest else clock + step
            phi, work = work, phi
            norm, rate = after, falling
            low, high = _keep(phi, a, b, first, norm)
            if photon:
                rate, norm, count = _jump(phi, low, high, first, table), 1.0, count + 1
                threshold = 1.0 - rng.random()
        states[todo], photons[todo] = phi, count


class CompiledRuns:
    """Runs of one pair from all atoms down.

    Args:
        system: the generator on all states.
        times: rising, not negative.
    """

    def __init__(self, system: Generator, times: Array) -> None:
        self._times = times
        j = system.total
        last = int(j[-1])
        # whole registers: what is left over of a loop is done one by one
        widths = -(-(2 * np.arange(last + 1) + 1) // _TOGETHER) * _TOGETHER
        self._first = (_FRONT + np.concatenate(([0], np.cumsum(widths)))).astype(np.uint64)
        self._place = self._first[j].astype(np.int64) + j + system.projection
        size = int(self._first[-1]) + 2 * int(widths[-1])
        drift = system.drift

        def placed(values: Matrix) -> Matrix:
            wide = np.zeros(size, dtype=values.dtype)
            wide[self._place] = values
            return wide

        up = np.zeros(system.size)
        up[:-1] = drift.diagonal(-1).real
        out = np.flatnonzero(j < last)
        across = out + 2 * j[out] + 2
        rate = np.asarray(drift[across, out]).ravel()
        arriving: Matrix = np.zeros(system.size, dtype=drift.dtype)
        leaving: Matrix = np.zeros(system.size, dtype=drift.dtype)
        arriving[across], leaving[out] = rate, rate.conj()
        jump = np.where(system.projection < j, system.jump, 0.0)
        parts = (0.5 * system.decay, up, arriving, leaving, jump)
        self._table = tuple(placed(part) for part in parts)
        self._start = placed(system.all_down().astype(drift.dtype))
        self._bounds = _bounds(system, float(abs(rate).max(initial=0.0)))

    def follow(self, rng: np.random.Generator) -> tuple[Matrix, NDArray[np.int64]]:
        """One run: states (states, times), not normalised, and photons (times,)."""
        states = np.empty((self._times.size, self._start.size), dtype=self._start.dtype)
        photons = np.zeros(self._times.size, dtype=np.int64)
        start, times, first, bounds = self._start, self._times, self._first, self._bounds
        _run(start, times, first, bounds, self._table, rng, states, photons)
        return states[:, self._place].T, photons


def _bounds(system: Generator, across: float) -> Array:
    """A bound on |K| on the blocks 0 … J + 1, for every J."""
    last = int(system.total[-1])
    block = np.minimum(np.arange(last + 1) + 1, last)
    turning = system.parameters.rabi_frequency * block + 2.0 * across
    emission = np.array([system.decay[system.total == j].max() for j in block])
    bound: Array = np.hypot(turning, 0.5 * emission) + 1e-300
    return bound
