r"""Counting two ensembles after the engineered dissipation: the law of the atoms found up.

The dissipation of Mamaev Eq. 10 (S54) keeps the charge m1 - m2 of bra and ket equal, so that the
state of two ensembles of M1 and M2 atoms is, with s = x1 - y1 = x2 - y2,

    rho = sum_s sum_{x1, x2} C_s[x1, x2] |x1, x2><x1 - s, x2 - s|,     C real for real couplings.

Turning ensemble j by the angle A_j and counting gives, with Wigner's d,

    P[n1, n2] = sum_s cos(s f) sum_{x1, x2} d1[n1, x1] d1[n1, x1 - s] C_s[x1, x2]
                                            d2[n2, x2] d2[n2, x2 - s],

exactly. Only the sum f of all phases enters, for nothing singles out a differential one. At
A = pi/2 and f = 0, n1 + n2 reads X_+ and n1 - n2 reads X_-; at f = pi, Y_+ and Y_-
(Mamaev Eqs. 2, 3; X_+ and Y_- are the squeezed ones).

Valid for any real jumps L1 + R2, L2 + R1 of `PairedJumps`: unequal ensembles, unequal pairs of
beams, any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ._checks import finite, positive
from .spins import wigner_d
from .two_mode_squeezing import spin_elements
from .two_mode_squeezing_dynamics import ChargeSector, PairedJumps
from .two_mode_squeezing_propagation import evolve_vector, steady_vector

Array = NDArray[np.float64]

SETTLED = 1e-8
"""Largest difference of any element from the steady state at which it counts as reached."""


@dataclass(frozen=True, slots=True)
class PairState:
    """A state of two ensembles without coherence between different charges.

    Attributes:
        coherences: C_s[x1, x2] for s = 0 … min(M1, M2), (orders, M1+1, M2+1), atoms up
            ascending; zero where x1 < s or x2 < s. C_{-s} is the same, mirrored.
    """

    coherences: Array = field(repr=False)

    @classmethod
    def all_down(cls, atoms1: int, atoms2: int) -> PairState:
        """|0, 0>, from which every preparation begins."""
        coherences = np.zeros((min(atoms1, atoms2) + 1, atoms1 + 1, atoms2 + 1))
        coherences[0, 0, 0] = 1.0
        return cls(coherences)

    @property
    def atoms(self) -> tuple[int, int]:
        """M1 and M2."""
        return self.coherences.shape[1] - 1, self.coherences.shape[2] - 1

    @property
    def populations(self) -> Array:
        """(M1+1, M2+1) probabilities of x1 and x2 atoms up."""
        table: Array = self.coherences[0]
        return table

    @property
    def length(self) -> float:
        """<Z1 + Z2>, atoms."""
        ups = np.add.outer(*(np.arange(size + 1.0) - 0.5 * size for size in self.atoms))
        return float(np.sum(ups * self.populations))

    @property
    def squeezed_variance(self) -> float:
        """<X_+^2> = <Y_-^2>, atoms squared (Mamaev Eq. 3)."""
        o1, o2 = (np.append(spin_elements(0.5 * size), 0.0) for size in self.atoms)
        spread = 0.25 * np.add.outer(o1[:-1] ** 2 + o1[1:] ** 2, o2[:-1] ** 2 + o2[1:] ** 2)
        pair = np.outer(o1[:-1], o2[:-1]) * self.coherences[1]
        return float(np.sum(spread * self.populations) + np.sum(pair))

    @property
    def xi2(self) -> float:
        """Wineland parameter N <X_+^2> / <Z1 + Z2>^2 (Mamaev Eq. 8); infinite without length."""
        length = self.length
        return sum(self.atoms) * self.squeezed_variance / length**2 if length else np.inf

    def outcomes(self, angles: tuple[float, float], phase: float) -> Array:
        """(M1+1, M2+1) probabilities of the atoms found up after a turn.

        Args:
            angles: A_1, A_2: of the turn of each ensemble, radians.
            phase: f: 0 reads X (of both), pi reads Y, for angles of pi/2.
        """
        turn = finite(phase, "phase")
        first, second = (
            wigner_d(0.5 * size, finite(angle, "angles"))[::-1, ::-1]
            for size, angle in zip(self.atoms, angles, strict=True)
        )
        table = np.zeros(self.populations.shape)
        for order, coherence in enumerate(self.coherences):
            both = _products(first, order) @ coherence[order:, order:] @ _products(second, order).T
            table += (np.cos(order * turn) * (2.0 if order else 1.0)) * both
        kept: Array = np.maximum(table, 0.0)  # rounding leaves some -1e-17
        return kept / float(kept.sum())


@dataclass(frozen=True, slots=True)
class PairLight:
    """A time of constant light; strengths are square roots of rates, 1/s under the root.

    Attributes:
        duration: s.
        lower: Of O1 in the first and of O2 in the second jump: sqrt(gamma) cosh r for both where
            the two pairs of beams are alike.
        lift: Of O2^+ in the first and of O1^+ in the second: sqrt(gamma) sinh r.
    """

    duration: float
    lower: tuple[float, float]
    lift: tuple[float, float]

    def jumps(self, atoms1: int, atoms2: int) -> tuple[PairedJumps, float]:
        """The jumps in units of the fastest of the four rates, and that rate, 1/s.

        The unit stays finite where r does not: close to equal beams, or without the lowering ones.
        """
        o1, o2 = spin_elements(0.5 * atoms1), spin_elements(0.5 * atoms2)
        most = positive(max(*self.lower, *self.lift), "lower, lift")
        (l1, l2), (r2, r1) = (
            tuple(value / most for value in pair) for pair in (self.lower, self.lift)
        )
        return PairedJumps(l1 * o1, r1 * o1, l2 * o2, r2 * o2), most**2


def evolved(state: PairState, light: PairLight) -> PairState:
    """The state after some light, exactly; costs 0.3 s for 20 atoms in each ensemble."""
    if not any((*light.lower, *light.lift)) or light.duration == 0.0:
        return state
    jumps, rate = light.jumps(*state.atoms)
    sector = ChargeSector(jumps, reduced=_from_all_down(state))
    start = sector.from_coherences(state.coherences)
    vector = evolve_vector(sector.liouvillian, start, np.array([light.duration * rate]))[0]
    return PairState(sector.coherences(vector / float(vector @ sector.trace)))


def evolved_from_all_down(
    atoms1: int, atoms2: int, light: PairLight
) -> tuple[PairState, float | None]:
    """The state after some light on |0, 0>, and since when it has been the steady one.

    Returns:
        The state, and a time in s from which on, with this light, it differs from the steady
        state by less than `SETTLED`; None where it does not yet at the end.
    """
    jumps, rate = light.jumps(atoms1, atoms2)
    sector = ChargeSector(jumps)
    end = light.duration * rate
    half, last = evolve_vector(sector.liouvillian, sector.start, np.array([0.5 * end, end]))
    state = PairState(sector.coherences(last / float(last @ sector.trace)))
    stands = float(np.max(np.abs(half - last))) < SETTLED and all((*light.lower, *light.lift))
    if not stands:
        return state, None
    steady = steady_vector(sector.liouvillian, sector.trace)
    return state, 0.5 * light.duration if _same(steady, (half, last)) else None


def _same(steady: Array, vectors: Sequence[Array]) -> bool:
    """Whether all of them are the steady one."""
    return all(float(np.max(np.abs(vector - steady))) < SETTLED for vector in vectors)


def _from_all_down(state: PairState) -> bool:
    """Whether the state is |0, 0>, which has every symmetry that the light may have."""
    return bool(state.coherences[0, 0, 0] == 1.0)


def _products(turn: Array, order: int) -> Array:
    """(n, x) of d[n, x] d[n, x - order], x from `order` on."""
    return np.asarray(turn[:, order:] * turn[:, : turn.shape[1] - order])
