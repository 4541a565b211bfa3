"""The trajectories of the cumulant expansion compiled by numba; loads numba when imported.

Nothing imports this page but `cumulants_trajectory`, on the first trajectory. The equations
are those of `cumulants`, compiled as they stand there. Trajectories run one after the other:
15 moments and 13 stages stay in the first-level cache, where the path over array columns
writes every intermediate result to memory.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import DOP853

from . import cumulants
from ._compiled import compiled

Array = NDArray[np.float64]

_inside = compiled(cumulants._inside_rates)
_across = compiled(cumulants._across_rates)


@compiled
def _put_rates(half: Any, rates: Any, out: Any) -> None:
    """The 15 rates of a mirror-symmetric state, as `cumulants.half_moment_rates`."""
    x, y, z = half[0], half[1], half[2]
    xx, yy, zz, xy, xz, yz = half[3], half[4], half[5], half[6], half[7], half[8]
    cxx, cyy, czz, cxy, cxz, cyz = half[9], half[10], half[11], half[12], half[13], half[14]
    across = (cxx, cxy, cxz, -cxy, cyy, cyz, -cxz, cyz, czz)
    one, two = (x, y, z), (-x, y, z)
    pairs, mirrored = (xx, yy, zz, xy, xz, yz), (xx, yy, zz, -xy, -xz, yz)
    a = _inside(one, pairs, two, across, rates)
    b = _across(one, pairs, two, mirrored, across, rates)
    out[0], out[1], out[2] = a[0], a[1], a[2]
    out[3], out[4], out[5], out[6], out[7], out[8] = a[3], a[4], a[5], a[6], a[7], a[8]
    out[9], out[10], out[11], out[12], out[13], out[14] = b[0], b[1], b[2], b[3], b[4], b[5]


_STAGES = 12
_NODES = np.ascontiguousarray(DOP853.A[:_STAGES, :_STAGES])
_WEIGHTS = np.ascontiguousarray(DOP853.B)
_FIFTH = np.ascontiguousarray(DOP853.E5[:_STAGES])
_THIRD = np.ascontiguousarray(DOP853.E3[:_STAGES])


@compiled
def _combine(y: Any, step: Any, weights: Any, count: Any, stages: Any, out: Any) -> None:
    """out <- y + step * (the weighted sum of the first `count` stages).

    Eight sums at once: they stay in registers, where a loop would write each to memory.
    """
    for i in range(0, 16, 8):
        a = b = c = d = e = f = g = h = 0.0
        for k in range(count):
            weight = weights[k]
            if weight != 0.0:
                a += weight * stages[k, i]
                b += weight * stages[k, i + 1]
                c += weight * stages[k, i + 2]
                d += weight * stages[k, i + 3]
                e += weight * stages[k, i + 4]
                f += weight * stages[k, i + 5]
                g += weight * stages[k, i + 6]
                h += weight * stages[k, i + 7]
        out[i], out[i + 1] = y[i] + step * a, y[i + 1] + step * b
        out[i + 2], out[i + 3] = y[i + 2] + step * c, y[i + 3] + step * d
        out[i + 4], out[i + 5] = y[i + 4] + step * e, y[i + 5] + step * f
        out[i + 6], out[i + 7] = y[i + 6] + step * g, y[i + 7] + step * h


@compiled
def _error_of(y: Any, new: Any, step: Any, rtol: Any, stages: Any) -> Any:
    """The step's error in units of the tolerance, from the method's two estimates."""
    fifth = third = 0.0
    for i in range(15):
        a = b = 0.0
        for k in range(_STAGES):
            a += _FIFTH[k] * stages[k, i]
            b += _THIRD[k] * stages[k, i]
        scale = rtol * (0.01 + max(abs(y[i]), abs(new[i])))
        fifth += (a / scale) ** 2
        third += (b / scale) ** 2
    if fifth == 0.0 and third == 0.0:
        return 0.0
    return abs(step) * fifth / np.sqrt((fifth + 0.01 * third) * 15.0)


def _stepper(stamp: int) -> Any:
    """The stepper. Numba's cache looks at this file alone; `stamp` ties it to the equations'."""

    @compiled
    def follow(columns: Any, times: Any, start: Any, rtol: Any, runaway: Any, out: Any) -> int:
        stages, work, new = np.zeros((_STAGES, 16)), np.zeros(16), np.zeros(16)
        for lane in range(times.shape[0]):
            n, omega, d = columns[0, lane], columns[1, lane], columns[2, lane]
            collective, single = columns[3, lane], columns[4, lane]
            rates = (n, omega, d, collective, single, columns[5, lane])
            y, t, todo = np.zeros(16), 0.0, 0
            y[:15] = start
            h = 0.01 / (omega + abs(d) + n * (collective + single))
            _put_rates(y, rates, stages[0])
            while todo < times.shape[1]:
                rest = times[lane, todo] - t
                step = min(h, rest)
                for stage in range(1, _STAGES):
                    _combine(y, step, _NODES[stage], stage, stages, work)
                    _put_rates(work, rates, stages[stage])
                _combine(y, step, _WEIGHTS, _STAGES, stages, new)
                error = _error_of(y, new, step, rtol, stages)
                if not error <= 1.0:  # too large, or not a number
                    h = step * (max(0.2, 0.9 * error**-0.125) if error < 1e30 else 0.2)
                    if t + h == t:
                        break
                    continue
                growth = min(5.0, 0.9 * max(error, 1e-10) ** -0.125)
                # a step cut short to land on a time says nothing against the longer one
                h = max(step * growth, h if step < h else 0.0)
                largest = 0.0
                for i in range(15):
                    y[i] = new[i]
                    largest = max(largest, abs(new[i]))
                _put_rates(y, rates, stages[0])
                if step >= rest:
                    t = times[lane, todo]
                    for i in range(15):
                        out[i, lane, todo] = y[i]
                    todo += 1
                else:
                    t += step
                if largest > runaway:
                    break
        return stamp

    return follow


_EQUATIONS = Path(cumulants.__file__)
_follow = _stepper(zlib.crc32(_EQUATIONS.read_bytes()) if _EQUATIONS.exists() else 0)


def integrate(columns: Array, times: Array, start: Array, rtol: float, runaway: float) -> Array:
    """Moments (15, n, m) at the times (n, m), nan from where a run is lost.

    An explicit Runge-Kutta method of order 8 with errors of orders 5 and 3 (Hairer, Norsett
    and Wanner's DOP853; coefficients from scipy); every run has its own step, and lands on
    its times.

    Args:
        columns: (6, n), see `cumulants.rate_columns`.
        times: (n, m), ascending along the second axis, not negative.
        start: (15,) moments at time zero.
        rtol: relative accuracy of each step; a hundredth of it is the absolute one.
        runaway: moments beyond this are a run that is lost.
    """
    out = np.full((15, *times.shape), np.nan)
    _follow(np.ascontiguousarray(columns), np.ascontiguousarray(times), start, rtol, runaway, out)
    return out
