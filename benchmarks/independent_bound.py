"""Cramér-Rao bound of the two-ensemble phase, by a road of its own.

Nothing of `cavitylab.models` or `cavitylab.estimators` is used, so that the benchmark of the
estimator does not judge itself. The state comes from the two dark-state conditions themselves
(no decay, no Hamiltonian), the readout from matrix exponentials and a sum over common phases,
the score of each simulated shot from central differences.

Parameters, in this order: phase φ (rad), ln(Δ/Ω), ln(pulse area), ln(gain), background (counts).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.special import gammaln

Array = NDArray[np.float64]


def _lowering(spin: float) -> Array:
    """Matrix of S⁻, m descending."""
    m = spin - np.arange(int(2 * spin) + 1)
    return np.diag(np.sqrt(spin * (spin + 1) - m[:-1] * (m[:-1] - 1)), -1)


def dark_state(spin: float, ratio: float) -> Array:
    """Amplitudes ψ[m₁, m₂] (m descending) with (S₁⁻+S₂⁻)ψ = 0 and Hψ = 0.

    H = Ω(S₁ˣ+S₂ˣ) + (Δ/2)(S₁ᶻ−S₂ᶻ) with Δ/Ω = `ratio`. In each sector of total M = −J the first
    condition leaves one vector (a two-term recursion along the sector); the second one, projected
    on the raised vector of sector J+1, fixes the ratio of neighbouring sectors.
    """
    low = _lowering(spin)
    dim = low.shape[0]
    m = spin - np.arange(dim)
    difference = m[:, None] - m[None, :]
    total = np.zeros((dim, dim))
    previous = None
    amplitude = 1.0
    for j in range(int(2 * spin) + 1):
        # (S₁⁻ψ)[i+1, k] = low[i+1, i] ψ[i, k];  (S₂⁻ψ)[i, k+1] = low[k+1, k] ψ[i, k]
        vector = np.zeros((dim, dim))
        last = int(2 * spin) + j  # i + k in this sector
        start = max(0, last - dim + 1)
        value = 1.0
        for i in range(start, min(dim - 1, last) + 1):
            k = last - i
            vector[i, k] = value
            if i + 1 < dim and k >= 1:
                value *= -low[i + 1, i] / low[k, k - 1]
        vector /= np.linalg.norm(vector)
        if previous is not None:
            raised = low.T @ vector + vector @ low  # (S₁⁺+S₂⁺) acting on the new sector
            amplitude *= -ratio * float(
                np.sum(raised * difference * previous) / np.sum(raised * raised)
            )
        if j > 4 and abs(amplitude) < 1e-9:
            break
        total += amplitude * vector
        previous = vector
    return total / np.linalg.norm(total)


def outcome_table(spin: float, ratio: float, phase: float, area: float) -> Array:
    """P[n₁, n₂], n = S+m ascending: rotate, square, and average over the common phase."""
    psi = dark_state(spin, ratio)
    low = _lowering(spin)
    dim = low.shape[0]
    m = spin - np.arange(dim)
    pulse = expm(-0.5j * area * (low + low.T))
    psi = psi * np.exp(-1j * phase * (m[:, None] - m[None, :]))
    sectors = np.flatnonzero(
        [np.any(np.abs(np.diagonal(psi[:, ::-1], k)) > 1e-8) for k in range(-dim + 1, dim)]
    )
    nodes = 2 * (int(sectors.max() - sectors.min()) + 1) + 3  # above the highest harmonic of θ
    out = np.zeros((dim, dim))
    for theta in 2 * math.pi * np.arange(nodes) / nodes:
        turned = psi * np.exp(-1j * theta * (m[:, None] + m[None, :]))
        out += np.abs(pulse @ turned @ pulse.T) ** 2
    return out[::-1, ::-1] / nodes


def _log_likelihood(counts: NDArray[np.int64], spin: float, x: Array) -> Array:
    """ln L of each shot (shots, 2) at x = (φ, ln ratio, ln area, ln gain, background)."""
    table = outcome_table(spin, math.exp(x[1]), x[0], math.exp(x[2]))
    mean = math.exp(x[3]) * np.arange(table.shape[0]) + x[4]
    log_k = [c[:, None] * np.log(mean) - mean - gammaln(c[:, None] + 1.0) for c in counts.T]
    shift = [k.max(axis=1, keepdims=True) for k in log_k]
    first, second = (np.exp(k - s) for k, s in zip(log_k, shift, strict=True))
    weight = np.einsum("sn,sn->s", first @ table, second)
    return np.log(weight) + shift[0][:, 0] + shift[1][:, 0]


def cramer_rao_std(
    spin: float,
    truth: Array,
    prior_covariance: Array,
    shots: int,
    rng: np.random.Generator,
    samples: int = 6000,
) -> float:
    """Smallest std of φ for `shots` shots, nuisances free within their Gaussian priors.

    `truth` (5,) as in the module's list; `prior_covariance` (4, 4) of the last four. The
    information is the mean outer product of scores over `samples` simulated shots.
    """
    table = outcome_table(spin, math.exp(truth[1]), truth[0], math.exp(truth[2]))
    dim = table.shape[0]
    cells = rng.choice(dim * dim, size=samples, p=(table / table.sum()).ravel())
    atoms = np.stack([cells // dim, cells % dim], axis=1)
    counts = rng.poisson(math.exp(truth[3]) * atoms + truth[4])
    steps = np.array([1e-5, 1e-4, 1e-5, 1e-5, 1e-2])
    score = np.empty((5, samples))
    for k, h in enumerate(steps):
        e = np.zeros(5)
        e[k] = h
        score[k] = (
            _log_likelihood(counts, spin, truth + e) - _log_likelihood(counts, spin, truth - e)
        ) / (2 * h)
    information = shots * (score @ score.T) / samples
    information[1:, 1:] += np.linalg.inv(prior_covariance)
    return float(np.sqrt(np.linalg.inv(information)[0, 0]))


if __name__ == "__main__":
    at = np.array([0.17, math.log(0.1), math.log(math.pi / 2), math.log(100.0), 50.0])
    prior = np.diag([0.025, 0.02, 0.03, 2.5]) ** 2
    std = cramer_rao_std(50.0, at, prior, 2000, np.random.default_rng(1))
    sql = 1 / math.sqrt(4 * 50 * 2000)
    print(f"Cramér-Rao std {std:.3e} rad; {20 * math.log10(sql / std):.2f} dB below the SQL")
