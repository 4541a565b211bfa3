"""Steady state of the collective spin when the squeezed field is mixed by loss.

No closed form is known, so the null vector of the generator (Bai & An Eq. 7 with
n = eta sinh^2 r, |M| = eta sinh r cosh r) is solved for: up to N = 120 among all |m><m'| of
Sz with m - m' even; above in the eigenbasis of Sy, cut at |m_y| <= Y. There the strong
dephasing e^(2r) Sy keeps the state near m_y = 0, so Y grows like sqrt(N xi2) only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .spins import ladder_elements
from .squeezed_reservoir_generator import (
    HermitianCoordinates,
    lossy_jumps,
    mirror_coordinates,
    parity_coordinates,
    steady_coordinates,
)

_EXACT_ATOMS = 120
_MOST_UNKNOWNS = 120_000
_WANTED = 1e-6
_WIDER = 1.3


@dataclass(frozen=True, slots=True)
class LossyMoments:
    """Moments at alpha = 0: <Sz>, <Sx^2+Sy^2>, <S_-^2>, smallest variance, error of xi2."""

    sz: float
    planar: float
    pair: complex
    v_min: float
    error: float = 0.0


def lossy_moments(
    atoms: int, occupation: float, correlation: float, detuning: float
) -> LossyMoments:
    """Steady moments for n, |M| and Delta_N/A.

    Raises:
        ValueError: when the truncated basis would exceed what a sparse solver takes.
    """
    if atoms <= _EXACT_ATOMS:
        return _full(atoms, occupation, correlation, detuning)
    # <Sy^2> of the linear limit, which sets the width of the state in m_y
    lag = 1.0 + 4.0 * (detuning / atoms) ** 2
    width = math.sqrt(0.25 * atoms * (1.0 + 2.0 * occupation - 2.0 * correlation / lag))
    reach = 5.0 * width + 8.0
    narrow: LossyMoments | None = None
    while True:
        moments = _truncated(atoms, occupation, correlation, detuning, reach)
        if reach >= 0.5 * atoms:
            return moments
        if narrow is not None:
            xi2, other = moments.v_min / moments.sz**2, narrow.v_min / narrow.sz**2
            error = 10.0 * abs(other / xi2 - 1.0)  # the tails fall by a power law
            if error < _WANTED:
                return LossyMoments(moments.sz, moments.planar, moments.pair, moments.v_min, error)
        narrow, reach = moments, _WIDER * reach


def collective_lowering(atoms: int, size: int) -> sparse.csr_array:
    """S_- on the states l = m + j = 0 … size-1, ascending."""
    steps = ladder_elements(0.5 * atoms)[::-1][: size - 1]
    return sparse.csr_array(sparse.diags_array(steps, offsets=1, shape=(size, size)))


def collective_generator(
    atoms: int, size: int, occupation: float, correlation: float, detuning: float
) -> tuple[HermitianCoordinates, sparse.csc_array]:
    """Coordinates and generator (unit decay rate, alpha = 0) on l = 0 … size-1."""
    lowering = collective_lowering(atoms, size)
    levels = np.arange(size)
    hamiltonian = sparse.csr_array(sparse.diags_array(detuning * (levels - 0.5 * atoms)))
    coordinates = parity_coordinates(levels % 2)
    jumps = lossy_jumps(occupation, complex(correlation), lowering)
    return coordinates, coordinates.superoperator(hamiltonian, jumps)


def moments_of(
    atoms: int, populations: NDArray[np.float64], second: NDArray[np.complex128]
) -> tuple[float, float, complex]:
    """<Sz>, <Sx^2+Sy^2>, <S_-^2> from rho[l, l] and rho[l+2, l] of a normalised state."""
    levels = np.arange(populations.size, dtype=np.float64)
    sz = float(populations @ levels) - 0.5 * atoms
    planar = 0.5 * atoms + float(populations @ (levels * (atoms - levels)))
    steps = ladder_elements(0.5 * atoms)[::-1]
    pair = complex((steps[: second.size] * steps[1 : second.size + 1]) @ second)
    return sz, planar, pair


def _full(atoms: int, occupation: float, correlation: float, detuning: float) -> LossyMoments:
    """All states of the spin, in the basis of Sz."""
    coordinates, generator = collective_generator(
        atoms, atoms + 1, occupation, correlation, detuning
    )
    rho = coordinates.matrix(steady_coordinates(generator, 0))
    rho /= np.trace(rho).real
    sz, planar, pair = moments_of(atoms, rho.diagonal().real, rho.diagonal(-2))
    return LossyMoments(sz, planar, pair, 0.5 * (planar - abs(pair)))


def _truncated(
    atoms: int, occupation: float, correlation: float, detuning: float, reach: float
) -> LossyMoments:
    """States |m_y| <= reach in the basis of Sy: Z = Sy is diagonal, Sz and i Sx are real."""
    spin = 0.5 * atoms
    half = 0.5 * (atoms % 2)
    top = min(spin, half + math.ceil(reach - half))
    m = np.arange(-top, top + 0.5)
    if m.size**2 > 2 * _MOST_UNKNOWNS:
        raise ValueError(
            f"Argument `atoms` is too large for this loss: N = {atoms} needs a basis of "
            f"{m.size} states; use gaussian_xi2, which is accurate there."
        )
    steps = np.sqrt((spin - m[:-1]) * (spin + m[1:]))
    up = sparse.csr_array(sparse.diags_array(steps, offsets=-1))
    down = up.T.tocsr()
    z = sparse.csr_array(sparse.diags_array(m))
    x = 0.5 * (up + down)
    iy = 0.5 * (up - down)
    # S_- = -i (Z + iY); the factor drops out of each jump, S_+ = i (Z - iY) takes the sign.
    jumps = _axis_jumps(occupation, correlation, z + iy, z - iy)
    coordinates = mirror_coordinates(m.size)
    generator = coordinates.superoperator(detuning * x, jumps)
    centre = (m.size - 1) // 2  # the representative of its mirror pair
    fixed = int(np.searchsorted(coordinates.real_rows, centre * (m.size + 1)))
    solution = steady_coordinates(generator, fixed)
    trace = float(
        (coordinates.functional(sparse.csr_array(sparse.eye_array(m.size))) @ solution).real
    )

    def mean(operator: sparse.csr_array) -> complex:
        return complex(coordinates.functional(operator) @ solution) / trace

    planar = spin * (spin + 1.0) - mean(x @ x).real
    zz = mean(z @ z).real
    yz = 0.5 * mean(z @ iy + iy @ z).imag
    yy = planar - zz
    spread = math.hypot(yy - zz, 2.0 * yz)
    v_min = 2.0 * (yy * zz - yz**2) / (planar + spread)
    return LossyMoments(mean(x).real, planar, complex(yy - zz, -2.0 * yz), v_min)


def _axis_jumps(
    occupation: float, correlation: float, lowering: sparse.csr_array, raising: sparse.csr_array
) -> list[sparse.csr_array]:
    """`lossy_jumps` with S_- -> lowering, S_+ -> -raising: both real here."""
    matrix = np.array([[occupation + 1.0, correlation], [correlation, occupation]])
    rates, vectors = np.linalg.eigh(matrix)
    return [
        math.sqrt(rate) * (vector[0] * lowering + vector[1] * raising)
        for rate, vector in zip(rates, vectors.T, strict=True)
        if rate > 1e-15 * rates[-1]
    ]
