"""Counting statistics of the Ramsey readout when the common phase is known, or narrow.

With a common phase theta of distribution P(theta), Fourier coefficients q_k = E[e^{ik theta}],

    P(n1, n2 | phi) = sum_{J,J'} c_J c_J'* i^{J-J'} q_{J-J'} a_J a_J'*

(a_J as in `ellipse`). For a normal distribution q is a matrix of few positive eigenvalues, and the
sum one of few squares. The counts are no longer even in phi: for a mean of 0 they have a slope at
phi = 0, where the squeezed quadrature is read, and P(pi - phi) = P(phi) is all that is left.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ._checks import dimension_of, finite, not_negative
from .ellipse import OutcomeDerivatives
from .spins import coupled_amplitudes, ladder_elements, wigner_d
from .two_ensembles import SteadyState, log_weights_derivative

Array = NDArray[np.float64]
Waves = NDArray[np.complex128]

_CUTOFF = 1e-13
_NEGLIGIBLE = 1e-14


class OrientedReadout:
    """Outcome distributions of one steady state at one phase and pulse area, any common phase.

    Args:
        state: The prepared pair.
        phase: Differential phase phi, radians.
        pulse_area: beta, radians.

    Attributes:
        waves: sqrt(p_J) a_J (n1, n2) turned by the phase of c_J and i^J, for the J that count;
            complex, (kept, 2S+1, 2S+1), outcomes ascending.
        totals: These J.
    """

    def __init__(self, state: SteadyState, phase: float, pulse_area: float = math.pi / 2.0) -> None:
        self._state = state
        self._spin = state.parameters.spin
        self._area = finite(pulse_area, "pulse_area")
        d = dimension_of(self._spin)
        weights = state.weights
        self.totals = np.flatnonzero(weights > _CUTOFF)
        turned = wigner_d(self._spin, self._area)[::-1, ::-1].T
        self.waves: Waves = np.empty((self.totals.size, d, d), dtype=np.complex128)
        for place, j in enumerate(self.totals.tolist()):
            n = d - 1 - j
            nu = finite(phase, "phase") * (2.0 * np.arange(n + 1) - n)
            scale = math.sqrt(weights[j]) * coupled_amplitudes(self._spin, j)
            left, right = turned[: n + 1].T, turned[n::-1]
            real = left @ (right * (scale * np.cos(nu))[:, None])
            imaginary = left @ (right * (scale * np.sin(nu))[:, None])
            turn = np.exp(1j * (np.angle(state.amplitudes[j]) + 0.5 * math.pi * j))
            self.waves[place] = turn * (real - 1j * imaginary)

    def at(self, common_phase: float) -> Array:
        """P[n1, n2] at one common phase, radians."""
        turns = np.exp(1j * self.totals * finite(common_phase, "common_phase"))
        wave: Waves = np.tensordot(turns, self.waves, axes=1)
        table: Array = wave.real**2 + wave.imag**2
        return table

    def distribution(self, mean: float, std: float) -> Array:
        """P[n1, n2] for a normal common phase, radians."""
        mixed: Waves = np.tensordot(self._mixture(mean, std), self.waves, axes=1)
        table: Array = (mixed.real**2 + mixed.imag**2).sum(axis=0)
        return table

    def derivatives(self, mean: float, std: float) -> OutcomeDerivatives:
        """P and its exact derivatives by phi, beta and ln(Delta/Omega).

        A change of phi or beta acts on the outcomes of each ensemble as a tridiagonal matrix; one
        of the ratio on the weights alone, the phases of c_J do not follow it without exchange.
        """
        mixture = self._mixture(mean, std)
        mixed: Waves = np.tensordot(mixture, self.waves, axes=1)
        given = self._state.parameters
        slopes = log_weights_derivative(
            given.spin, abs(given.detuning_ratio), self._state.weights.size - 1
        )[self.totals]
        by_ratio = np.tensordot(mixture * (0.5 * slopes), self.waves, axes=1)
        ladder = ladder_elements(self._spin)[::-1]
        level = np.arange(ladder.size + 1) - self._spin
        up = np.diag(ladder, -1)
        along = math.cos(self._area) * np.diag(level)
        along += 0.5 * math.sin(self._area) * (up + up.T)
        turning = -0.5 * (up - up.T)
        conjugate = mixed.conj()
        by_phase = -1j * (along @ mixed - mixed @ along.T)
        by_area = turning @ mixed + mixed @ turning.T

        def change(of: Waves) -> Array:
            found: Array = 2.0 * (conjugate * of).real.sum(axis=0)
            return found

        return OutcomeDerivatives(
            P=(mixed.real**2 + mixed.imag**2).sum(axis=0),
            d_phase=change(by_phase),
            d_pulse_area=change(by_area),
            d_log_ratio=change(by_ratio),
        )

    def _mixture(self, mean: float, std: float) -> Waves:
        """Rows whose waves' squares add to P: eigenvectors of q_{J-J'} times their roots."""
        width = not_negative(std, "std")
        apart = self.totals[:, None] - self.totals
        values, vectors = np.linalg.eigh(np.exp(-0.5 * (width * apart) ** 2))
        kept = values > _NEGLIGIBLE
        turns = np.exp(1j * self.totals * finite(mean, "mean"))
        rows: Waves = (vectors[:, kept] * np.sqrt(values[kept])).T * turns
        return rows
