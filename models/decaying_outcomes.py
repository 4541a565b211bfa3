"""What counting finds when single atoms decay while two ensembles relax; exact, for few atoms.

The state lives in the permutation-symmetric operator space of `cumulants_exact`: a matrix (n, n),
one index for each ensemble, (N+1)(N+2)(N+3)/6 = n. Pulses act on the two indices; the joint
distribution of the atoms and all second moments of the spins are linear in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from ._checks import not_negative
from .cumulants import DecayingEnsembles
from .cumulants_exact import (
    all_down_vector,
    decaying_generator,
    left_product,
    lifted,
    occupations,
    right_product,
)

Array = NDArray[np.float64]

_RTOL = 1e-8

_UP = np.array([[0.0, 1.0], [0.0, 0.0]], dtype=np.complex128)  # sigma^+, up first
_PAULI = (_UP + _UP.T, -1j * (_UP - _UP.T), np.diag([1.0, -1.0]).astype(np.complex128))


@dataclass(frozen=True, slots=True)
class Turn:
    """A time without coupling to the cavity; angular rates.

    Attributes:
        rabi, phase: drive, and phase of its axis in radians.
        detuning: difference of the ensembles' detunings.
        duration: in the inverse unit of the rates.
        written: differential phase written in no time, radians.
    """

    rabi: float
    phase: float
    detuning: float
    duration: float
    written: float = 0.0


def decaying_state(parameters: DecayingEnsembles, time: float) -> Array:
    """The state (n, n) after `time` from all atoms down; at most 8 atoms in each ensemble.

    Raises:
        ValueError: on more atoms, or a negative time.
    """
    duration = not_negative(time, "time")
    generator = decaying_generator(parameters)
    start = all_down_vector(parameters.atoms)
    if duration > 0.0:
        start = solve_ivp(
            lambda _, v: generator @ v,
            (0.0, duration),
            start,
            method="DOP853",
            t_eval=[duration],
            rtol=_RTOL,
            atol=1e-3 * _RTOL,
        ).y[:, -1]
    size = occupations(parameters.atoms)[0].shape[0]
    return start.reshape(size, size)


def turned(state: Array, atoms: int, turns: Iterable[Turn], decay: float = 0.0) -> Array:
    """The state after pulses and dark times, single atoms decaying at the rate `decay`."""
    for turn in turns:
        maps = (_map(atoms, turn, sign, decay) for sign in (1.0, -1.0))
        first, second = maps
        state = first @ state @ second.T
    return state


def decaying_populations(state: Array, atoms: int) -> Array:
    """P(n1, n2), (N+1, N+1), atoms up ascending."""
    rows = _projections(atoms)
    table: Array = rows @ state @ rows.T
    return table


@dataclass(frozen=True, slots=True)
class TotalSpin:
    """Moments of J = S1 + S2, and of the difference along x and y.

    Attributes:
        mean: (3,), of Jx, Jy, Jz.
        second: (3, 3), symmetrised products.
        difference: (2,), of S1x - S2x and S1y - S2y.
    """

    mean: Array
    second: Array
    difference: Array


def total_spin(state: Array, atoms: int) -> TotalSpin:
    """The moments of a state."""
    one, single, pairs = _spin_rows(atoms)
    first, second = single @ state @ one, one @ state @ single.T
    both = single @ state @ single.T
    square = np.einsum("xyi,ij,j->xy", pairs, state, one)
    square += np.einsum("i,ij,xyj->xy", one, state, pairs) + both + both.T
    return TotalSpin(first + second, square, (first - second)[:2])


def _map(atoms: int, turn: Turn, sign: float, decay: float) -> Array:
    """What a turn does to one ensemble, (n, n)."""
    axis = np.cos(turn.phase) * _PAULI[0] + np.sin(turn.phase) * _PAULI[1]
    angle = sign * (0.5 * turn.detuning * turn.duration + turn.written)
    field = 0.5 * (turn.rabi * turn.duration * axis + angle * _PAULI[2])
    step = -1j * (left_product(field) - right_product(field))
    if decay:
        lower, product = _UP.T, _UP @ _UP.T
        lost = left_product(lower) @ right_product(_UP)
        lost = lost - 0.5 * (left_product(product) + right_product(product))
        step = step + decay * turn.duration * lost
    whole: Array = expm(lifted(step.real, atoms).toarray())
    return whole


@lru_cache(maxsize=8)
def _projections(atoms: int) -> Array:
    """Rows that give the probability of n atoms up in one ensemble, (N+1, n).

    For a product of one-atom operators the generating function sum_n z^n P(n) is the product of
    tr(up) z + tr(down): a polynomial in z for each occupation of the modes 1 and sigma^z.
    """
    rows, _ = occupations(atoms)
    found = np.zeros((atoms + 1, rows.shape[0]))
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1.0, atoms + 1.0)))))
    for place, (none, x, y, z) in enumerate(rows):
        if x or y:
            continue
        law = np.polynomial.polynomial.polymul(
            np.polynomial.polynomial.polypow([1.0, 1.0], int(none)),
            np.polynomial.polynomial.polypow([-1.0, 1.0], int(z)),
        )
        ways = np.exp(0.5 * (logs[atoms] - logs[none] - logs[z]))
        found[:, place] = ways * law * 2.0 ** (-0.5 * atoms)
    return found


@lru_cache(maxsize=8)
def _spin_rows(atoms: int) -> tuple[Array, Array, Array]:
    """Rows of 1 (n,), of Sx, Sy, Sz (3, n), and of their symmetrised products (3, 3, n)."""
    one = np.zeros(occupations(atoms)[0].shape[0])
    one[0] = 2.0 ** (0.5 * atoms)
    maps: list[Any] = [lifted(left_product(0.5 * sigma), atoms) for sigma in _PAULI]
    single = np.array([(each @ one).real for each in maps])
    products = np.array([[a @ (b @ one) for b in maps] for a in maps])
    return one, single, np.real(0.5 * (products + products.transpose(1, 0, 2)))
