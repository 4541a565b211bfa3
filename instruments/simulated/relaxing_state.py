"""The density matrix of two small ensembles, step by step: Chu Eq. 2 with a drive of any phase.

    d rho/dt = -i[H, rho] + Gamma D[S1^- + S2^-] rho,
    H = Omega [cos(p) Sx + sin(p) Sy] + (Delta/2)(S1z - S2z)
        + (i chi/2)(S1^+ S2^- - S1^- S2^+),                        S = S1 + S2.

In the product basis |n1, n2>, n_j = S + m_j atoms up, row n1 (2S+1) + n2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import expm

from ...models.relaxation_propagator import Ellipse, propagate

Matrix = NDArray[np.complex128]

_TRACE_ERROR = 1e-9
_REACH = 300.0  # length of one polynomial in units of 1/(imaginary semi-axis)


@dataclass(frozen=True, slots=True)
class Step:
    """A time in which nothing changes; angular rates.

    Attributes:
        rabi, phase: Drive: Rabi frequency, and phase of its axis in radians.
        decay: Collective decay rate.
        detuning: Difference of the ensembles' detunings.
        duration: s.
        written: Differential phase written in no time at all, radians.
        exchange: chi, signed; only where there is decay, as both come from the cavity.
    """

    rabi: float
    phase: float
    decay: float
    detuning: float
    duration: float
    written: float = 0.0
    exchange: float = 0.0


def evolve(spin: float, steps: Iterable[Step]) -> Matrix:
    """The density matrix after the steps, from all atoms down.

    Raises:
        ArithmeticError: If a step loses the trace (not seen in practice).
    """
    size = round(2.0 * spin) + 1
    state: Matrix = np.zeros((size * size, size * size), dtype=np.complex128)
    state[0, 0] = 1.0
    for step in steps:
        state = _damped(spin, state, step) if step.decay else _turned(spin, state, step)
    normalised: Matrix = state / np.trace(state).real
    return normalised


def unitary(spin: float, steps: Iterable[Step]) -> Matrix:
    """What steps without decay do to amplitudes, (states, states)."""
    whole: Matrix = np.eye((round(2.0 * spin) + 1) ** 2, dtype=np.complex128)
    for step in steps:
        whole = _turn(spin, step) @ whole
    return whole


def _turned(spin: float, state: Matrix, step: Step) -> Matrix:
    both = _turn(spin, step)
    turned: Matrix = both @ state @ both.conj().T
    return turned


def _turn(spin: float, step: Step) -> Matrix:
    """Rotations of each ensemble."""
    z, plus = _single(spin)
    axis = 0.5 * step.rabi * np.exp(-1j * step.phase) * plus
    drive = axis + axis.conj().T
    half = 0.5 * step.detuning * step.duration
    first, second = (
        expm(-1j * (step.duration * drive + sign * (half + step.written) * z)) for sign in (1, -1)
    )
    both: Matrix = np.asarray(np.kron(first, second), dtype=np.complex128)
    return both


def _damped(spin: float, state: Matrix, step: Step) -> Matrix:
    """The master equation, in as many polynomials as its length asks for."""
    jump, difference = _pair(spin)
    raising = (0.5 * step.rabi * np.exp(-1j * step.phase)) * jump.T
    hamiltonian = raising + raising.conj().T + 0.5 * step.detuning * difference
    if step.exchange:
        hamiltonian = hamiltonian + 0.5j * step.exchange * _swapping(spin)
    emission = (jump.T @ jump) * step.decay
    drift = (-1j * hamiltonian - 0.5 * emission).tocsr()
    largest = 2.0 * spin * math.hypot(step.rabi, 0.5 * step.detuning)
    largest += abs(step.exchange) * spin * (spin + 1.0)
    total = 2.0 * spin
    fastest = step.decay * total * (total + 1.0)  # of J = 2S, from m = 0 or 1
    # Axes as of the same equation in the coupled basis, where they were measured.
    ellipse = Ellipse(1.6 * fastest, 2.06 * largest + 0.25 * fastest)
    parts = max(1, math.ceil(step.duration * ellipse.imaginary / _REACH))
    for _ in range(parts):
        state = _guarded(drift, np.sqrt(step.decay) * jump, state, ellipse, step.duration / parts)
    return state


def _guarded(drift: Any, jump: Any, state: Matrix, ellipse: Ellipse, duration: float) -> Matrix:
    for _ in range(6):
        after, _ = propagate(_recursion(drift, jump), state, ellipse, duration)
        if abs(np.trace(after).real - np.trace(state).real) < _TRACE_ERROR:
            found: Matrix = after
            return found
        ellipse = ellipse.enlarged(1.25)
    raise ArithmeticError("the master equation of the relaxing pair lost its trace")


def _recursion(
    drift: Any, jump: Any
) -> Callable[[float, float], Callable[[NDArray[Any], NDArray[Any], float], None]]:
    """For `propagate`: before <- scale (L + shift) now - back * before, now Hermitian."""
    size = drift.shape[0]

    def recursion(
        scale: float, shift: float
    ) -> Callable[[NDArray[Any], NDArray[Any], float], None]:
        half = (scale * (drift + 0.5 * shift * sp.eye_array(size))).tocsr()
        emit = (math.sqrt(0.5 * scale) * jump).tocsr()

        def advance(now: NDArray[Any], before: NDArray[Any], back: float) -> None:
            # Half of everything, jumps included, then the sum with its conjugate: what rounding
            # leaves that is not Hermitian would only jump, not decay, and so grow.
            left = half @ now
            left += emit @ (emit @ now.T).T  # the elements of the jump are real
            before *= -back
            before += left
            before += left.conj().T

        return advance

    return recursion


@lru_cache(maxsize=8)
def _single(spin: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """S_z and S^+ of one ensemble, atoms up ascending."""
    size = round(2.0 * spin) + 1
    n = np.arange(1.0, size)
    raising = np.diag(np.sqrt(n * (size - n)), -1)
    z = np.diag(np.arange(size) - spin)
    return np.asarray(z, dtype=np.float64), np.asarray(raising, dtype=np.float64)


@lru_cache(maxsize=8)
def _pair(spin: float) -> tuple[Any, Any]:
    """S1^- + S2^- and S1z - S2z, sparse."""
    z, plus = _single(spin)
    one = sp.eye_array(z.shape[0])
    lower = sp.csr_array(plus.T)
    up = sp.csr_array(z)
    jump = (sp.kron(lower, one) + sp.kron(one, lower)).tocsr()
    return jump, (sp.kron(up, one) - sp.kron(one, up)).tocsr()


@lru_cache(maxsize=8)
def _swapping(spin: float) -> Any:
    """S1^+ S2^- - S1^- S2^+, sparse and real."""
    _, plus = _single(spin)
    raising = sp.csr_array(plus)
    swap = sp.kron(raising, raising.T)
    return (swap - swap.T).tocsr()
