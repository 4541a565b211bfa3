"""Two ensembles with single-spin decay, exactly, at few atoms: the check on the cumulants.

All atoms of an ensemble are alike, so the state stays in the permutation-symmetric part of
its 4^N-dimensional operator space: N atoms as N bosons in four modes, the operators 1,
sigma^x, sigma^y, sigma^z of one atom divided by sqrt(2). That part has (N+1)(N+2)(N+3)/6
dimensions (84 at N = 6), two ensembles its square, and every term of the master equation

    d rho/dt = -i[H, rho] + Gamma D[S1^- + S2^-] rho + gamma sum_j D[sigma_j^-] rho

is a product of one-atom maps lifted to the modes. In this basis the generator is real and
the purity is the square of the vector's length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.integrate import solve_ivp
from scipy.sparse.linalg import spsolve

from ._checks import between
from .cumulants import DecayingEnsembles

Array = NDArray[np.float64]

MOST_ATOMS = 8
"""Largest N = 2S per ensemble: 27 225 dimensions. The cost grows as N^7 Gamma t."""

_UP_DOWN = np.array([[0.0, 1.0], [0.0, 0.0]], dtype=np.complex128)  # sigma^+
_X = _UP_DOWN + _UP_DOWN.T
_Y = -1j * (_UP_DOWN - _UP_DOWN.T)
_Z = np.diag([1.0, -1.0]).astype(np.complex128)
_BASIS = np.stack([np.eye(2), _X, _Y, _Z]) / np.sqrt(2.0)


@dataclass(frozen=True, slots=True)
class ExactTrajectory:
    """Exact means over time; spins in units of hbar, every array (times,).

    Attributes:
        parameters: the pair and its rates.
        times: in the inverse unit of the rates.
        spin_length_x: X = <S1x - S2x>.
        mean_sum_y: <S1y + S2y>.
        variance: Var(S1y + S2y).
        mean_sum_z: <S1z + S2z>.
        purity: tr rho^2.
    """

    parameters: DecayingEnsembles
    times: Array = field(repr=False)
    spin_length_x: Array = field(repr=False)
    mean_sum_y: Array = field(repr=False)
    variance: Array = field(repr=False)
    mean_sum_z: Array = field(repr=False)
    purity: Array = field(repr=False)

    @property
    def xi2(self) -> Array:
        """Wineland parameter 4S Var/X^2 (Chu Eq. 12); infinite where X is zero."""
        with np.errstate(divide="ignore"):
            return 4.0 * self.parameters.spin * self.variance / self.spin_length_x**2


def exact_trajectory(
    parameters: DecayingEnsembles, times: ArrayLike, *, rtol: float = 1e-9
) -> ExactTrajectory:
    """Evolve the full permutation-symmetric state from all atoms down.

    Args:
        parameters: the pair; at most 8 atoms per ensemble (S <= 4).
        times: (n,) ascending, not negative, in the inverse unit of the rates.
        rtol: relative accuracy of each step, between 1e-13 and 1e-3.

    Raises:
        ValueError: on too many atoms, or on times that are negative or do not ascend.
    """
    points = np.asarray(times, dtype=np.float64)
    if points.ndim != 1 or not points.size or not np.all(np.isfinite(points)):
        raise ValueError(
            f"Argument `times` must be a row of finite numbers, but has shape {points.shape}."
        )
    if points[0] < 0.0 or np.any(np.diff(points) <= 0.0):
        raise ValueError("Argument `times` must ascend from zero or above, but does not.")
    rtol = between(rtol, 1e-13, 1e-3, "rtol")
    generator = decaying_generator(parameters)
    solution = solve_ivp(
        lambda _, v: generator @ v,
        (0.0, float(points[-1])),
        all_down_vector(parameters.atoms),
        method="DOP853",
        t_eval=points,
        rtol=rtol,
        atol=1e-3 * rtol,
    )
    return _observed(parameters, points, solution.y)


def exact_decaying_steady_state(parameters: DecayingEnsembles) -> ExactTrajectory:
    """The steady state with single-spin decay, as a trajectory of one point at time infinity.

    Solved as the null vector of the generator. At most 3 atoms per ensemble: beyond, the
    sparse factors fill up, and a long `exact_trajectory` is the cheaper way.

    Raises:
        ValueError: without single-spin decay (the states outside the largest spin then never
            empty, and the steady state depends on the start), or on too many atoms.
    """
    if parameters.single_spin_decay == 0.0:
        raise ValueError(
            "Argument `parameters` must have single_spin_decay above 0 here, but has 0: use "
            "steady_state of the pair without it."
        )
    if parameters.atoms > 3:
        raise ValueError(
            f"Argument `parameters` must have at most 3 atoms per ensemble here, but has "
            f"{parameters.atoms}: use a long exact_trajectory."
        )
    # Row 0 of the generator is empty: the coefficient of the identity never changes.
    generator = decaying_generator(parameters)
    size = generator.shape[0]
    trace = sparse.csr_matrix(([1.0], ([0], [0])), shape=(size, size))
    target = np.zeros(size)
    target[0] = 2.0**-parameters.atoms
    vector = np.asarray(spsolve((generator + trace).tocsc(), target))
    return _observed(parameters, np.array([np.inf]), vector[:, None])


def _observed(parameters: DecayingEnsembles, times: Array, states: Array) -> ExactTrajectory:
    one = _observables(parameters.atoms)
    identity, x, y, z, yy = (one[name] for name in ("1", "x", "y", "z", "yy"))

    def mean(first: Array, second: Array) -> Array:
        value: Array = np.kron(first, second) @ states
        return value

    sum_y = mean(y, identity) + mean(identity, y)
    square = mean(yy, identity) + mean(identity, yy) + 2.0 * mean(y, y)
    return ExactTrajectory(
        parameters=parameters,
        times=times,
        spin_length_x=mean(x, identity) - mean(identity, x),
        mean_sum_y=sum_y,
        variance=square - sum_y**2,
        mean_sum_z=mean(z, identity) + mean(identity, z),
        purity=np.sum(states**2, axis=0),
    )


def decaying_generator(parameters: DecayingEnsembles) -> Any:
    """The real generator of both ensembles, a sparse matrix."""
    atoms = parameters.atoms
    if atoms > MOST_ATOMS:
        raise ValueError(
            f"Argument `parameters` must have at most {MOST_ATOMS} atoms per ensemble (2S), but "
            f"has {atoms}: use the cumulant expansion."
        )
    lower = _UP_DOWN.T
    left, right = left_product(lower), right_product(lower)
    left_up, right_up = left_product(_UP_DOWN), right_product(_UP_DOWN)
    local = left @ right_up - 0.5 * (left_up @ left + right @ right_up)
    half = 0.5 * parameters.detuning_difference
    size = occupations(atoms)[0].shape[0]
    one = sparse.identity(size, format="csr")

    def single(sign: float) -> Any:
        field_ = 0.5 * (parameters.rabi_frequency * _X + sign * half * _Z)
        turn = -1j * (left_product(field_) - right_product(field_))
        return lifted((turn + parameters.single_spin_decay * local).real, atoms)

    def both(map_: NDArray[np.complex128]) -> Any:
        each = lifted(map_, atoms)
        return (sparse.kron(each, one) + sparse.kron(one, each)).tocsr()

    s_left, s_right = both(left), both(right)
    d_left, d_right = both(left_up), both(right_up)
    together = (s_left @ d_right - 0.5 * (d_left @ s_left + s_right @ d_right)).real
    apart = sparse.kron(single(1.0), one) + sparse.kron(one, single(-1.0))
    return (apart + parameters.collective_decay * together).tocsr()


def left_product(operator: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """rho -> operator rho of one atom, in the basis (1, x, y, z)/sqrt(2)."""
    matrix: NDArray[np.complex128] = np.einsum("aij,jk,bki->ab", _BASIS, operator, _BASIS)
    return matrix


def right_product(operator: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """rho -> rho operator of one atom, in the basis (1, x, y, z)/sqrt(2)."""
    matrix: NDArray[np.complex128] = np.einsum("aij,bjk,ki->ab", _BASIS, _BASIS, operator)
    return matrix


@lru_cache(maxsize=16)
def occupations(atoms: int) -> tuple[NDArray[np.int64], dict[tuple[int, ...], int]]:
    """Occupations of the four modes, all in the first one first, and their places."""
    rows = [
        (atoms - a - b - c, a, b, c)
        for a, b, c in product(range(atoms + 1), repeat=3)
        if a + b + c <= atoms
    ]
    return np.array(rows), {row: place for place, row in enumerate(rows)}


def lifted(map_: NDArray[Any], atoms: int) -> Any:
    """The sum over atoms of a one-atom map: sum_ab map_ab b_a^dagger b_b on the modes."""
    rows, places = occupations(atoms)
    i, j, values = [], [], []
    for column, occupation in enumerate(rows):
        for a, b in zip(*np.nonzero(map_), strict=True):
            if not occupation[b]:
                continue
            moved = occupation.copy()
            moved[b] -= 1
            factor = np.sqrt(occupation[b] * (moved[a] + 1.0))
            moved[a] += 1
            i.append(places[tuple(moved)])
            j.append(column)
            values.append(map_[a, b] * factor)
    shape = (rows.shape[0], rows.shape[0])
    return sparse.csr_matrix((values, (i, j)), shape=shape, dtype=map_.dtype)


def _observables(atoms: int) -> dict[str, Array]:
    """Rows that give tr(A rho) of one ensemble: 1, Sx, Sy, Sz and Sy^2."""
    identity = np.zeros(occupations(atoms)[0].shape[0])
    identity[0] = 2.0 ** (0.5 * atoms)
    found = {"1": identity}
    for name, sigma in (("x", _X), ("y", _Y), ("z", _Z)):
        found[name] = (lifted(left_product(0.5 * sigma), atoms) @ identity).real
    twice = lifted(left_product(0.5 * _Y), atoms)
    found["yy"] = (twice @ (twice @ identity)).real
    return found


def all_down_vector(atoms: int) -> Array:
    """Both ensembles with every atom in (1 - sigma^z)/2."""
    rows, _ = occupations(atoms)
    one = np.zeros(rows.shape[0])
    for place, (n0, nx, ny, nz) in enumerate(rows):
        if nx == ny == 0:
            counts = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, atoms + 1)))))
            ways = np.exp(0.5 * (counts[atoms] - counts[n0] - counts[nz]))
            one[place] = ways * (-1.0) ** nz * 2.0 ** (-0.5 * atoms)
    return np.outer(one, one).ravel()
