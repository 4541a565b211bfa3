"""L ensembles with paired detunings and chiral exchange: their pure steady state.

L spins S (2S atoms each) share a drive Omega and a collective decay Gamma; ensemble l has
the detuning d_l, and

    H = sum_l (Omega S_l^x + d_l S_l^z) + (i chi/2) sum_{l>k} (S_k^+ S_l^- - S_k^- S_l^+).

When the detunings pair as +d, -d the steady state is pure and dark. For neighbours that
pair it is a product of two-ensemble states; any other order follows by gates that
exchange neighbouring detunings (Chu Eqs. 20-26). chi = +Gamma is the one-way cascade in
which ensemble k drives l > k. Conventions: hbar = 1, angular rates in one unit, every
axis of a state in the order m = S … -S, ensembles numbered from 1 as in the paper. Equation
numbers: Chu et al., "Reconfigurable dissipative entanglement".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ._checks import dimension_of, finite, positive
from .many_ensembles_swaps import apply_spectrum, swap_phases
from .spins import coupled_amplitudes
from .two_ensembles import TwoEnsembles, steady_state

ComplexArray = NDArray[np.complex128]

_PAIRING_TOLERANCE = 1e-9
_COPIES = 3  # of the amplitudes, alive at one time while a gate is applied
DEFAULT_MEMORY_LIMIT = 2.0**31


@dataclass(frozen=True, slots=True)
class ManyEnsembles:
    """Parameters of L ensembles, angular rates in one unit.

    Args:
        spin: S of each ensemble, a positive multiple of 1/2.
        rabi_frequency: common drive Omega, above zero; `math.inf` is the large-drive limit.
        detunings: d_1 … d_L, L even, such that every d has a partner -d (to a relative
            1e-9 of the largest).
        exchange: chiral exchange chi; its sign is the direction of the cascade.

    Raises:
        ValueError: on any value outside these rules, and when the steady state is not
            unique: without exchange, detunings that vanish or occur twice.

    The collective decay Gamma decides how fast the state forms, not which.
    """

    spin: float
    rabi_frequency: float
    detunings: tuple[float, ...]
    exchange: float = 0.0

    def __post_init__(self) -> None:
        dimension_of(self.spin)
        if self.rabi_frequency != math.inf:
            positive(self.rabi_frequency, "rabi_frequency")
        finite(self.exchange, "exchange")
        object.__setattr__(self, "detunings", tuple(float(value) for value in self.detunings))
        pairs = detuning_pairs(self.detunings)
        if self.exchange == 0.0 and not _distinct(self.detunings, pairs):
            raise ValueError(
                "Argument `detunings` must neither vanish nor repeat when `exchange` is 0, but is "
                f"{self.detunings!r}: the steady state then depends on the start."
            )

    @property
    def dimension(self) -> int:
        """2S+1."""
        return dimension_of(self.spin)

    @property
    def ensembles(self) -> int:
        """L."""
        return len(self.detunings)


@dataclass(frozen=True, slots=True, eq=False)
class ManyEnsembleState:
    """The steady state of L ensembles.

    Attributes:
        parameters: what it is the steady state of.
        amplitudes: complex tensor with L axes of length 2S+1, m descending on each.
    """

    parameters: ManyEnsembles
    amplitudes: ComplexArray = field(repr=False)

    @property
    def populations(self) -> NDArray[np.float64]:
        """Probabilities |amplitude|^2 of (m_1, …, m_L), m descending on each axis."""
        squares: NDArray[np.float64] = np.abs(self.amplitudes) ** 2
        return squares

    @property
    def all_down_population(self) -> float:
        """Probability of finding every atom down (m_l = -S)."""
        return float(abs(self.amplitudes.flat[-1]) ** 2)


def detuning_pairs(detunings: Sequence[float]) -> tuple[tuple[int, int], ...]:
    """Positions (from 0) of the partners +d, -d, each ensemble with its first free partner.

    Raises:
        ValueError: on an odd or empty list, a detuning that is not finite, or one without
            a partner. In the last case the steady state is mixed: solve the master
            equation instead.
    """
    values = [finite(value, "detunings") for value in detunings]
    if not values or len(values) % 2:
        raise ValueError(
            "Argument `detunings` must hold an even number of values, at least 2, "
            f"but holds {len(values)}."
        )
    tolerance = _PAIRING_TOLERANCE * max(abs(value) for value in values)
    free = list(range(len(values)))
    pairs = []
    while free:
        first = free.pop(0)
        partners = [k for k in free if abs(values[k] + values[first]) <= tolerance]
        if not partners:
            raise ValueError(
                "Argument `detunings` must pair as +d and -d, but "
                f"{values[first]:g} of ensemble {first + 1} has no partner {-values[first]:g}: "
                "the steady state is then mixed; solve the master equation instead."
            )
        free.remove(partners[0])
        pairs.append((first, partners[0]))
    return tuple(pairs)


def has_unique_pure_state(detunings: Sequence[float], exchange: float) -> bool:
    """Whether L ensembles with these detunings have one steady state, and that one pure.

    Detunings must pair as +d, -d; without exchange they must also be all different and
    none zero. Holds for equal spins, a common drive and a common coupling to the cavity
    (Chu Sec. II; the null space of the Liouvillian confirms it at L = 4, S = 1/2).
    """
    try:
        pairs = detuning_pairs(detunings)
    except ValueError:
        return False
    return finite(exchange, "exchange") != 0.0 or _distinct(tuple(detunings), pairs)


def many_ensemble_state(
    parameters: ManyEnsembles, memory_limit: float = DEFAULT_MEMORY_LIMIT
) -> ManyEnsembleState:
    """Solve L ensembles exactly, for any order of the detunings (Chu Eq. 26).

    Args:
        parameters: the ensembles; `rabi_frequency` may be infinite.
        memory_limit: most bytes to use, by default 2 GiB.

    Raises:
        ValueError: when 48 (2S+1)^L bytes exceed `memory_limit`.

    At most L(L-2)/2 gates, each of (4/3)(2S+1)^(L+1) multiply-adds.
    """
    check_memory(parameters.dimension, parameters.ensembles, memory_limit)
    detunings = parameters.detunings
    exact = list(detunings)
    order: list[int] = []
    dimers = []
    for first, second in detuning_pairs(detunings):
        half = 0.5 * (detunings[first] - detunings[second])
        exact[first], exact[second] = half, -half
        order += [first, second]
        dimers.append(
            pair_amplitudes(
                parameters.spin, 2.0 * half, parameters.exchange, parameters.rabi_frequency
            )
        )
    amplitudes: ComplexArray = reduce(np.multiply.outer, dimers)
    for axis, left, right in _swaps(order):
        if exact[left] != exact[right]:
            phases = swap_phases(parameters.spin, exact[left], exact[right], parameters.exchange)
            amplitudes = apply_spectrum(amplitudes, axis, phases)
    amplitudes.flags.writeable = False
    return ManyEnsembleState(parameters, amplitudes)


def pair_amplitudes(
    spin: float, detuning_difference: float, exchange: float, rabi_frequency: float
) -> ComplexArray:
    """The two-ensemble steady state in the basis |m1, m2>, both descending (Chu Eq. 8).

    An infinite `rabi_frequency` gives the singlet |J=0, m=0> (Chu Eq. D4, where the
    second spin should read -m1).
    """
    dimension = dimension_of(spin)
    coefficients = np.ones(1, dtype=np.complex128)
    if rabi_frequency != math.inf:
        pair = TwoEnsembles(spin, rabi_frequency, detuning_difference, exchange)
        coefficients = steady_state(pair).amplitudes
    psi = np.zeros((dimension, dimension), dtype=np.complex128)
    for total, coefficient in enumerate(coefficients):
        up = np.arange(dimension - total)
        psi[dimension - 1 - up, total + up] = coefficient * coupled_amplitudes(spin, total)
    return psi


def check_memory(dimension: int, ensembles: int, memory_limit: float) -> None:
    """Refuse a state of (2S+1)^L amplitudes that does not fit into `memory_limit` bytes."""
    need = 16.0 * _COPIES * float(dimension) ** ensembles
    if need > memory_limit:
        raise ValueError(
            f"Argument `memory_limit` must be at least {need:.3g} bytes for {ensembles} ensembles "
            f"of {dimension - 1} atoms, but is {memory_limit:.3g}: take fewer or smaller "
            "ensembles, or a chain (matrix product state)."
        )


def _distinct(detunings: tuple[float, ...], pairs: Iterable[tuple[int, int]]) -> bool:
    """Whether no detuning vanishes and no pair repeats another."""
    sizes = sorted(0.5 * abs(detunings[i] - detunings[j]) for i, j in pairs)
    tolerance = _PAIRING_TOLERANCE * sizes[-1]
    steps = [high - low for low, high in zip([0.0, *sizes], sizes, strict=False)]
    return min(steps) > tolerance


def _swaps(order: Sequence[int]) -> Iterable[tuple[int, int, int]]:
    """Bubble sort: (axis, left, right) for each exchange of neighbours, in time order."""
    current = list(order)
    for last in range(len(current) - 1, 0, -1):
        for axis in range(last):
            left, right = current[axis], current[axis + 1]
            if left > right:
                current[axis], current[axis + 1] = right, left
                yield axis, left, right
