"""Counts are fair samples of the model, keyed by seed and shot number."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import chisquare, norm

from cavitylab.instruments.simulated.truth import DriftEntry, DriftsEntry
from cavitylab.models.ellipse import second_moments
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state


def test_counts_have_the_moments_of_the_model(bench: Any) -> None:
    """Mean squares of the sum and difference, and means, over 20 000 shots (1e-4 in all).

    E[c] = G n + b with Poisson noise of the same size on top of the model's exact moments.
    """
    shots = 20_000
    counts, truth = bench.take(bench.wires(), shots=shots)
    gain, background = truth["gain"], truth["background"]
    m = (counts - background) / gain - 50.0
    noise = 2 * (gain * 50.0 + background) / gain**2
    state = steady_state(TwoEnsembles(50, 1.0, truth["detuning_ratio"]))
    expected = second_moments(state, truth["phase"], truth["pulse_area"])
    limit = norm.isf(0.5e-4 / 4)
    for values, mean in [
        ((m[:, 0] + m[:, 1]) ** 2, expected.sum_square + noise),
        ((m[:, 0] - m[:, 1]) ** 2, expected.difference_square + noise),
        (m[:, 0], -_tilt(state, truth)),
        (m[:, 1], -_tilt(state, truth)),
    ]:
        assert abs(values.mean() - mean) < limit * values.std() / math.sqrt(shots)


def _tilt(state: Any, truth: dict[str, Any]) -> float:
    """Mean of -m per ensemble that a pulse of not quite pi/2 leaves: <J>/2 * cos(area)."""
    return float(0.5 * state.mean_J * math.cos(truth["pulse_area"]))


def test_outcomes_follow_the_schroedinger_equation(bench: Any) -> None:
    """Two atoms per ensemble, followed through the whole shot by brute force (false alarm 1e-5).

    A detuning of a fifth of the pulse's Rabi frequency makes the finite pulse matter; the
    common phase is averaged over 16 axes, exact for so few atoms.
    """
    coupling = replace(bench.truth.coupling, full_strength=20e3)
    wires, shots = bench.wires(current=40.0), 40_000
    counts, _ = bench.take(
        wires, shots, atoms=2, coupling=coupling, background_rate=0.0, rate_per_atom=1e9
    )
    atoms = np.round(counts / 5e6).astype(int)
    seen = np.zeros((3, 3))
    np.add.at(seen, (atoms[:, 0], atoms[:, 1]), 1)

    z, x = np.diag([1.0, 0.0, -1.0]), np.eye(3, k=1) / math.sqrt(2) + np.eye(3, k=-1) / math.sqrt(2)
    y = 1j * (np.eye(3, k=-1) - np.eye(3, k=1)) / math.sqrt(2)
    both = [np.kron(one, np.eye(3)) + np.kron(np.eye(3), one) for one in (x, y, z)]
    apart = np.kron(z, np.eye(3)) - np.kron(np.eye(3), z)
    detuning, slow, fast = (2 * math.pi * rate for rate in (10e3, 10e3, 50e3))
    lowering = both[0] - 1j * both[1]
    null = np.vstack([slow * both[0] + 0.5 * detuning * apart, lowering * slow])
    state = np.linalg.svd(null)[2][-1].conj()
    state = expm(-1j * (0.5 * detuning * wires.dark + bench.truth.signal) * apart) @ state
    expected = np.zeros(9)
    for axis in np.arange(16) * 2 * math.pi / 16:
        drive = fast * (math.cos(axis) * both[0] + math.sin(axis) * both[1])
        pulse = expm(-1j * wires.pulse_time * (drive + 0.5 * detuning * apart))
        expected += np.abs(pulse @ state) ** 2 / 16
    expected = expected.reshape(3, 3)[::-1, ::-1]  # counted atoms ascend, m descends
    assert chisquare(seen.ravel(), shots * expected.ravel()).pvalue > 1e-5


def test_photons_are_poissonian(bench: Any) -> None:
    """Counts of all-down atoms have variance equal to mean (false alarm 1e-4)."""
    counts, _ = bench.take(bench.wires().instead(drive_rf=()), shots=5000)
    ratio = counts.var() / counts.mean()
    assert abs(ratio - 1.0) < norm.isf(0.5e-4) * math.sqrt(2.0 / counts.size)


# ---- keys -----------------------------------------------------------------------------------


def test_seed_fixes_the_counts(bench: Any) -> None:
    """Same seed, same counts; another seed, others."""
    assert np.array_equal(
        bench.take(bench.wires(), seed=3)[0], bench.take(bench.wires(), seed=3)[0]
    )
    assert not np.array_equal(
        bench.take(bench.wires(), seed=3)[0], bench.take(bench.wires(), seed=4)[0]
    )


def test_counts_do_not_depend_on_the_portions(bench: Any) -> None:
    """Shots asked for in pieces, and twice, are the same; the truth counts each once."""
    drifts = DriftsEntry(
        drive_amplitude=DriftEntry(rms=2e-3, correlation_time=30.0),
        coil_current=DriftEntry(rms=2e-4),
        step=1.0,
    )
    times, timeline = bench.period * np.arange(100), bench.wires().timeline
    whole, pieces = bench.apparatus(drifts=drifts), bench.apparatus(drifts=drifts)
    at_once = whole.counts(timeline, range(100), times)
    parts = [
        pieces.counts(timeline, range(i, min(i + 13, 100)), times[i : i + 13])
        for i in (0, 13, 13, 26, 39, 52, 65, 78, 91)
    ]
    assert np.array_equal(at_once, np.concatenate(parts[:2] + parts[3:]))
    assert whole.reveal()["shots"] == pieces.reveal()["shots"] == 100
    assert whole.reveal()["phase"] == pytest.approx(pieces.reveal()["phase"], abs=1e-12)


def test_drifts_move_the_truth_and_are_averaged(bench: Any) -> None:
    """Pulse area and ratio wander with the clock; the revealed truth is the shots' mean."""
    drifts = DriftsEntry(drive_amplitude=DriftEntry(rms=5e-3, correlation_time=5.0), step=1.0)
    cavity, timeline = bench.apparatus(drifts=drifts), bench.wires().timeline
    areas = []
    for k in range(4):
        cavity.counts(timeline, range(20 * k, 20 * k + 20), 10.0 * k + bench.period * np.arange(20))
        areas.append(cavity.reveal()["pulse_area"] * (k + 1) - sum(areas))
    assert np.std(areas) > 1e-3
    assert cavity.reveal()["pulse_area"] == pytest.approx(np.mean(areas))


def test_nothing_is_revealed_before_the_first_shot(bench: Any) -> None:
    """No shot, no truth."""
    assert bench.apparatus().reveal() == {}


def test_shots_and_times_must_match(bench: Any) -> None:
    """A programming mistake, not a fault of the laboratory."""
    with pytest.raises(ValueError, match="one time each"):
        bench.apparatus().counts(bench.wires().timeline, range(3), np.zeros(2))
