"""Photon counts of one ensemble: Poisson with mean gain * atoms + background."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlogy

from ._checks import not_negative, positive, whole


def log_poisson_kernel(
    counts: ArrayLike, gain: float, background: float, atoms: int
) -> NDArray[np.float64]:
    """ln P(counts | n atoms) for every shot and every n = 0 … atoms.

    Args:
        counts: (shots,) whole numbers, not negative.
        gain: mean counts per atom, above zero.
        background: mean counts without atoms, not negative.
        atoms: largest atom number, 2S.

    Returns:
        (shots, atoms+1); -inf only where no count is possible (no background, no atoms).
        Absolute error about 1e-15 times the count times its logarithm.

    Raises:
        ValueError: naming the argument that breaks these rules.
    """
    observed = _checked_counts(counts)
    mean = _means(gain, background, atoms)
    constant = gammaln(observed + 1.0)
    if mean[0] > 0.0:
        return np.outer(observed, np.log(mean)) - mean - constant[:, None]
    logs: NDArray[np.float64] = xlogy(observed[:, None], mean[None, :]) - mean - constant[:, None]
    return logs


def poisson_kernel(
    counts: ArrayLike, gain: float, background: float, atoms: int
) -> NDArray[np.float64]:
    """P(counts | n atoms), shape (shots, atoms+1); see `log_poisson_kernel`.

    A count far outside every mean gives a row of zeros, as doubles hold nothing smaller
    than 5e-324: use `scaled_poisson_kernel` in a likelihood.
    """
    return np.exp(log_poisson_kernel(counts, gain, background, atoms))


def scaled_poisson_kernel(
    counts: ArrayLike, gain: float, background: float, atoms: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The kernel with each row scaled to a largest value of 1, and the logarithm taken out.

    Returns:
        kernel (shots, atoms+1) and log_scale (shots,), with
        P = kernel * exp(log_scale)[:, None]: no count, however far out, underflows.
    """
    logs = log_poisson_kernel(counts, gain, background, atoms)
    log_scale = logs.max(axis=1)
    # A light-tight detector without atoms cannot count at all: such a row stays zero.
    np.subtract(logs, np.where(np.isfinite(log_scale), log_scale, 0.0)[:, None], out=logs)
    return np.exp(logs, out=logs), log_scale


def counting_noise(gain: float, background: float, atoms: ArrayLike) -> NDArray[np.float64]:
    """Standard deviation of (counts - background)/gain, in atoms, at mean `atoms`.

    Args:
        gain: mean counts per atom, above zero.
        background: mean counts without atoms, not negative.
        atoms: atom number or array of them, not negative.

    Returns:
        sqrt(gain * atoms + background) / gain, in the shape of `atoms`.
    """
    gain = positive(gain, "gain")
    background = not_negative(background, "background")
    number = np.asarray(atoms, dtype=np.float64)
    if not np.all(np.isfinite(number)) or np.any(number < 0.0):
        raise ValueError("Argument `atoms` must hold finite numbers, none negative.")
    noise: NDArray[np.float64] = np.sqrt(gain * number + background) / gain
    return noise


def _means(gain: float, background: float, atoms: int) -> NDArray[np.float64]:
    gain = positive(gain, "gain")
    background = not_negative(background, "background")
    return gain * np.arange(whole(atoms, "atoms") + 1, dtype=np.float64) + background


def _checked_counts(counts: ArrayLike) -> NDArray[np.float64]:
    observed = np.asarray(counts, dtype=np.float64)
    if observed.ndim != 1:
        raise ValueError(
            f"Argument `counts` must have shape (shots,), but has shape {observed.shape}."
        )
    wrong = ~np.isfinite(observed) | (observed < 0.0) | (observed != np.floor(observed))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(
            "Argument `counts` must hold whole numbers, none negative, but counts"
            f"[{first}] is {observed[first]!r}."
        )
    return observed
