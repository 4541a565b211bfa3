r"""States to compare two-mode squeezing with: optimum paired, GHZ, and unitary twisting.

A paired state is sum_m a_m |m, m>. Conventions as in `two_mode_squeezing`: X+ and Y- are the
quiet pair for a real staggered a_m, X- and Y+ the sensitive one; N = 4S for two spins S.
Equation numbers: Mamaev et al., PRL 134, 073603 (2025) and supplement, corrected where said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import minimize_scalar

from ._checks import dimension_of, finite, not_negative
from .spins import mirrored_from_middle
from .two_mode_squeezing import checked_elements, spin_elements
from .two_mode_squeezing_dynamics import PairedJumps

Array = NDArray[np.float64]

_SCAN = 400
_SERIES_BELOW = 1.0
_SERIES_TERMS = 24


@dataclass(frozen=True, slots=True)
class PairedMoments:
    """Second moments of a paired state (Mamaev Eqs. S29-S31).

    Attributes:
        x_plus_square: <X+^2> = <Y-^2>.
        x_minus_square: <X-^2> = <Y+^2>.
        least_variance: smallest of any joint quadrature; it belongs to a pair of them.
        length: <Z1 + Z2>.
    """

    x_plus_square: float
    x_minus_square: float
    least_variance: float
    length: float

    @property
    def qfi(self) -> float:
        """Quantum Fisher information of angles about X- and Y+, 4 <X-^2>."""
        return 4.0 * self.x_minus_square


@dataclass(frozen=True, slots=True)
class TwistingOptimum:
    """The first minimum of the Wineland parameter over the twisting angle tau = J t."""

    tau: float
    xi2: float


def paired_moments(amplitudes: ArrayLike, elements: Sequence[float] | Array) -> PairedMoments:
    """Moments of sum_m a_m |m, m> for a ladder o(m); a_m may be complex, O(M).

    Args:
        amplitudes: a_0 … a_M, of any norm above zero.
        elements: o(0) … o(M).
    """
    o = checked_elements(elements)
    a = np.asarray(amplitudes, dtype=np.complex128)
    if a.shape != o.shape or not np.all(np.isfinite(a)) or not np.any(a):
        raise ValueError(
            f"Argument `amplitudes` must hold {o.size} finite numbers, one per level and not "
            f"all zero, but has shape {a.shape}."
        )
    a = a / np.linalg.norm(a)
    weights = a.real**2 + a.imag**2
    down, up = o**2, np.append(o[1:], 0.0) ** 2
    spread = 0.5 * float(weights @ (down + up))
    pair = complex(np.sum(a[:-1].conj() * a[1:] * down[1:]))
    return PairedMoments(
        x_plus_square=spread + pair.real,
        x_minus_square=spread - pair.real,
        least_variance=spread - abs(pair),
        length=float(weights @ (down - up)),
    )


def optimum_paired_amplitudes(spin: float) -> Array:
    """Normalised staggered binomial a_m ~ (-1)^m C(2S, m), m = 0 … 2S (Mamaev Eq. S32).

    Its Q(X-) = Q(Y+) = N(N/2+1) is the largest of all paired states. Its <Z1+Z2> is 0, so a
    linear readout of X+ or Y- sees no signal: take it as a bound.
    """
    top = dimension_of(spin) - 1
    m = np.arange((top + 1) // 2, top, dtype=np.float64)
    sizes = mirrored_from_middle(np.log((top - m) / (m + 1.0)), top + 1)
    signed: Array = np.where(np.arange(top + 1) % 2 == 0, sizes, -sizes)
    return signed


def greatest_paired_information(spin: float) -> float:
    """N (N/2 + 1), the largest Q of two equally sensitive quadratures (Mamaev Sec. V)."""
    atoms = 2 * (dimension_of(spin) - 1)
    return atoms * (0.5 * atoms + 1.0)


def optimum_paired_jumps(spin: float) -> PairedJumps:
    """Jumps S_1^- + R_2 and S_2^- + R_1 whose dark state is the staggered binomial.

    R|m> = (2S-m)^{3/2} (m+1)^{-1/2} |m+1>: the last line of Mamaev Eq. S51 (the first one
    lacks a sign). For S >= 1 the state is the only steady one; for S = 1/2 there are two.

    Raises:
        ValueError: for S = 1/2.
    """
    if dimension_of(spin) == 2:
        raise ValueError(
            "Argument `spin` must be at least 1, but is 0.5: these jumps then have two steady "
            "states."
        )
    o = spin_elements(spin)
    m = np.arange(1, o.size, dtype=np.float64)
    raising = np.concatenate([[0.0], (o.size - m) ** 1.5 / np.sqrt(m)])
    return PairedJumps(o, raising, o, raising)


def ghz_information(spin: float, modes: int = 2) -> Array:
    """(4, 4) quantum Fisher matrix of X+, X-, Y+, Y- for a GHZ state of all atoms.

    Args:
        spin: S of each ensemble.
        modes: 1 for the state of Mamaev Eq. S38, N^2 for X- and nothing beyond N for the
            others; 2 for that of Eq. S42 (with + in the ket), turned to share its
            sensitivity between X- and Y+.

    For two modes and S >= 1, Q(X-) = Q(Y+) = N(N+1)/2 (the middle expression of S43 is twice
    that), but |Q(X-, Y+)| = N(N-1)/2: only one direction has N^2, the other has N.
    """
    if modes not in (1, 2):
        raise ValueError(f"Argument `modes` must be 1 or 2, but is {modes!r}.")
    s = 0.5 * (dimension_of(spin) - 1)
    # covariances of (X1, Y1, Z1, X2, Y2, Z2) in (|0,0> + |M,M>)/sqrt(2); all means vanish
    covariance = np.diag([0.5 * s, 0.5 * s, s * s, 0.5 * s, 0.5 * s, s * s])
    covariance[2, 5] = covariance[5, 2] = s * s
    if s == 0.5:  # one flip of both spins joins the two branches
        covariance[0, 3] = covariance[3, 0] = 0.25
        covariance[1, 4] = covariance[4, 1] = -0.25
    if modes == 1:
        axes = ((0.0, 1.0, 0.0), (0.0, -1.0, 0.0))
    else:
        h = math.sqrt(0.5)
        axes = ((h, h, 0.0), (h, -h, 0.0))
    rows = []
    for component in (0, 1):
        first, second = np.zeros(6), np.zeros(6)
        first[:3] = _quarter_turn(axes[0])[component]
        second[3:] = _quarter_turn(axes[1])[component]
        rows += [first + second, first - second]
    table = np.array(rows)
    information: Array = 4.0 * table @ covariance @ table.T
    return information


def one_axis_xi2(spin: float, tau: float) -> float:
    """Wineland parameter after H = J X1 X2 from all down, tau = J t (Mamaev Eq. S26).

    Minimum over the quadrature angle, closed form; infinite when <Z1+Z2> has vanished.
    """
    atoms = dimension_of(spin) - 1
    s, u = 0.5 * atoms, math.sin(0.5 * finite(tau, "tau")) ** 2
    if u == 1.0:
        return math.inf
    lost = _lost_coherence(atoms, u)
    kept = math.exp((atoms - 1.0) * math.log1p(-u))  # cos(tau/2)^(4S-2)
    along, across = s, s * (1.0 - 0.5 * lost) + s * s * lost
    mixed = 4.0 * s * s * math.sqrt(u * kept)
    greatest = 0.5 * (along + across + math.hypot(along - across, mixed))
    least = s * s * (1.0 - 0.5 * lost + s * _twisting_balance(atoms, u, lost, kept)) / greatest
    length_square = 4.0 * s * s * kept * (1.0 - u)
    return 4.0 * s * least / length_square if length_square > 0.0 else math.inf


def one_axis_optimum(spin: float) -> TwistingOptimum:
    """Best angle and Wineland parameter of H = J X1 X2; N^{2/3} xi^2 -> 1.651 for large N.

    The "2.1/N^{2/3}" of Mamaev Sec. IV is the value near N = 60.

    Raises:
        ValueError: for S = 1/2, where xi^2 has no minimum before <Z1+Z2> vanishes.
    """
    atoms = _more_than_one_atom(spin)
    return _first_minimum(lambda tau: one_axis_xi2(spin, tau), 4.0 / (atoms + 1.0) ** (2.0 / 3.0))


class TwoAxisTwisting:
    """H = J (X1 X2 - Y1 Y2) from all down (Mamaev Eq. S27): paired states, O(S^2) once.

    The squeezed quadratures are (X+ - Y+)/sqrt2 and (X- + Y-)/sqrt2 for J > 0; the signs
    printed with S27 hold for J < 0.
    """

    def __init__(self, spin: float) -> None:
        self._elements = spin_elements(spin)
        self._atoms = 2 * (self._elements.size - 1)
        rungs = 0.5 * self._elements[1:] ** 2
        self._energies, self._modes = eigh_tridiagonal(np.zeros(self._elements.size), rungs)

    def amplitudes(self, tau: float) -> NDArray[np.complex128]:
        """a_m of |m, m> at tau = J t."""
        turned = np.exp(-1j * finite(tau, "tau") * self._energies) * self._modes[0]
        return np.asarray(self._modes @ turned, dtype=np.complex128)

    def xi2(self, tau: float) -> float:
        """Wineland parameter of the best quadrature at tau."""
        moments = paired_moments(self.amplitudes(tau), self._elements)
        return self._atoms * moments.least_variance / moments.length**2

    def optimum(self) -> TwistingOptimum:
        """The first minimum over tau; N xi^2 is 5.1 at N = 200 and 5.3 at N = 2000.

        Raises:
            ValueError: for S = 1/2, where xi^2 has no minimum before <Z1+Z2> vanishes.
        """
        _more_than_one_atom(0.5 * (self._elements.size - 1))
        return _first_minimum(self.xi2, 2.0 * (math.log(2.0 * self._atoms) + 1.0) / self._atoms)


def twisting_quadrature_angle(amplitudes: ArrayLike, elements: Sequence[float] | Array) -> float:
    """Angle phi in [0, pi) of the least noisy cos(phi) X+ + sin(phi) Y+ of a paired state.

    Its partner, equally quiet, is sin(phi) X- - cos(phi) Y-.
    """
    o = checked_elements(elements)
    a = np.asarray(amplitudes, dtype=np.complex128)
    pair = complex(np.sum(a[:-1].conj() * a[1:] * o[1:] ** 2))
    return 0.5 * (math.pi - math.atan2(pair.imag, pair.real)) % math.pi


def _first_minimum(function: Callable[[float], float], reach: float) -> TwistingOptimum:
    """First local minimum of xi^2 above tau = 0, looked for on a grid up to `reach`."""
    grid = np.linspace(0.0, not_negative(reach, "reach"), _SCAN + 1)
    values = [1.0, function(float(grid[1]))]
    while len(values) <= _SCAN and values[-1] <= values[-2]:
        values.append(function(float(grid[len(values)])))
    low, high = float(grid[max(len(values) - 3, 0)]), float(grid[len(values) - 1])
    found = minimize_scalar(
        function, bounds=(low, high), method="bounded", options={"xatol": 1e-10 * high}
    )
    return TwistingOptimum(float(found.x), float(found.fun))


def _lost_coherence(atoms: int, u: float) -> float:
    """1 - cos(tau)^n with u = sin^2(tau/2)."""
    cosine = 1.0 - 2.0 * u
    if cosine > 0.0:
        return -math.expm1(atoms * math.log1p(-2.0 * u))
    return 1.0 - cosine**atoms


def _twisting_balance(atoms: int, u: float, lost: float, kept: float) -> float:
    """1 - (1-2u)^n - 2nu (1-u)^(n-1), by its series from u^3 on where the terms cancel."""
    if 2.0 * atoms * u > _SERIES_BELOW:
        return lost - 2.0 * atoms * u * kept
    total, term = 0.0, -0.5 * atoms * (atoms - 1.0) * u * u  # -C(n,k) (-u)^k at k = 2
    for k in range(3, _SERIES_TERMS):
        term *= -(atoms - k + 1.0) * u / k
        total += term * (2.0**k - 2.0 * k)
    return total


def _more_than_one_atom(spin: float) -> int:
    """2S, at least 2."""
    atoms = dimension_of(spin) - 1
    if atoms == 1:
        raise ValueError(
            "Argument `spin` must be at least 1, but is 0.5: two atoms twisted together have no "
            "minimum of xi^2 before <Z1+Z2> vanishes."
        )
    return atoms


def _quarter_turn(axis: tuple[float, float, float]) -> Array:
    """Rotation matrix of U^dag S U with U = exp(-i pi/2 axis.S), axis of length 1."""
    n = np.array(axis)
    cross = np.array([[0.0, -n[2], n[1]], [n[2], 0.0, -n[0]], [-n[1], n[0], 0.0]])
    turn: Array = np.outer(n, n) + cross
    return turn
