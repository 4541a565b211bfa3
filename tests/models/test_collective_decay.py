"""Collective decay on the ladder of symmetric states."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import binom

from cavitylab.models.collective_decay import decay_flow, decay_rates, decayed_populations


def generator(atoms: int) -> np.ndarray:
    """The rate equation as a matrix."""
    return np.stack([decay_flow(row) for row in np.eye(atoms + 1)], axis=1)


def test_rates_are_those_of_the_collective_jump() -> None:
    """|<k-1| S^- |k>|^2 of a spin n/2."""
    spin, m = 3.5, np.arange(-2.5, 4.0)
    assert decay_rates(7)[1:] == pytest.approx(spin * (spin + 1) - m * (m - 1))


def test_the_density_matrix_of_atoms_decays_alike() -> None:
    """Against the master equation of five atoms in the full space of 32 states."""
    lower = np.array([[0.0, 1.0], [0.0, 0.0]])  # rows down, up
    jump = sum(np.kron(np.kron(np.eye(2**k), lower), np.eye(2 ** (4 - k))) for k in range(5))
    up = np.array([bin(state).count("1") for state in range(32)])
    angle = 1.1
    one = np.array([np.cos(angle / 2), np.sin(angle / 2)])
    state = np.array([1.0])
    for _ in range(5):
        state = np.kron(state, one)
    rho = np.outer(state, state)
    loss, eye = 0.5 * jump.T @ jump, np.eye(32)
    full = np.kron(jump, jump) - np.kron(loss, eye) - np.kron(eye, loss.T)
    rho = (expm(0.13 * full) @ rho.ravel()).reshape(32, 32)
    expected = np.bincount(up, weights=np.diag(rho))
    start = binom.pmf(np.arange(6), 5, np.sin(angle / 2) ** 2)
    assert decayed_populations(start, [0.13])[0] == pytest.approx(expected, abs=1e-12)


def test_two_hundred_atoms_agree_with_the_exponential() -> None:
    """Several starts and times at once; nothing negative, nothing lost."""
    start = binom.pmf(np.arange(201), 200, [[0.5], [0.999]])
    times = np.array([0.0, 0.004, 0.03])
    found = decayed_populations(start, times)
    for time, one in zip(times, found, strict=True):
        assert one == pytest.approx(start @ expm(time * generator(200)).T, abs=1e-10)
    assert found.min() >= 0.0
    assert found.sum(axis=-1) == pytest.approx(np.ones((3, 2)), abs=1e-12)


def test_long_times_are_refused() -> None:
    """Beyond 200 000 jumps nothing is up any more."""
    with pytest.raises(ValueError, match="long down"):
        decayed_populations(np.ones(201), [30.0])
    with pytest.raises(ValueError, match="times"):
        decayed_populations(np.ones(3), [-1.0])
