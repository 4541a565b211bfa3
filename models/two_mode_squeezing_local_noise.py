r"""Two-mode squeezing with relaxation and dephasing of every atom: exact for small numbers.

    d rho/dt = gamma (D[Gamma_a] + D[Gamma_b]) rho
             + gamma_- sum_j D[sigma_j^-] rho + gamma_z sum_j D[sigma_j^z] rho   (Mamaev Eq. S59)

with Pauli sigma^z: a coherence of one spin decays at 2 gamma_z + gamma_-/2. Time in units of
1/gamma, gamma = 1.

A density matrix that is unchanged by permuting the atoms of one ensemble is a state of n
bosons in the four modes |u><u|, |u><d|, |d><u|, |d><d|; every term above is then bilinear in
their ladder operators. From all atoms down only equal coherence numbers of both ensembles
appear (charge conservation): 26, 195, 820 elements for N = 4, 8, 12, of which exchange and
transposition leave about a quarter. N = 24 takes a second, N = 32 half a minute.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import gammaln

from ._checks import not_negative, whole
from .two_mode_squeezing_dynamics import PairEvolution, checked_rate_squeezing
from .two_mode_squeezing_propagation import Orbits, evolve_vector_gently, steady_vector

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_LARGEST_ENSEMBLE = 20
_UU, _UD, _DU, _DD = range(4)


class _Ensemble:
    """Superoperators of n atoms on permutation-symmetric matrices, sorted by coherence number.

    Attributes:
        coherence: n_ud - n_du of every basis element, ascending.
        lower_ket: rho -> J_- rho.
        lower_bra: rho -> rho J_+.
        trace: Tr of every basis element.
    """

    def __init__(self, atoms: int) -> None:
        self.atoms = atoms
        grid = np.indices((atoms + 1,) * 3).reshape(3, -1)
        grid = grid[:, grid.sum(axis=0) <= atoms]
        occupations = np.vstack([grid, atoms - grid.sum(axis=0)])
        order = np.argsort(occupations[_UD] - occupations[_DU], kind="stable")
        self._n = occupations[:, order]
        self.coherence = self._n[_UD] - self._n[_DU]
        self._place = np.full((atoms + 1,) * 3, -1)
        self._place[tuple(self._n[:3])] = np.arange(order.size)
        self.lower_ket = self._hop(_UD, _DD) + self._hop(_UU, _DU)
        self.lower_bra = self._hop(_DU, _DD) + self._hop(_UU, _UD)
        up, down = self._n[_UU], self._n[_DD]
        roots = np.exp(0.5 * (gammaln(atoms + 1) - gammaln(up + 1) - gammaln(down + 1)))
        self.trace: Array = np.where(up + down == atoms, roots, 0.0)

    @property
    def all_down(self) -> int:
        """Index of |d…d><d…d|."""
        return int(self._place[0, 0, 0])

    @property
    def transposed(self) -> Indices:
        """Index of the transpose of every basis element."""
        return np.asarray(self._place[self._n[_UU], self._n[_DU], self._n[_UD]])

    def block(self, coherence: int) -> slice:
        """Where the elements of one coherence number lie."""
        ends = np.searchsorted(self.coherence, [coherence, coherence + 1])
        return slice(int(ends[0]), int(ends[1]))

    def generator(self, squeezing: float, relaxation: float, dephasing: float) -> sparse.csr_array:
        """All terms of the master equation that touch only this ensemble."""
        c2, s2 = math.cosh(squeezing) ** 2, math.sinh(squeezing) ** 2
        k, b = self.lower_ket, self.lower_bra
        total = c2 * (k @ b - 0.5 * (k.T @ k + b.T @ b))
        total = total + s2 * (k.T @ b.T - 0.5 * (k @ k.T + b @ b.T))
        up, mixed = self._n[_UU], self._n[_UD] + self._n[_DU]
        loss = relaxation * (up + 0.5 * mixed) + 2.0 * dephasing * mixed
        total = total + relaxation * self._hop(_UU, _DD) - sparse.diags_array(loss)
        return sparse.csr_array(total)

    def readings(self) -> tuple[Array, Array, Array]:
        """The functionals Tr(J_- rho), Tr(J_x^2 rho) (for rho of coherence 0), Tr(J_z rho)."""
        lower = self.lower_ket.T @ self.trace
        down_up = self.lower_ket.T @ (self.lower_ket @ self.trace)  # Tr(J_+ J_- rho), transposed
        up_down = self.lower_ket @ (self.lower_ket.T @ self.trace)
        return lower, 0.25 * (down_up + up_down), 0.5 * (down_up - up_down)

    def _hop(self, source: int, target: int) -> sparse.csr_array:
        """b_target^+ b_source on orthonormal occupation states."""
        moved = self._n.copy()
        moved[source] -= 1
        moved[target] += 1
        allowed = self._n[source] > 0
        rows = self._place[tuple(moved[:3, allowed])]
        values = np.sqrt(self._n[source] * (self._n[target] + 1.0))[allowed]
        size = allowed.size
        return sparse.csr_array((values, (rows, np.flatnonzero(allowed))), shape=(size, size))


class LocalNoiseSector:
    """Both ensembles at equal coherence numbers, reduced by transposition and exchange.

    Args:
        atoms1, atoms2: atoms in each ensemble.

    Attributes:
        start: the vector of all atoms down.
        trace: the functional Tr rho.
        orbits: which elements share an entry.

    Raises:
        ValueError: on more than 20 atoms in an ensemble.
    """

    def __init__(self, atoms1: int, atoms2: int) -> None:
        n1, n2 = whole(atoms1, "atoms1", least=1), whole(atoms2, "atoms2", least=1)
        if max(n1, n2) > _LARGEST_ENSEMBLE:
            raise ValueError(
                f"Arguments `atoms1`, `atoms2` must not exceed {_LARGEST_ENSEMBLE}, but are "
                f"{atoms1!r} and {atoms2!r}: the exact problem grows as N^5; use the mean field."
            )
        self._one = _Ensemble(n1)
        self._two = self._one if n1 == n2 else _Ensemble(n2)
        reach = min(n1, n2)
        blocks = [(self._one.block(c), self._two.block(c)) for c in range(-reach, reach + 1)]
        self._blocks = blocks
        sizes = [(a.stop - a.start) * (b.stop - b.start) for a, b in blocks]
        self._offsets = np.concatenate([[0], np.cumsum(sizes)])
        grids = [np.mgrid[a, b].reshape(2, -1) for a, b in blocks]
        self._index1, self._index2 = np.concatenate(grids, axis=1)
        turned1 = self._one.transposed[self._index1]
        turned2 = self._two.transposed[self._index2]
        images = [self._find(turned1, turned2)]
        if n1 == n2:
            images += [self._find(self._index2, self._index1), self._find(turned2, turned1)]
        self.orbits = Orbits.of(self._index1.size, *images)
        self.trace = self._functional(self._one.trace, self._two.trace)
        down = self._find(np.array([self._one.all_down]), np.array([self._two.all_down]))
        self.start = np.zeros(self.orbits.size)
        self.start[self.orbits.class_of[down]] = 1.0

    def liouvillian(
        self, squeezing: float, relaxation: float, dephasing: float
    ) -> sparse.csr_array:
        """The generator for gamma = 1.

        The jumps couple the ensembles only through -cosh r sinh r (V1 V2 + V1^T V2^T), where
        V rho = [J_-, rho].
        """
        r = checked_rate_squeezing(squeezing)
        g1, g2 = (e.generator(r, relaxation, dephasing) for e in (self._one, self._two))
        v1, v2 = (e.lower_ket - e.lower_bra.T for e in (self._one, self._two))
        strength = -0.5 * math.sinh(2.0 * r)
        parts: list[tuple[Array, Indices, Indices]] = []
        for at, (a, b) in enumerate(self._blocks):
            one, two = sparse.eye_array(a.stop - a.start), sparse.eye_array(b.stop - b.start)
            own = sparse.kron(g1[a, a], two) + sparse.kron(one, g2[b, b])
            parts.append(self._placed(sparse.coo_array(own), at, at))
            if at > 0:
                to_a, to_b = self._blocks[at - 1]
                across = sparse.coo_array(strength * sparse.kron(v1[to_a, a], v2[to_b, b]))
                parts.append(self._placed(across, at - 1, at))
                parts.append(self._placed(sparse.coo_array(across.T), at, at - 1))
        data, rows, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
        size = int(self._offsets[-1])
        return self.orbits.restrict(sparse.csr_array((data, (rows, columns)), shape=(size, size)))

    def evolution(self, vectors: Array, times: Array) -> PairEvolution:
        """Moments of the quadratures for reduced vectors, one per row."""
        lower1, square1, z1 = self._one.readings()
        lower2, square2, z2 = self._two.readings()
        trace1, trace2 = self._one.trace, self._two.trace
        same = self._functional(square1, trace2) + self._functional(trace1, square2)
        rows = [same, self._functional(lower1, lower2)]
        rows += [self._functional(z1, trace2), self._functional(trace1, z2)]
        spread, pair, s1, s2 = (vectors @ np.stack(rows).T).T
        counts = np.bincount(self.orbits.class_of).astype(np.float64)
        return PairEvolution(
            times=times,
            x_plus_square=spread + pair,
            x_minus_square=spread - pair,
            z1=s1,
            z2=s2,
            purity=(vectors**2) @ counts,
            atoms=self._one.atoms + self._two.atoms,
        )

    def _functional(self, first: Array, second: Array) -> Array:
        """The product of a functional of each ensemble."""
        return self.orbits.functional(first[self._index1] * second[self._index2])

    def _find(self, index1: Indices, index2: Indices) -> Indices:
        """Indices in the sector of pairs of basis elements."""
        at = self._one.coherence[index1] - self._one.coherence[self._blocks[0][0].start]
        starts1 = np.array([a.start for a, _ in self._blocks])[at]
        starts2 = np.array([b.start for _, b in self._blocks])[at]
        widths = np.array([b.stop - b.start for _, b in self._blocks])[at]
        return np.asarray(self._offsets[at] + (index1 - starts1) * widths + index2 - starts2)

    def _placed(
        self, block: sparse.coo_array, to: int, source: int
    ) -> tuple[Array, Indices, Indices]:
        """Values, rows and columns of a block at its place in the sector."""
        rows, columns = np.asarray(block.row), np.asarray(block.col)
        return (
            np.asarray(block.data, dtype=np.float64),
            rows + self._offsets[to],
            columns + self._offsets[source],
        )


def prepare_with_local_noise(
    atoms1: int,
    atoms2: int,
    squeezing: float,
    times: Sequence[float],
    *,
    relaxation: float = 0.0,
    dephasing: float = 0.0,
) -> PairEvolution:
    """Evolve all atoms down under Mamaev Eq. S59, exactly, for N up to about 32.

    Args:
        atoms1, atoms2: atoms in each ensemble.
        squeezing: r, at most 4.
        times: any times >= 0, units of 1/gamma.
        relaxation: gamma_- / gamma.
        dephasing: gamma_z / gamma, for D[sigma^z] with the Pauli matrix.
    """
    noise = not_negative(relaxation, "relaxation"), not_negative(dephasing, "dephasing")
    asked = np.array([not_negative(time, "times") for time in times])
    sector = LocalNoiseSector(atoms1, atoms2)
    generator = sector.liouvillian(squeezing, *noise)
    vectors = evolve_vector_gently(generator, sector.start, asked)
    vectors = vectors / (vectors @ sector.trace)[:, None]  # takes out the drift of rounding
    return sector.evolution(vectors, asked)


def local_noise_steady_state(
    atoms1: int,
    atoms2: int,
    squeezing: float,
    *,
    relaxation: float = 0.0,
    dephasing: float = 0.0,
) -> PairEvolution:
    """The steady state of Mamaev Eq. S59, exactly; arrays of length 1, at time infinity.

    Raises:
        ValueError: without any local noise (the collective spins are then conserved and the
            steady state depends on the start; use prepared_steady_state).
    """
    noise = not_negative(relaxation, "relaxation"), not_negative(dephasing, "dephasing")
    if max(noise) == 0.0:
        raise ValueError(
            "Arguments `relaxation` and `dephasing` must not both be 0: without local noise the "
            "spin lengths are conserved; use prepared_steady_state."
        )
    sector = LocalNoiseSector(atoms1, atoms2)
    vector = steady_vector(sector.liouvillian(squeezing, *noise), sector.trace)
    return sector.evolution(vector[None, :], np.array([math.inf]))
