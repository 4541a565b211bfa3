"""Relaxation of two ensembles under a strong drive: the secular limit Omega >> S Gamma.

In the frame turned by R = exp[-i theta (S1y - S2y)], theta = atan(Delta / 2 Omega), the
Hamiltonian is sqrt(Omega^2 + Delta^2/4) J_x. (The paper prints an angle theta/2 before
Eq. F1; Eqs. F1-F2 hold without the half.) Quantised along x, a strong drive leaves only
the blocks rho^m of fixed m, J = |m| … 2S, alive, and their relaxation depends on
Delta/Omega and Gamma alone (not in the paper):

    d rho^m/dt = Gamma [T+ rho^{m-1} T+^T + T- rho^{m+1} T-^T - {T+^T T+ + T-^T T-, rho^m}/2],
    T+- = (J+- -+ sin(theta) D+-) / 2.

From all atoms down rho^{-m} = rho^m, so that only m >= 0 is kept: (2S+1)^3 numbers in
place of (2S+1)^4. The times lie within 0.1 % of the exact ones at Omega = 20 S Gamma and
1 to 9 % above them at Omega = 2 S Gamma.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from ._checks import between, dimension_of, positive
from .relaxation_propagator import (
    Array,
    Ellipse,
    Matrix,
    crossing,
    dense_output,
    propagate,
    rising_times,
)
from .two_ensembles import TwoEnsembles, relaxation_time_bound, steady_state

_REACH = 60.0
_TAIL = 1e-9


def secular_fidelity(parameters: TwoEnsembles, times: Sequence[float] | Array) -> Array:
    """F(t) from all atoms down in the limit Omega -> infinity at the same Delta/Omega.

    Args:
        parameters: the pair, without exchange; of the drive only Delta/Omega matters.
        times: rising, not negative, in the inverse unit of the rates.

    Raises:
        ValueError: with exchange, or on times that fall or are negative.
    """
    _without_exchange(parameters)
    wanted = rising_times(times)
    fidelity = np.empty(wanted.size)
    done = 0
    for step in _steps(parameters, float(wanted[-1])):
        here = wanted[done:][wanted[done:] <= step.end * (1.0 + 1e-12)]
        if here.size:
            fidelity[done : done + here.size] = step.fidelity(here)
        done += here.size
        if done == wanted.size:
            break
    return fidelity


def secular_relaxation_time(
    parameters: TwoEnsembles, infidelity: float = 1e-3, *, longest: float | None = None
) -> float:
    """t_ss from all atoms down to the infidelity in the limit Omega -> infinity.

    Args:
        parameters: the pair, without exchange; of the drive only Delta/Omega matters.
        infidelity: between 1e-6 and 1.
        longest: give up after this time; by default 1000 times the least possible time.

    Raises:
        ValueError: with exchange, on arguments outside these rules, or when the time is
            not reached.
    """
    _without_exchange(parameters)
    infidelity = between(infidelity, 1e-6, 1.0, "infidelity")
    least = relaxation_time_bound(steady_state(parameters), infidelity)
    limit = 1000.0 * least if longest is None else positive(longest, "longest")
    for step in _steps(parameters, limit):
        excess = _excess(step, infidelity)
        if excess(step.end) <= 0.0:
            return crossing(excess, step.start, step.end)
    raise ValueError(
        f"Argument `longest` must leave time to reach an infidelity of {infidelity:g}, "
        f"but {limit:g} does not."
    )


@dataclass(frozen=True, slots=True)
class _Step:
    start: float
    end: float
    ellipse: Ellipse
    measured: Array

    def fidelity(self, times: Array) -> Array:
        values = dense_output(self.ellipse, np.maximum(times - self.start, 0.0), self.measured)
        ratio: Array = values[:, 1] / values[:, 0]
        return ratio


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The generator on m = 0 … J_max (first axis) and J, J' = 0 … J_max (zero below m)."""

    raising: Array  # T+ from m to m+1, at m
    lowering: Array  # T- from m to m-1, at m
    losses: Array  # T+^T T+ + T-^T T-
    dark: Array  # the steady state in block m = 0
    fold: Array  # 1 for m = 0, 2 for the others, which stand for -m as well

    def cut(self, size: int) -> _Blocks:
        """The same with J and m below `size` only."""
        part = (slice(size), slice(size), slice(size))
        return _Blocks(
            self.raising[part],
            self.lowering[part],
            self.losses[part],
            self.dark[:size],
            self.fold[:size],
        )

    def recursion(self, scale: float, shift: float) -> Callable[[Matrix, Matrix, float], None]:
        """before <- scale (L + shift) now - back * before, as `propagate` wants it."""
        root = math.sqrt(scale)
        up, down = root * self.raising[:-1], root * self.lowering[1:]
        up_t, down_t = up.transpose(0, 2, 1).copy(), down.transpose(0, 2, 1).copy()
        half = 0.5 * scale * (shift * np.eye(self.dark.size) - self.losses)

        def advance(now: Matrix, before: Matrix, back: float) -> None:
            before *= -back
            sides = half @ now
            before += sides
            before += sides.transpose(0, 2, 1)
            before[1:] += up @ now[:-1] @ up_t
            gain = down @ now[1:] @ down_t
            gain[0] *= 2.0  # from m = 1 and m = -1
            before[:-1] += gain

        return advance

    def expectations(self, rho: Matrix) -> Array:
        """Trace and fidelity."""
        trace = np.trace(rho, axis1=1, axis2=2) @ self.fold
        return np.array([trace, self.dark @ rho[0] @ self.dark])


def _steps(parameters: TwoEnsembles, stop: float) -> Iterator[_Step]:
    """Propagate all atoms down, leaving out large J once they are empty."""
    blocks = _blocks(parameters)
    rho: Matrix = _all_down(parameters)
    now = 0.0
    while now == 0.0 or now < stop:
        # measured: the spectrum reaches 1.9 and 0.75 times the largest rate of loss, which falls
        # more slowly than J^2 when J is cut, by the part with sin(theta)
        fastest = float(np.linalg.eigvalsh(blocks.losses).max())
        ellipse = Ellipse(1.1 * fastest, fastest)
        longest = _REACH / ellipse.imaginary
        duration = min(longest, stop - now) or longest  # a whole step when only t = 0 is asked
        rho, measured = propagate(blocks.recursion, rho, ellipse, duration, blocks.expectations)
        yield _Step(now, now + duration, ellipse, measured)
        now += duration
        weights = np.einsum("mjj,m->j", rho, blocks.fold) + blocks.dark**2
        size = int(np.count_nonzero(np.cumsum(weights[::-1])[::-1] > _TAIL))
        size = max(size, 2)
        if size < blocks.dark.size:
            blocks = blocks.cut(size)
            rho = np.ascontiguousarray(rho[:size, :size, :size])


def _blocks(parameters: TwoEnsembles) -> _Blocks:
    """T+-, their losses and the dark state, from Chu Eqs. A9-A12 in the turned frame."""
    size = dimension_of(parameters.spin)
    tilt = _tilt(parameters)
    root = math.sqrt(parameters.collective_decay)
    m = np.arange(size, dtype=np.float64)[:, None]
    j = np.arange(size, dtype=np.float64)[None, :]
    norm = np.sqrt(_norms(size - 1, j))

    def matrices(sign: float) -> Array:
        # Only m >= 0 is asked for; T- at m has the elements of T+ at -m.
        mm = sign * m
        inside = j >= m
        same = np.where(inside, np.sqrt(np.maximum((j - mm) * (j + mm + 1.0), 0.0)), 0.0)
        outward = np.where(inside, tilt * norm * np.sqrt((j + mm + 1.0) * (j + mm + 2.0)), 0.0)
        lower = np.where(inside, np.maximum((j - mm) * (j - mm - 1.0), 0.0), 0.0)
        inward = np.zeros_like(same)
        inward[:, 1:] = -tilt * norm[:, :-1] * np.sqrt(lower[:, 1:])
        result = np.zeros((size, size, size))
        k = np.arange(size)
        result[:, k, k] = 0.5 * root * same
        result[:, k[1:], k[:-1]] = 0.5 * root * outward[:, :-1]
        result[:, k[:-1], k[1:]] = 0.5 * root * inward[:, 1:]
        return result

    raising, lowering = matrices(1.0), matrices(-1.0)
    losses = raising.transpose(0, 2, 1) @ raising + lowering.transpose(0, 2, 1) @ lowering
    both = np.concatenate([raising[0], lowering[0]])
    dark = np.linalg.svd(both)[2][-1]
    return _Blocks(raising, lowering, losses, dark, np.where(np.arange(size) == 0, 1.0, 2.0))


def _all_down(parameters: TwoEnsembles) -> Array:
    """Blocks m >= 0 of all atoms down in the turned frame, where it is the lowest state of

    cos(theta) J_y + sin(theta) (D along the quantisation axis), real in a suitable gauge.
    """
    atoms = dimension_of(parameters.spin) - 1
    sine = _tilt(parameters)
    j = np.repeat(np.arange(atoms + 1), 2 * np.arange(atoms + 1) + 1)
    m = np.arange(j.size) - j * j - j
    up, out = np.flatnonzero(m < j), np.flatnonzero(j < atoms)
    turn = 0.5 * math.sqrt(1.0 - sine * sine) * np.sqrt((j - m) * (j + m + 1.0))[up]
    width = (j[out] + m[out] + 1.0) * (j[out] - m[out] + 1.0)
    tilt = sine * np.sqrt(_norms(atoms, j[out].astype(np.float64)) * width)
    rows = np.concatenate([up + 1, out + 2 * j[out] + 2])
    columns = np.concatenate([up, out])
    half = sp.csc_matrix((np.concatenate([turn, tilt]), (rows, columns)), shape=(j.size, j.size))
    _, vectors = sla.eigsh(half + half.T, k=1, sigma=-atoms - 0.5, v0=np.ones(j.size))
    table = np.zeros((atoms + 1, atoms + 1))
    positive_m = np.flatnonzero(m >= 0)
    table[m[positive_m], j[positive_m]] = vectors[positive_m, 0]
    blocks: Array = table[:, :, None] * table[:, None, :]
    return blocks


def _norms(atoms: int, j: Array) -> Array:
    """N_J = (2S-J)(2S+J+2)/[(2J+1)(2J+3)]."""
    norms: Array = (atoms - j) * (atoms + j + 2.0) / ((2.0 * j + 1.0) * (2.0 * j + 3.0))
    return norms


def _tilt(parameters: TwoEnsembles) -> float:
    """sin(theta), theta = atan(Delta / 2 Omega)."""
    return math.sin(math.atan(0.5 * parameters.detuning_ratio))


def _excess(step: _Step, infidelity: float) -> Callable[[float], float]:
    def excess(time: float) -> float:
        return 1.0 - float(step.fidelity(np.array([time]))[0]) - infidelity

    return excess


def _without_exchange(parameters: TwoEnsembles) -> None:
    if parameters.exchange != 0.0:
        raise ValueError(
            f"Argument `parameters` must have exchange 0, but has {parameters.exchange!r}."
        )
