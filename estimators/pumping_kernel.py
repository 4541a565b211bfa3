"""Compiled inner loops of the hidden chain; loads numba when imported.

State arrays are (levels, parts, columns): part 0 a distribution, 1 and 2 its derivatives by
ln gamma and ln u_c, the rest derivatives by what does not enter the motion. `pumping_chain`
has the same functions in numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..models._compiled import compiled


@compiled
def advance(
    state: Any,
    sub: Any,
    diagonal: Any,
    sup: Any,
    by_sub: Any,
    by_diagonal: Any,
    by_sup: Any,
    real: Any,
    complex_part: Any,
    out: Any,
) -> None:
    """out = R(A) state with tangents; A tridiagonal, R(z) = sum of c/(z - q) over three poles.

    real = (q, c) of the real pole; complex_part = (Re q, Im q, Re c, Im c) of the pair.
    """
    levels, parts, columns = state.shape
    pivot, lower = np.empty(levels), np.zeros(levels)
    q, c = real[0], real[1]
    pivot[0] = 1.0 / (diagonal[0] - q)
    for i in range(1, levels):
        lower[i] = sub[i] * pivot[i - 1]
        pivot[i] = 1.0 / (diagonal[i] - q - lower[i] * sup[i - 1])
    work = np.empty((levels, parts, columns))
    for part in range(parts):
        for i in range(levels):
            for k in range(columns):
                work[i, part, k] = state[i, part, k]
            if part == 1:
                for k in range(columns):
                    work[i, 1, k] -= state[i, 0, k] + q * work[i, 0, k]
            if part == 2:
                for k in range(columns):
                    work[i, 2, k] -= by_diagonal[i] * work[i, 0, k]
                if i > 0:
                    for k in range(columns):
                        work[i, 2, k] -= by_sub[i] * work[i - 1, 0, k]
                if i < levels - 1:
                    for k in range(columns):
                        work[i, 2, k] -= by_sup[i] * work[i + 1, 0, k]
            if i > 0:
                for k in range(columns):
                    work[i, part, k] -= lower[i] * work[i - 1, part, k]
        for k in range(columns):
            work[levels - 1, part, k] *= pivot[levels - 1]
        for i in range(levels - 2, -1, -1):
            for k in range(columns):
                work[i, part, k] = (work[i, part, k] - sup[i] * work[i + 1, part, k]) * pivot[i]
    for i in range(levels):
        for part in range(parts):
            for k in range(columns):
                out[i, part, k] = c * work[i, part, k]
    _complex_part(state, sub, diagonal, sup, by_sub, by_diagonal, by_sup, complex_part, work, out)


@compiled
def _complex_part(
    state: Any,
    sub: Any,
    diagonal: Any,
    sup: Any,
    by_sub: Any,
    by_diagonal: Any,
    by_sup: Any,
    pole: Any,
    x: Any,
    out: Any,
) -> None:
    """Add twice the real part of c (A - q)^-1 state; x is room for the real parts."""
    levels, parts, columns = state.shape
    qr, qi, cr, ci = pole[0], pole[1], pole[2], pole[3]
    pr, pi = np.empty(levels), np.empty(levels)
    lr, li = np.zeros(levels), np.zeros(levels)
    for i in range(levels):
        dr, di = diagonal[i] - qr, -qi
        if i > 0:
            lr[i], li[i] = sub[i] * pr[i - 1], sub[i] * pi[i - 1]
            dr -= lr[i] * sup[i - 1]
            di -= li[i] * sup[i - 1]
        size = dr * dr + di * di
        pr[i], pi[i] = dr / size, -di / size
    y = np.empty((levels, parts, columns))
    for part in range(parts):
        for i in range(levels):
            for k in range(columns):
                x[i, part, k] = state[i, part, k]
                y[i, part, k] = 0.0
            if part == 1:
                for k in range(columns):
                    x[i, 1, k] -= state[i, 0, k] + qr * x[i, 0, k] - qi * y[i, 0, k]
                    y[i, 1, k] -= qr * y[i, 0, k] + qi * x[i, 0, k]
            if part == 2:
                for k in range(columns):
                    x[i, 2, k] -= by_diagonal[i] * x[i, 0, k]
                    y[i, 2, k] -= by_diagonal[i] * y[i, 0, k]
                if i > 0:
                    for k in range(columns):
                        x[i, 2, k] -= by_sub[i] * x[i - 1, 0, k]
                        y[i, 2, k] -= by_sub[i] * y[i - 1, 0, k]
                if i < levels - 1:
                    for k in range(columns):
                        x[i, 2, k] -= by_sup[i] * x[i + 1, 0, k]
                        y[i, 2, k] -= by_sup[i] * y[i + 1, 0, k]
            if i > 0:
                for k in range(columns):
                    above_x, above_y = x[i - 1, part, k], y[i - 1, part, k]
                    x[i, part, k] -= lr[i] * above_x - li[i] * above_y
                    y[i, part, k] -= lr[i] * above_y + li[i] * above_x
        last = levels - 1
        for k in range(columns):
            vx, vy = x[last, part, k], y[last, part, k]
            x[last, part, k] = vx * pr[last] - vy * pi[last]
            y[last, part, k] = vx * pi[last] + vy * pr[last]
        for i in range(levels - 2, -1, -1):
            for k in range(columns):
                vx = x[i, part, k] - sup[i] * x[i + 1, part, k]
                vy = y[i, part, k] - sup[i] * y[i + 1, part, k]
                x[i, part, k] = vx * pr[i] - vy * pi[i]
                y[i, part, k] = vx * pi[i] + vy * pr[i]
        for i in range(levels):
            for k in range(columns):
                out[i, part, k] += 2.0 * (cr * x[i, part, k] - ci * y[i, part, k])


@compiled
def weigh(
    state: Any,
    counts: Any,
    weights: Any,
    by_decay: Any,
    by_rate: Any,
    by_background: Any,
    sums: Any,
    steps: Any,
) -> None:
    """Multiply by the probabilities of one bin's counts, normalise, and write score steps.

    state (levels, 5, sweeps) in place; weights (distinct counts, levels) and the slopes of
    their logarithms; counts (sweeps,) rows of these; steps (5, sweeps): total and slopes.
    """
    levels, parts, sweeps = state.shape
    for part in range(parts):
        for k in range(sweeps):
            steps[part, k] = 0.0
    for i in range(levels):
        for k in range(sweeps):
            y = counts[k]
            w = weights[y, i]
            value = state[i, 0, k] * w
            state[i, 0, k] = value
            state[i, 1, k] = state[i, 1, k] * w + value * by_decay[y, i]
            state[i, 2, k] *= w
            state[i, 3, k] = state[i, 3, k] * w + value * by_rate[y, i]
            state[i, 4, k] = state[i, 4, k] * w + value * by_background[y, i]
        for part in range(parts):
            for k in range(sweeps):
                steps[part, k] += sums[i] * state[i, part, k]
    for k in range(sweeps):
        for part in range(1, parts):
            steps[part, k] /= steps[0, k]
    for i in range(levels):
        for k in range(sweeps):
            value = state[i, 0, k] / steps[0, k]
            state[i, 0, k] = value
            for part in range(1, parts):
                state[i, part, k] = state[i, part, k] / steps[0, k] - value * steps[part, k]


@compiled
def simulate(
    atoms: Any,
    decay: Any,
    start: Any,
    slope: Any,
    half_rate: Any,
    background: Any,
    level: Any,
    edges: Any,
    rng: Any,
    means: Any,
) -> None:
    """One exact path of the chain while w/gamma = start + slope t; mean counts of each bin."""
    time, n, place = 0.0, level, 0
    bins = edges.size - 1
    for k in range(bins):
        means[k] = background * (edges[k + 1] - edges[k])
    while place < bins:
        up, down = (atoms - n) * (n + 1.0), n * (atoms - n + 1.0)
        hazard = decay * (down + up * (start + slope * time))
        growth = decay * up * slope
        drawn = -np.log(1.0 - rng.random())
        square = hazard * hazard + 2.0 * growth * drawn
        wait = 1e300
        if square > 0.0 and hazard + np.sqrt(square) > 0.0:
            wait = 2.0 * drawn / (hazard + np.sqrt(square))
        rate = 2.0 * half_rate * n / atoms
        until = time + wait
        while place < bins and edges[place + 1] <= until:
            means[place] += rate * (edges[place + 1] - time)
            time = edges[place + 1]
            place += 1
        if place == bins:
            return
        means[place] += rate * (until - time)
        time = until
        pump = decay * up * (start + slope * time)
        if rng.random() * (pump + decay * down) < pump:
            n += 1.0
        else:
            n -= 1.0
