r"""Generalised two-mode squeezed states of two spins, or of any two equal ladders of levels.

Each subsystem i = 1, 2 has levels |m>, m = 0 … M, and O|m> = o(m)|m-1>, o(0) = 0. The state is

    |psi(r)> = Norm * sum_m (-tanh r)^m |m, m>                     (Mamaev Eq. 1),

with X = (O^+ + O)/2, Y = -i(O^+ - O)/2, Z = (O^+ O - O O^+)/2 and X+- = X1 +- X2. X+ and Y-
are squeezed by e^{-2r}, X- and Y+ anti-squeezed by e^{2r}. For spins M = 2S, |0> is all atoms
down, Z = m - S, and N = 4S atoms are shared equally by the two ensembles.

Equation numbers: Mamaev et al., PRL 134, 073603 (2025), "Non-Gaussian generalized two-mode
squeezing", and its supplement (S…). Formulas here differ from the printed ones where those
cancel in double precision (8, S70) or are misprinted (S71, S73).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ._checks import dimension_of, not_negative, whole
from .spins import ladder_elements

Array = NDArray[np.float64]

LARGEST_SQUEEZING = 150.0
PARAMETERS = ("X+", "X-", "Y+", "Y-")

_SERIES_BELOW = 0.1
_FLAT_ABOVE = 350.0


@dataclass(frozen=True, slots=True)
class TwoModeSqueezedState:
    """Figures of merit of |psi(r)>; spins in units of hbar.

    Attributes:
        squeezing: r.
        squeezed_variance: <X+^2> = <Y-^2>.
        antisqueezed_variance: <X-^2> = <Y+^2>.
        length: <Z1 + Z2>, negative.
        atoms: N = 4S for spins, None for other ladders.
    """

    squeezing: float
    squeezed_variance: float
    antisqueezed_variance: float
    length: float
    atoms: int | None = None

    @property
    def qfi_large(self) -> float:
        """Quantum Fisher information of an angle about X- or Y+ (Mamaev Eq. 4)."""
        return 4.0 * self.antisqueezed_variance

    @property
    def qfi_small(self) -> float:
        """Quantum Fisher information of an angle about X+ or Y- (Mamaev Eq. 4)."""
        return 4.0 * self.squeezed_variance

    @property
    def qfi_matrix(self) -> Array:
        """(4, 4) quantum Fisher matrix of angles about X+, X-, Y+, Y- (Mamaev Eq. 4)."""
        return np.diag([self.qfi_small, self.qfi_large, self.qfi_large, self.qfi_small])

    @property
    def mean_commutators(self) -> Array:
        """(4, 4) values of -i <[W_j, W_k]> for W = X+, X-, Y+, Y-.

        Two angles can be estimated jointly at their quantum limits when their entry is 0:
        (X-, Y+), (X+, Y-), (X+, X-) and (Y+, Y-) can, (X+, Y+) and (X-, Y-) cannot.
        """
        table = np.zeros((4, 4))
        table[0, 2] = table[1, 3] = self.length
        return table - table.T

    @property
    def squeezing_ratio(self) -> float:
        """<X+^2> / <Z1+Z2>^2 = 1/Q_large: the variance of a small angle from one shot."""
        return self.squeezed_variance / self.length**2

    @property
    def xi2(self) -> float:
        """Wineland parameter N <X+^2> / <Z1+Z2>^2 (Mamaev Eq. 8); below 1 is squeezed.

        Raises:
            ValueError: for a ladder that is not made of atoms.
        """
        if self.atoms is None:
            raise ValueError(
                "Argument `atoms` must be set for a Wineland parameter, but is None: this "
                "ladder is not a spin; use squeezing_ratio."
            )
        return self.atoms * self.squeezing_ratio


@dataclass(frozen=True, slots=True)
class LogarithmicDerivative:
    """A symmetric logarithmic derivative: `factor` times the quadrature `observable`.

    Measuring that quadrature reads the angle about `parameter` at its quantum limit.
    """

    parameter: str
    observable: str
    factor: float


@dataclass(frozen=True, slots=True)
class Quadratures:
    """X+, X-, Y+, Y-, Z1, Z2 as sparse matrices on |m1, m2>, index m1 (M+1) + m2, ascending."""

    x_plus: sparse.csr_array = field(repr=False)
    x_minus: sparse.csr_array = field(repr=False)
    y_plus: sparse.csr_array = field(repr=False)
    y_minus: sparse.csr_array = field(repr=False)
    z1: sparse.csr_array = field(repr=False)
    z2: sparse.csr_array = field(repr=False)


def two_mode_squeezed_spins(spin: float, squeezing: float) -> TwoModeSqueezedState:
    """|psi(r)> of two spins S in closed form (Mamaev Eqs. 4, 8, S70); S to 1e6 and beyond.

    The reduced state of one ensemble is a thermal spin, coth(x/2) = cosh 2r, and -<Z_i> its
    Brillouin function. This form is a difference of at most a quarter of its first term,
    whereas Eqs. 8 and S70 as printed lose all digits at S = 10, r = 8.

    Args:
        spin: S of each ensemble, a positive multiple of 1/2.
        squeezing: r, from 0 to 150 (beyond e^{2r} >> S nothing changes but <X+^2> -> 0).

    Raises:
        ValueError: on a spin or a squeezing outside these rules.
    """
    levels = dimension_of(spin)
    r = checked_squeezing(squeezing)
    x = thermal_exponent(r)
    half = 0.5 * levels * _langevin(0.5 * levels * x) - 0.5 * _langevin(0.5 * x)
    return TwoModeSqueezedState(
        squeezing=r,
        squeezed_variance=math.exp(-2.0 * r) * half,
        antisqueezed_variance=math.exp(2.0 * r) * half,
        length=-2.0 * half,
        atoms=2 * (levels - 1),
    )


def two_mode_squeezed(elements: Sequence[float] | Array, squeezing: float) -> TwoModeSqueezedState:
    """|psi(r)> of any ladder, from its matrix elements o(0) … o(M) (Mamaev Eq. 4).

    Args:
        elements: o(m), the first of them 0.
        squeezing: r, from 0 to 150.
    """
    o = checked_elements(elements)
    r = checked_squeezing(squeezing)
    x = thermal_exponent(r)
    m = np.arange(1, o.size, dtype=np.float64)
    weights = np.exp(-x * (m - 1.0)) if math.isfinite(x) else m == 1.0
    thermal = float(weights @ o[1:] ** 2)
    # e^{2r} tanh^{2m} / (cosh sinh)^2 with one tanh^2 taken out: nothing over- or underflows
    half_sech = 1.0 / (1.0 + math.exp(-2.0 * r))
    missing = -math.expm1(-x * o.size)
    large = 2.0 * thermal * (2.0 * half_sech) ** 4 / (math.exp(2.0 * r) * missing)
    return _from_information(large, r)


def two_photon_squeezed(squeezing: float) -> TwoModeSqueezedState:
    """|psi(r)> of two modes that lose photons in pairs, o(m) = sqrt(2m(2m-1)), M infinite.

    Closed form Q_large = 4 (1 - e^{2r} + e^{4r}); Mamaev Eq. S71 prints e^{-2r}.
    """
    r = checked_squeezing(squeezing)
    shrunk = math.exp(-2.0 * r)
    return _from_information(4.0 * math.exp(4.0 * r) * (1.0 - shrunk + shrunk**2), r)


def hard_core_squeezed(levels: int, squeezing: float) -> TwoModeSqueezedState:
    """|psi(r)> of two modes of at most M photons, o(m) = sqrt(m), m <= M (Mamaev Eq. S73).

    Args:
        levels: M, at least 1. Q_large tends to 4M for r -> infinity; (S73) prints sech(2r)
            where sech(r)^2 stands.
        squeezing: r.
    """
    top = whole(levels, "levels", least=1)
    return two_mode_squeezed(np.sqrt(np.arange(top + 1, dtype=np.float64)), squeezing)


def two_photon_elements(levels: int) -> Array:
    """o(m) = sqrt(2m(2m-1)) for m = 0 … M, pairs of photons (Mamaev Sec. XIII)."""
    m = np.arange(whole(levels, "levels", least=1) + 1, dtype=np.float64)
    elements: Array = np.sqrt(2.0 * m * np.maximum(2.0 * m - 1.0, 0.0))
    return elements


def spin_elements(spin: float) -> Array:
    """o(m) = sqrt(m(2S+1-m)) for m = 0 … 2S: the lowering operator of a spin S."""
    return np.concatenate([[0.0], ladder_elements(spin)[::-1]])


def greatest_information(elements: Sequence[float] | Array) -> float:
    """Q_large for r -> infinity, 8 |O|^2 / (M+1) (Mamaev Eqs. 6, 7); 4M(M+2)/3 for spins."""
    o = checked_elements(elements)
    return float(8.0 * (o @ o) / o.size)


def two_mode_amplitudes(levels: int, squeezing: float) -> Array:
    """Normalised amplitudes of |m, m>, m = 0 … M, in |psi(r)> (Mamaev Eq. 1).

    Args:
        levels: M; 2S for spins.
        squeezing: r.
    """
    top = whole(levels, "levels", least=1)
    r = checked_squeezing(squeezing)
    m = np.arange(top + 1, dtype=np.float64)
    x = thermal_exponent(r)
    if not math.isfinite(x):
        return np.asarray(m == 0.0, dtype=np.float64)
    sizes = np.exp(-0.5 * x * m)
    amplitudes: Array = np.where(m % 2 == 0, sizes, -sizes) / np.linalg.norm(sizes)
    return amplitudes


def logarithmic_derivatives(squeezing: float) -> dict[str, LogarithmicDerivative]:
    """The four symmetric logarithmic derivatives, by the quadrature that turns (Mamaev Eq. 5).

    L_{X+-} = 2 e^{-+2r} Y+-  and  L_{Y+-} = -2 e^{+-2r} X+-.
    """
    r = checked_squeezing(squeezing)
    large, small = 2.0 * math.exp(2.0 * r), 2.0 * math.exp(-2.0 * r)
    rules = {"X+": ("Y+", small), "X-": ("Y-", large), "Y+": ("X+", -large), "Y-": ("X-", -small)}
    return {name: LogarithmicDerivative(name, *rule) for name, rule in rules.items()}


def quadratures(elements: Sequence[float] | Array) -> Quadratures:
    """The joint quadratures of a ladder as sparse matrices (Mamaev Eqs. 2, 3)."""
    o = checked_elements(elements)
    steps, one = o[1:], sparse.eye_array(o.size)
    above = np.append(o[1:], 0.0) ** 2
    x = sparse.csr_array(np.diag(0.5 * steps, 1) + np.diag(0.5 * steps, -1))
    y = sparse.csr_array(np.diag(0.5j * steps, 1) - np.diag(0.5j * steps, -1))
    z = sparse.csr_array(np.diag(0.5 * (o**2 - above)))

    def pair(matrix: sparse.csr_array) -> tuple[sparse.csr_array, sparse.csr_array]:
        return sparse.csr_array(sparse.kron(matrix, one)), sparse.csr_array(
            sparse.kron(one, matrix)
        )

    (x1, x2), (y1, y2), (z1, z2) = pair(x), pair(y), pair(z)
    return Quadratures(x1 + x2, x1 - x2, y1 + y2, y1 - y2, z1, z2)


def thermal_exponent(squeezing: float) -> float:
    """x = -2 ln tanh r without cancellation; infinite at r = 0."""
    if squeezing == 0.0:
        return math.inf
    return 2.0 * math.log1p(2.0 / math.expm1(2.0 * squeezing))


def checked_squeezing(squeezing: float) -> float:
    """Return r when it lies between 0 and 150; raise ValueError otherwise."""
    r = not_negative(squeezing, "squeezing")
    if r > LARGEST_SQUEEZING:
        raise ValueError(
            f"Argument `squeezing` must not exceed {LARGEST_SQUEEZING:g}, but is {squeezing!r}: "
            "e^{4r} leaves the range of doubles, and the limit r -> infinity is long reached."
        )
    return r


def checked_elements(
    elements: Sequence[float] | Array, name: str = "elements", *, zero: bool = False
) -> Array:
    """Return o(0) … o(M) as an array when it is a ladder that ends at |0>; else ValueError.

    With `zero` all entries may be 0.
    """
    o = np.array(elements, dtype=np.float64)
    sound = o.ndim == 1 and o.size >= 2 and bool(np.all(np.isfinite(o))) and o[0] == 0.0
    if not sound or not (zero or np.any(o)):
        rule = "o(0) = 0" if zero else "o(0) = 0 and not all zero"
        raise ValueError(
            f"Argument `{name}` must be a row of at least two finite numbers o(m), with "
            f"{rule}, but is {elements!r}."
        )
    return o


def _from_information(large: float, r: float) -> TwoModeSqueezedState:
    """The state of a ladder from Q_large = NQ e^{2r}."""
    return TwoModeSqueezedState(
        squeezing=r,
        squeezed_variance=0.25 * large * math.exp(-4.0 * r),
        antisqueezed_variance=0.25 * large,
        length=-0.5 * large * math.exp(-2.0 * r),
    )


def _langevin(y: float) -> float:
    """coth y - 1/y, by its series where the two terms nearly cancel."""
    if y < _SERIES_BELOW:
        y2 = y * y
        tail = 2.0 / 945.0 - y2 * (1.0 / 4725.0 - y2 * 2.0 / 93555.0)
        return y * (1.0 / 3.0 - y2 * (1.0 / 45.0 - y2 * tail))
    if y > _FLAT_ABOVE:
        return 1.0 - 1.0 / y if math.isfinite(y) else 1.0
    return 1.0 / math.tanh(y) - 1.0 / y
