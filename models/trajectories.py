"""Quantum trajectories of two ensembles: pure states between emitted photons.

For ensembles whose density matrix no longer fits in memory, and to see single runs. The
states are real without exchange, and jumps fall where the norm has decayed to a uniform
random number (waiting-time method). At an infidelity of 1e-3 the single runs spread by
about 6e-3: some 4000 of them fix that infidelity to 10 %.

With numba (the optional `fast`) runs go one after the other, compiled, on the blocks J that
they fill (`trajectories_kernel`); without it side by side as array columns. Every run draws
from a generator of its own, so both ways follow the same runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ._checks import whole
from .relaxation import spectral_ellipse
from .relaxation_generator import Array, Generator, Matrix, generator
from .relaxation_propagator import rising_times
from .two_ensembles import TwoEnsembles

_DEGREE = 11  # of the Taylor polynomial of one step
_STEP = 1.0  # length of a step in units of 1/|K|: truncation error below 1/12! = 2e-9
_BISECTIONS = 45
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class Trajectories:
    """Single runs from all atoms down; arrays are (runs, times), spins in units of hbar.

    Attributes:
        parameters: the pair.
        times: where the rest is given.
        fidelity: |<psi|phi>|^2 with the steady state psi.
        spin_length_x: <phi|S1x - S2x|phi>.
        spin_length_y: <phi|S1y - S2y|phi>.
        mean_y: <phi|S1y + S2y|phi>.
        square_y: <phi|(S1y + S2y)^2|phi>.
        photons: jumps so far.
    """

    parameters: TwoEnsembles
    times: Array
    fidelity: Array = field(repr=False)
    spin_length_x: Array = field(repr=False)
    spin_length_y: Array = field(repr=False)
    mean_y: Array = field(repr=False)
    square_y: Array = field(repr=False)
    photons: NDArray[np.int64] = field(repr=False)

    @property
    def variance(self) -> Array:
        """Var(S1y + S2y) of the ensemble of runs, at each time."""
        result: Array = self.square_y.mean(axis=0) - self.mean_y.mean(axis=0) ** 2
        return result


def average(values: Array | NDArray[np.int64]) -> tuple[Array, Array]:
    """Mean over the runs and its standard error, for each time; at least two runs."""
    runs = values.shape[0]
    if runs < 2:
        raise ValueError(f"Argument `values` must hold at least 2 runs, but holds {runs}.")
    return np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / math.sqrt(runs)


def trajectories(
    parameters: TwoEnsembles,
    times: Sequence[float] | Array,
    runs: int,
    rng: np.random.Generator,
) -> Trajectories:
    """Follow `runs` independent runs from all atoms down.

    Args:
        parameters: the pair; exchange is allowed.
        times: rising, not negative, in the inverse unit of the rates.
        runs: how many, at least 1.
        rng: source of the jumps, drawn from once a run; the same state gives the same runs.

    Raises:
        ValueError: on times that fall or are negative, or on no runs.
    """
    wanted = rising_times(times)
    count = whole(runs, "runs", least=1)
    system = generator(parameters)
    seeds = rng.integers(0, 2**63, count)
    walk, follow = Walk(system, wanted), compiled_runs(system, wanted)
    if follow is not None:
        table = np.stack([walk.read(*follow(np.random.default_rng(seed))) for seed in seeds])
    else:
        batch = max(1, _NUMBERS_AT_ONCE // ((_DEGREE + 1) * system.size))
        table = np.concatenate(
            [walk.follow(seeds[first : first + batch]) for first in range(0, count, batch)]
        )
    fidelity, x, y, mean_y, square_y, photons = np.moveaxis(table, 2, 0).copy()
    return Trajectories(
        parameters, wanted, fidelity, x, y, mean_y, square_y, photons.astype(np.int64)
    )


def compiled_runs(
    system: Generator, times: Array
) -> Callable[[np.random.Generator], tuple[Matrix, NDArray[np.int64]]] | None:
    """The compiled run, where numba is installed; numba is loaded here and not before."""
    try:
        from .trajectories_kernel import CompiledRuns
    except ImportError:
        return None
    return CompiledRuns(system, times).follow


class Walk:
    """Runs side by side, each with its own clock, advancing by its own step."""

    columns = 5
    """Numbers that `look` gives for each run."""

    def __init__(self, system: Generator, times: Array) -> None:
        self._system = system
        self._times = times
        rows, columns, values = system.observables
        shape = (system.size, system.size)
        self._observables = [sp.csr_matrix((row, (rows, columns)), shape=shape) for row in values]

    def read(self, states: Matrix, photons: NDArray[np.int64]) -> Array:
        """Rows (times, 6) of one run from its states (states, times) and photons (times,)."""
        return np.column_stack((self.look(states), photons.astype(np.float64)))

    def follow(self, seeds: NDArray[np.int64]) -> Array:
        """Rows (runs, times, columns + 1): what `look` gives, and the photons."""
        runs = seeds.size
        sources = [np.random.default_rng(seed) for seed in seeds]
        ellipse = spectral_ellipse(self._system)
        fastest = 0.5 * float(np.max(self._system.decay))
        longest = _STEP / math.hypot(0.5 * ellipse.imaginary, fastest)
        start = self._system.all_down().astype(self._system.drift.dtype)
        phi: Matrix = np.repeat(start[:, None], runs, axis=1)
        table = np.zeros((runs, self._times.size, self.columns + 1))
        index = np.arange(runs)
        clock, photons = np.zeros(runs), np.zeros(runs)
        upcoming = np.zeros(runs, dtype=np.int64)
        threshold = np.array([1.0 - source.random() for source in sources])
        while True:
            while (due := np.flatnonzero(clock >= self._times[upcoming])).size:
                table[index[due], upcoming[due], :-1] = self.look(phi[:, due])
                table[index[due], upcoming[due], -1] = photons[due]
                upcoming[due] += 1
                going = upcoming < self._times.size
                if not going.all():
                    phi, index, clock = phi[:, going], index[going], clock[going]
                    photons, upcoming = photons[going], upcoming[going]
                    threshold = threshold[going]
            if index.size == 0:
                return table
            remaining = self._times[upcoming] - clock
            length = np.minimum(longest, remaining)
            terms = self._taylor(phi)
            phi = np.einsum("kin,kn->in", terms, _powers(length, _DEGREE))
            jumps = np.sum(np.abs(phi) ** 2, axis=0) <= threshold
            hit = np.flatnonzero(jumps)
            clock = np.where(length == remaining, self._times[upcoming], clock + length)
            if hit.size:
                early = _time_of_jump(terms[:, :, hit], length[hit], threshold[hit])
                clock[hit] += early - length[hit]
                moment = np.einsum("kin,kn->in", terms[:, :, hit], _powers(early, _DEGREE))
                phi[:, hit] = self._jump(moment)
                photons[hit] += 1
                threshold[hit] = [1.0 - sources[run].random() for run in index[hit]]

    def _taylor(self, phi: Matrix) -> Matrix:
        """K^k phi / k!, k = 0 … degree."""
        terms = np.empty((_DEGREE + 1, *phi.shape), dtype=phi.dtype)
        terms[0] = phi
        for k in range(1, _DEGREE + 1):
            np.divide(self._system.drift @ terms[k - 1], k, out=terms[k])
        return terms

    def _jump(self, phi: Matrix) -> Matrix:
        after = np.zeros_like(phi)
        after[:-1] = self._system.jump[:-1, None] * phi[1:]
        return np.asarray(after / np.linalg.norm(after, axis=0))

    def look(self, phi: Matrix) -> Array:
        """Fidelity and four spin expectations of the normalised states, (runs, 5)."""
        weight = np.sum(np.abs(phi) ** 2, axis=0)
        values = [np.abs(self._system.target.conj() @ phi) ** 2]
        values += [np.sum(phi.conj() * (matrix @ phi), axis=0).real for matrix in self._observables]
        result: Array = (np.array(values) / weight).T
        return result


def _powers(length: Array, degree: int) -> Array:
    powers: Array = length ** np.arange(degree + 1)[:, None]
    return powers


def _time_of_jump(terms: Matrix, length: Array, threshold: Array) -> Array:
    """When, within steps of `length`, the norm of each run falls to its threshold."""
    degree = terms.shape[0] - 1
    norm = np.zeros((2 * degree + 1, length.size))  # coefficients of powers of the time
    for k in range(degree + 1):
        norm[k : k + degree + 1] += np.einsum("in,lin->ln", terms[k].conj(), terms).real
    low, high = np.zeros(length.size), length
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        late = np.sum(norm * _powers(middle, 2 * degree), axis=0) <= threshold
        high = np.where(late, middle, high)
        low = np.where(late, low, middle)
    return high
