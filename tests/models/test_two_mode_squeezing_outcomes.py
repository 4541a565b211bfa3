"""Two-mode squeezing, turned and counted: against the density matrix of all states, made here."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm

from cavitylab.models.two_mode_squeezing import two_mode_squeezed_spins
from cavitylab.models.two_mode_squeezing_dynamics import prepare
from cavitylab.models.two_mode_squeezing_outcomes import (
    PairLight,
    PairState,
    evolved,
    evolved_from_all_down,
)

Matrix = NDArray[np.complex128]
QUARTER = 0.5 * math.pi


def light(r: float, duration: float, error: float = 0.0) -> PairLight:
    """gamma = 1, with the raising tone of the second pair stronger by `error`."""
    c, s = math.cosh(r), math.sinh(r)
    return PairLight(duration, (c, c), (s, s * (1.0 + error)))


def lowering(atoms: int) -> Matrix:
    """O of one ensemble, atoms up ascending."""
    n = np.arange(1.0, atoms + 1)
    return np.diag(np.sqrt(n * (atoms + 1 - n)), 1).astype(np.complex128)


def by_brute_force(
    atoms: tuple[int, int],
    lights: list[PairLight],
    ahead: float,
    pulses: tuple[tuple[float, float], tuple[float, float]],
) -> NDArray[np.float64]:
    """P[n1, n2] from the whole master equation, raising tones `ahead` of the lowering ones.

    Pulses are (angle, phase): exp(-i angle (cos(phase) X + sin(phase) Y)) on each ensemble.
    """
    one = [np.eye(size + 1) for size in atoms]
    o1 = np.kron(lowering(atoms[0]), one[1])
    o2 = np.kron(one[0], lowering(atoms[1]))
    size = len(o1)
    rho = np.zeros(size * size, dtype=np.complex128)
    rho[0] = 1.0
    turn = np.exp(-1j * ahead)
    for part in lights:
        total = np.zeros((size * size, size * size), dtype=np.complex128)
        for jump in (
            part.lower[0] * o1 + turn * part.lift[0] * o2.conj().T,
            part.lower[1] * o2 + turn * part.lift[1] * o1.conj().T,
        ):
            decay, unit = jump.conj().T @ jump, np.eye(size)
            total += np.kron(jump, jump.conj())
            total -= 0.5 * (np.kron(decay, unit) + np.kron(unit, decay.T))
        rho = expm(total * part.duration) @ rho
    rotation = np.ones((1, 1), dtype=np.complex128)
    for count, (angle, phase) in zip(atoms, pulses, strict=True):
        axis = 0.5 * np.exp(-1j * phase) * lowering(count).conj().T
        rotation = np.kron(rotation, expm(-1j * angle * (axis + axis.conj().T)))
    turned = rotation @ rho.reshape(size, size) @ rotation.conj().T
    return np.real(np.diag(turned)).reshape(atoms[0] + 1, atoms[1] + 1)


@pytest.mark.parametrize("atoms", [(2, 2), (3, 1)])
def test_counts_after_any_turn_are_those_of_the_whole_density_matrix(
    atoms: tuple[int, int],
) -> None:
    """Unequal pairs, unequal ensembles, two lights, every phase and angle; to 1e-10."""
    lights = [light(0.7, 0.4, 0.1), PairLight(0.3, (0.8, 1.1), (0.9, 0.2))]
    pulses = ((1.1, 0.4), (2.3, -1.7))
    state = PairState.all_down(*atoms)
    for part in lights:
        state = evolved(state, part)
    phase = 0.6 + math.pi - pulses[0][1] - pulses[1][1]
    found = state.outcomes((pulses[0][0], pulses[1][0]), phase)
    assert np.max(np.abs(found - by_brute_force(atoms, lights, 0.6, pulses))) < 1e-10


def test_quarter_turns_read_the_squeezed_and_the_antisqueezed_quadratures() -> None:
    """f = 0: the sum is squeezed, the difference is not; f = pi the other way (Mamaev Eq. 3)."""
    state, settled = evolved_from_all_down(8, 8, light(0.6, 40.0))
    ideal = two_mode_squeezed_spins(4.0, 0.6)
    assert settled == 20.0
    assert state.xi2 == pytest.approx(ideal.xi2, rel=1e-8)
    assert state.length == pytest.approx(ideal.length, rel=1e-8)
    n = np.arange(9.0) - 4.0
    for phase, squeezed, other in (
        (0.0, np.add.outer(n, n), np.subtract.outer(n, n)),
        (math.pi, np.subtract.outer(n, n), np.add.outer(n, n)),
    ):
        law = state.outcomes((QUARTER, QUARTER), phase)
        assert np.sum(law * squeezed**2) == pytest.approx(ideal.squeezed_variance, rel=1e-8)
        assert np.sum(law * other**2) == pytest.approx(ideal.antisqueezed_variance, rel=1e-8)


def test_moments_on_the_way_are_those_of_the_preparation() -> None:
    """At a tenth of the time to the steady state, which is not taken for reached."""
    times = [0.2, 0.5]
    known = prepare(6, 4, 0.8, times)
    for place, time in enumerate(times):
        state, settled = evolved_from_all_down(6, 4, light(0.8, time))
        assert settled is None
        assert state.squeezed_variance == pytest.approx(known.x_plus_square[place], rel=1e-9)
        assert state.length == pytest.approx(known.z1[place] + known.z2[place], rel=1e-9)
        assert state.xi2 == pytest.approx(known.xi2[place], rel=1e-9)


def test_one_tone_alone_lifts_or_does_nothing() -> None:
    """A raising tone lifts its ensemble, a lowering one finds nothing to lower."""
    lifted, settled = evolved_from_all_down(3, 3, PairLight(60.0, (0.0, 0.0), (1.0, 0.0)))
    assert settled is None
    assert lifted.populations[0, 3] == pytest.approx(1.0, abs=1e-9)
    same, _ = evolved_from_all_down(3, 3, PairLight(60.0, (1.0, 0.0), (0.0, 0.0)))
    assert same.populations[0, 0] == pytest.approx(1.0, abs=1e-12)
    down = PairState.all_down(3, 2)
    assert evolved(down, PairLight(1.0, (0.0, 0.0), (0.0, 0.0))) is down
    assert down.length == -2.5 and down.xi2 == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_turn_that_is_no_number_is_refused(bad: float) -> None:
    """With the argument's name."""
    with pytest.raises(ValueError, match="phase"):
        PairState.all_down(2, 2).outcomes((1.0, 1.0), bad)
    with pytest.raises(ValueError, match="angles"):
        PairState.all_down(2, 2).outcomes((1.0, bad), 0.0)
