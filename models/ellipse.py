"""Counting statistics of the Ramsey readout with a common phase that is new in every shot.

After the phase phi both ensembles get one pulse about an axis at the common phase theta,
and n_j = S + m_j atoms are counted in each. With theta uniform (Chu Eq. 16),

    P(n1, n2 | phi) = sum_J p_J |a_J(n1, n2)|^2,
    a_J = sum_mu d(beta)[m1, mu] d(beta)[m2, -J-mu] <S,mu;S,-J-mu|J,-J> e^{-i phi (2 mu + J)},

for any pulse area beta. Outcomes are ascending, n = 0 … 2S, ensemble 1 along the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ._checks import dimension_of, finite, not_negative, whole
from .spins import coupled_amplitudes, ladder_elements, wigner_d
from .table_draws import cells_of
from .two_ensembles import SteadyState, log_weights_derivative

Array = NDArray[np.float64]

_CHUNK_BYTES = 2**23


@dataclass(frozen=True, slots=True)
class OutcomeDerivatives:
    """P(n1, n2) and its derivatives, each (2S+1, 2S+1), rows n1, columns n2, ascending.

    Attributes:
        P: probabilities.
        d_phase: by the differential phase phi.
        d_pulse_area: by the pulse area beta.
        d_log_ratio: by ln(Delta/Omega), through the weights p_J.
    """

    P: Array = field(repr=False)
    d_phase: Array = field(repr=False)
    d_pulse_area: Array = field(repr=False)
    d_log_ratio: Array = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecondMoments:
    """Mean squares of m1+m2 and m1-m2 for a uniform common phase."""

    sum_square: float
    difference_square: float


class EllipseReadout:
    """Outcome distributions for one spin S; keeps the coupling coefficients between calls.

    Args:
        spin: S of each ensemble.
        max_J: largest total spin that will be asked for, 0 … 2S.
        weight_cutoff: weights p_J at or below it are left out of the sum.

    Cost: 8 (2S+1)^2 S multiply-adds per J (half of the plain sum, by the symmetry under
    exchange of the ensembles); derivatives add only terms of order (2S+1)^2, because a
    change of phi or beta acts on the outcome index as a tridiagonal matrix. Memory: about
    ten tables of (2S+1)^2 doubles, with 8 MiB of work space beyond where those are small.
    """

    def __init__(self, spin: float, max_J: int, *, weight_cutoff: float = 1e-13) -> None:
        self._dimension = dimension_of(spin)
        self._spin = float(spin)
        self._max_j = whole(max_J, "max_J")
        if self._max_j >= self._dimension:
            raise ValueError(
                f"Argument `max_J` must not exceed 2S = {self._dimension - 1}, but is {max_J!r}."
            )
        self._cutoff = not_negative(weight_cutoff, "weight_cutoff")
        self._couplings = [_half_couplings(self._spin, j) for j in range(self._max_j + 1)]
        self._ladder = ladder_elements(self._spin)[::-1].copy()  # step n -> n+1, ascending
        self._turned: tuple[float, Array] | None = None

    @property
    def spin(self) -> float:
        """S of each ensemble."""
        return self._spin

    @property
    def atoms(self) -> int:
        """2S, the largest outcome."""
        return self._dimension - 1

    @property
    def max_J(self) -> int:
        """The largest total spin this readout can sum over."""
        return self._max_j

    def distribution(
        self,
        weights: Array | SteadyState,
        phase: float,
        pulse_area: float = math.pi / 2.0,
    ) -> Array:
        """P[n1, n2] for a uniform common phase (Chu Eq. 16, any pulse area).

        Args:
            weights: p_J, J = 0, 1, …, or the steady state that has them.
            phase: phi in radians.
            pulse_area: beta in radians.

        Returns:
            (2S+1, 2S+1) probabilities, symmetric, adding to the sum of the weights used.

        Raises:
            ValueError: on weights that are negative, not finite, or reach beyond max_J.
        """
        kept, roots = self._relevant(weights)
        total = np.zeros((self._dimension, self._dimension))
        for _, parts in self._parts(kept, roots, phase, pulse_area):
            flat = parts.reshape(-1, self._dimension, self._dimension)
            total += np.einsum("kab,kab->ab", flat, flat)
        return total

    def derivatives(
        self,
        weights: Array | SteadyState,
        phase: float,
        pulse_area: float = math.pi / 2.0,
        weight_derivative: Array | None = None,
    ) -> OutcomeDerivatives:
        """P and its exact derivatives by phi, beta and ln(Delta/Omega).

        Args:
            weights, phase, pulse_area: as in `distribution`.
            weight_derivative: d ln p_J / d ln(Delta/Omega), as long as the weights (see
                `log_weights_derivative`). May be left out for a steady state without
                exchange.
        """
        slopes = _slopes(weights, weight_derivative)
        kept, roots = self._relevant(weights)
        d = self._dimension
        sums = np.zeros((2, d * d))
        current = np.zeros((d - 1, d))
        overlap = np.zeros((d - 1, d))
        for chosen, parts in self._parts(kept, roots, phase, pulse_area):
            squares = np.einsum("jkab,jkab->jab", parts, parts)
            table = np.stack([np.ones(chosen.size), slopes[chosen]])
            sums += table @ squares.reshape(chosen.size, d * d)
            real, imaginary = parts[:, 0], parts[:, 1]
            current += np.einsum("jab,jab->ab", imaginary[:, :-1], real[:, 1:])
            current -= np.einsum("jab,jab->ab", real[:, :-1], imaginary[:, 1:])
            flat = parts.reshape(-1, d, d)
            overlap += np.einsum("kab,kab->ab", flat[:, :-1], flat[:, 1:])
        probability, by_ratio = sums.reshape(2, d, d)
        return OutcomeDerivatives(
            P=probability,
            d_phase=math.sin(pulse_area) * self._divergence(current),
            d_pulse_area=self._divergence(overlap),
            d_log_ratio=by_ratio,
        )

    def distribution_at(
        self,
        amplitudes: NDArray[np.complex128] | SteadyState,
        phase: float,
        common_phase: float,
        pulse_area: float = math.pi / 2.0,
    ) -> Array:
        """P[n1, n2] when the common phase theta is known: |sum_J c_J i^J e^{iJ theta} a_J|^2.

        The pulse is U^dag exp[-i beta (S1x + S2x)] U with U = exp[-i theta (S1z + S2z)], so
        that at beta = pi/2 the mean of n1 and n2 is S + X/2 sin(phi +- theta).

        Args:
            amplitudes: c_J, J = 0, 1, …, or the steady state that has them.
            phase, pulse_area: as in `distribution`.
            common_phase: theta in radians.
        """
        c = amplitudes.amplitudes if isinstance(amplitudes, SteadyState) else amplitudes
        theta = finite(common_phase, "common_phase")
        kept, roots = self._relevant(np.abs(c) ** 2)
        turn = np.exp(1j * (np.angle(c) + np.arange(len(c)) * (theta + math.pi / 2.0)))
        wave = np.zeros((self._dimension, self._dimension), dtype=np.complex128)
        for chosen, parts in self._parts(kept, roots, phase, pulse_area):
            wave += np.einsum("j,jab->ab", turn[chosen], parts[:, 0] - 1j * parts[:, 1])
        return wave.real**2 + wave.imag**2

    def _relevant(self, weights: Array | SteadyState) -> tuple[NDArray[np.intp], Array]:
        """The J that count, and sqrt(p_J)."""
        p = np.asarray(weights.weights if isinstance(weights, SteadyState) else weights)
        if p.ndim != 1 or not p.size or not np.all(np.isfinite(p)) or np.any(p < 0.0):
            raise ValueError(
                "Argument `weights` must be a row of finite numbers p_J, none negative, "
                f"but has shape {p.shape} and values {p!r}."
            )
        kept = np.flatnonzero(p > self._cutoff)
        if kept.size and kept[-1] > self._max_j:
            raise ValueError(
                f"Argument `weights` must not exceed {self._cutoff:g} beyond max_J = "
                f"{self._max_j}, but p_{kept[-1]} is {p[kept[-1]]:g}."
            )
        return kept, np.sqrt(p[kept])

    def _parts(
        self, kept: NDArray[np.intp], roots: Array, phase: float, pulse_area: float
    ) -> Iterator[tuple[NDArray[np.intp], Array]]:
        """Yield (J values, sqrt(p_J) times [Re a_J, -Im a_J]) in chunks of bounded memory."""
        d, phase = self._dimension, finite(phase, "phase")
        turned = self._turn(finite(pulse_area, "pulse_area"))
        per_chunk = max(1, _CHUNK_BYTES // (16 * d * d))
        for start in range(0, kept.size, per_chunk):
            chosen = kept[start : start + per_chunk]
            parts = np.empty((chosen.size, 2, d, d))
            for slot, j in enumerate(chosen):
                self._amplitude(int(j), roots[start + slot], phase, turned, parts[slot])
            yield chosen, parts

    def _amplitude(self, j: int, root: float, phase: float, turned: Array, out: Array) -> None:
        """Write root * [Re a_J, -Im a_J]: the sum over 2 mu + J >= 0, then its mirror image."""
        d, couplings = self._dimension, self._couplings[j]
        n = d - 1 - j
        first = (n + 1) // 2
        nu = phase * (2.0 * np.arange(first, n + 1) - n)
        right = turned[n - first :: -1]  # the partner of mu is -J - mu
        scaled = np.empty((n + 1 - first, 2 * d))
        np.multiply(right, (root * couplings * np.cos(nu))[:, None], out=scaled[:, :d])
        np.multiply(right, (root * couplings * np.sin(nu))[:, None], out=scaled[:, d:])
        product = turned[first : n + 1].T @ scaled
        even, odd = product[:, :d], product[:, d:]
        if n % 2 == 0:
            np.add(even, even.T, out=out[0])
            np.subtract(odd, odd.T, out=out[1])
        else:
            np.subtract(even, even.T, out=out[0])
            np.add(odd, odd.T, out=out[1])

    def _turn(self, pulse_area: float) -> Array:
        """d(beta) transposed, [mu, m] both ascending; the last pulse area is kept."""
        if self._turned is None or self._turned[0] != pulse_area:
            matrix = wigner_d(self._spin, pulse_area)[::-1, ::-1].T
            self._turned = (pulse_area, np.ascontiguousarray(matrix))
        return self._turned[1]

    def _divergence(self, flow: Array) -> Array:
        """Change of P by a flow between neighbouring n1, plus the same for n2 by exchange."""
        weighted = self._ladder[:, None] * flow
        change = np.zeros((self._dimension, self._dimension))
        change[:-1] += weighted
        change[1:] -= weighted
        return change + change.T


def second_moments(
    state: SteadyState, phase: float, pulse_area: float = math.pi / 2.0
) -> SecondMoments:
    """Mean squares of m1+m2 and m1-m2 in closed form, uniform common phase, any pulse area."""
    spin, p = state.parameters.spin, state.weights
    j = np.arange(p.size, dtype=np.float64)
    quiet = 0.5 * state.mean_J
    mean_j_square = float(p @ (j * j))
    loud = 0.5 * (4.0 * spin * (spin + 1.0) - mean_j_square - state.mean_J - 0.25 * state.qfi)
    c2, s2 = math.cos(finite(phase, "phase")) ** 2, math.sin(phase) ** 2
    kept, turned = math.cos(finite(pulse_area, "pulse_area")) ** 2, math.sin(pulse_area) ** 2
    return SecondMoments(
        sum_square=kept * mean_j_square + turned * (quiet * c2 + loud * s2),
        difference_square=kept * 0.25 * state.qfi + turned * (loud * c2 + quiet * s2),
    )


def fisher_information(probability: Array, derivatives: Sequence[Array]) -> Array:
    """Classical Fisher information of one shot, sum over outcomes of dP_a dP_b / P.

    Args:
        probability: P over outcomes, any shape.
        derivatives: dP by each parameter, each in the shape of `probability`.

    Returns:
        (k, k) for k derivatives. Outcomes of probability zero are left out: exactly at
        phi = pi/4 parity makes cells 0/0 and the sum falls short by some per cent.
    """
    p = np.asarray(probability, dtype=np.float64).ravel()
    slopes = np.stack([np.asarray(d, dtype=np.float64).ravel() for d in derivatives])
    if slopes.shape[1] != p.size:
        raise ValueError(
            f"Argument `derivatives` must have the shape of `probability` ({p.size} outcomes), "
            f"but they have {slopes.shape[1]}."
        )
    seen = p > 0.0
    scaled = slopes[:, seen] / np.sqrt(p[seen])
    information: Array = scaled @ scaled.T
    return information


def sample(probability: Array, shots: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw outcomes (n1, n2), shape (shots, 2), from a table P[n1, n2].

    Raises:
        ValueError: when the table is not two-dimensional, has negative or non-finite
            entries, or does not add to 1 within 1e-6.
    """
    table = np.asarray(probability, dtype=np.float64)
    if table.ndim != 2 or not np.all(np.isfinite(table)) or np.any(table < 0.0):
        raise ValueError("Argument `probability` must be a table of finite numbers, none negative.")
    ladder = np.cumsum(table.ravel())
    if abs(ladder[-1] - 1.0) > 1e-6:
        raise ValueError(f"Argument `probability` must add to 1, but adds to {ladder[-1]!r}.")
    draws = rng.random(whole(shots, "shots")) * ladder[-1]
    outcomes = np.empty((draws.size, 2), dtype=np.int64)
    np.divmod(cells_of(ladder, draws), table.shape[1], out=(outcomes[:, 0], outcomes[:, 1]))
    return outcomes


def _half_couplings(spin: float, total: int) -> Array:
    """Couplings for 2 mu + J >= 0; the middle one (2 mu + J = 0) halved, its mirror is itself."""
    full = coupled_amplitudes(spin, total)
    n = full.size - 1
    half = full[(n + 1) // 2 :].copy()
    if n % 2 == 0:
        half[0] *= 0.5
    return half


def _slopes(weights: Array | SteadyState, weight_derivative: Array | None) -> Array:
    """d ln p_J / d ln(Delta/Omega), checked against the weights."""
    if weight_derivative is None:
        if not isinstance(weights, SteadyState) or weights.parameters.exchange != 0.0:
            raise ValueError(
                "Argument `weight_derivative` must be given, except with a steady state "
                "without exchange in place of `weights`."
            )
        size = weights.weights.size
        given = weights.parameters
        return log_weights_derivative(given.spin, given.detuning_ratio, size - 1)
    slopes = np.asarray(weight_derivative, dtype=np.float64)
    size = len(weights.weights) if isinstance(weights, SteadyState) else len(weights)
    if slopes.shape != (size,) or not np.all(np.isfinite(slopes)):
        raise ValueError(
            f"Argument `weight_derivative` must hold {size} finite numbers, one per weight, "
            f"but has shape {slopes.shape}."
        )
    return slopes
