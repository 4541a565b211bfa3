"""Limits against which a phase estimate of two ensembles is judged."""

from __future__ import annotations

import math

from ._checks import dimension_of, positive, whole


def standard_quantum_limit(spin: float, shots: int) -> float:
    """Standard deviation of phi from 2 x 2S uncorrelated atoms and n shots: 1/sqrt(4 S n).

    Args:
        spin: S of each ensemble.
        shots: number of shots, at least 1.

    Raises:
        ValueError: on a spin that is not a positive multiple of 1/2, or on no shots.
    """
    atoms = dimension_of(spin) - 1
    return 1.0 / math.sqrt(2.0 * atoms * whole(shots, "shots", least=1))


def gain_over_standard_quantum_limit(std: float, spin: float, shots: int) -> float:
    """20 log10(standard quantum limit / std) in decibels; positive when `std` is better."""
    return 20.0 * math.log10(standard_quantum_limit(spin, shots) / positive(std, "std"))
