"""One pulse on unprepared atoms: binomial populations of independent atoms, exactly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import binom, norm

from cavitylab.instruments.simulated.lines import ApparatusFault
from cavitylab.instruments.simulated.two_ensemble_pulse import PulsedShot, SweptShot

X, Z = 0.5 * np.array([[0, 1], [1, 0]]), 0.5 * np.diag([1, -1])
"""Spin matrices of one atom, up first."""

QUIET = {"shots": 1000, "rate_per_atom": 4e6, "background_rate": 0.0}
"""Counts that tell every atom."""


def only_pulse(bench: Any, current: float = 0.0, fraction: float = 20 / 60, time: float = 9e-6):
    """Drive light for `time` and nothing else before the gates."""
    return bench.wires(current=current).instead(
        coupling_rf=(),
        coupling_switch=(),
        drive_rf=bench.line((0.0, bench.period, bench.tone(fraction))),
        drive_switch=bench.windows((100e-6, 100e-6 + time)),
    )


@pytest.mark.parametrize(("current", "time"), [(0.0, 9e-6), (12.0, 300e-6)])
def test_populations_follow_rabis_formula(bench: Any, current: float, time: float) -> None:
    """Mean and variance of both ensembles, on and far off resonance (false alarm 1e-4 in all)."""
    fraction = 20 / 60 if current == 0.0 else 1.5 / 60
    counts, truth = bench.take(only_pulse(bench, current, fraction, time), **QUIET)
    atoms = np.round(counts / 2e4)
    rabi, detuning = math.tau * 60e3 * fraction, math.tau * 0.5 * 250.0 * current
    rate = math.hypot(rabi, detuning)
    p = (rabi / rate * math.sin(0.5 * rate * time)) ** 2
    law, limit = binom(100, p), norm.isf(1e-4 / 12)
    for column in atoms.T:
        assert abs(column.mean() - law.mean()) < limit * law.std() / math.sqrt(1000)
        assert column.var() == pytest.approx(law.var(), rel=limit * math.sqrt(2.2 / 1000))
    assert abs(np.corrcoef(atoms.T)[0, 1]) < limit / math.sqrt(1000)
    assert truth["drive_full_rabi"] == 60e3 and truth["gradient_slope"] == 250.0
    assert "phase" not in truth


def test_any_portion_gives_the_same_atoms(bench: Any) -> None:
    """The numbers are keyed by the shot, not by the block."""
    timeline = only_pulse(bench).timeline
    whole = bench.apparatus().counts(timeline, range(50), np.zeros(50))
    cavity = bench.apparatus()
    parts = [cavity.counts(timeline, range(*ends), np.zeros(25)) for ends in ((0, 25), (25, 50))]
    assert np.array_equal(np.concatenate(parts), whole)
    assert cavity.reveal()["shots"] == 50


def test_three_pulses_without_coupling_have_no_answer(bench: Any) -> None:
    """One pulse and two are answered for; more are refused as never prepared."""
    wires = only_pulse(bench).instead(
        drive_switch=bench.windows((100e-6, 105e-6), (200e-6, 205e-6), (300e-6, 305e-6))
    )
    with pytest.raises(ApparatusFault, match="never on together"):
        bench.take(wires)


def test_a_gate_during_the_pulse_is_refused(bench: Any) -> None:
    """Counting before the pulse is over is told, with the times."""
    wires = only_pulse(bench, time=13e-3)
    with pytest.raises(ApparatusFault, match="before the pulse"):
        bench.take(wires)


def test_a_pulse_while_the_current_moves_is_the_product_of_its_parts() -> None:
    """Parts of one detuning make one pulse; parts of two make the product of two turns."""
    whole = PulsedShot(5e3, 8e3, 1e-3)
    same = SweptShot(5e3, 8e3, 1e-3, ((8e3, 0.3e-3), (8e3, 0.7e-3)))
    assert same.probability == pytest.approx(whole.probability, abs=1e-12)
    half = [expm(-0.5e-3j * (5e3 * X + 0.5 * detuning * Z)) for detuning in (6e3, 1e4)]
    exact = abs((half[1] @ half[0])[0, 1]) ** 2
    swept = SweptShot(5e3, 8e3, 1e-3, ((6e3, 0.5e-3), (1e4, 0.5e-3)))
    assert swept.probability == pytest.approx(exact, abs=1e-12)
    mirrored = SweptShot(5e3, -8e3, 1e-3, ((-6e3, 0.5e-3), (-1e4, 0.5e-3)))
    assert mirrored.probability == pytest.approx(exact, abs=1e-12)
