"""A pulse off resonance on unprepared atoms turns one ensemble: it tells the coil's sense."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import norm

from cavitylab.instruments.simulated.lines import ApparatusFault

X, Z = 0.5 * np.array([[0, 1], [1, 0]]), 0.5 * np.diag([1, -1])
"""Spin matrices of one atom, up first."""


def pulse(bench: Any, frequency: float, current: float = 4.0, time: float = 0.5e-3) -> Any:
    """1 kHz of Rabi frequency for `time`, no coupling."""
    return bench.wires(current=current).instead(
        coupling_rf=(),
        coupling_switch=(),
        drive_rf=bench.line((0.0, bench.period, bench.tone(1 / 60, frequency=frequency))),
        drive_switch=bench.windows((100e-6, 100e-6 + time)),
    )


@pytest.mark.parametrize(
    ("shift", "current"), [(500.0, 4.0), (-500.0, 4.0), (500.0, -4.0), (800.0, 3.0)]
)
def test_each_ensemble_follows_its_own_hamiltonian(
    bench: Any, shift: float, current: float
) -> None:
    """Against the exponential of one atom's matrix (false alarm 1e-4 in all)."""
    quiet = {"shots": 400, "rate_per_atom": 4e6, "background_rate": 0.0}
    counts, _ = bench.take(pulse(bench, 80e6 + shift, current), **quiet)
    atoms = np.round(counts / 2e4)
    for column, side in zip(atoms.T, (+1, -1), strict=True):
        along = math.tau * (side * 0.5 * 250.0 * current - shift)
        turned = expm(-0.5e-3j * (math.tau * 1e3 * X + along * Z))
        p = abs(turned[0, 1]) ** 2
        reach = norm.isf(1e-4 / 16) * math.sqrt(100 * p * (1 - p) / 400) + 0.02
        assert abs(column.mean() - 100 * p) < reach


def test_light_off_resonance_is_answered_for_in_one_pulse_alone(bench: Any) -> None:
    """In a prepared shot, and in two pulses, it is a mistake and the fault names the frequency."""
    with pytest.raises(ApparatusFault, match=r"\+500 Hz off the resonance"):
        bench.take(bench.wires(pulse_tone=bench.tone(50 / 60, frequency=80.0005e6)))
    twice = pulse(bench, 80.0005e6).instead(
        drive_switch=bench.windows((100e-6, 105e-6), (200e-6, 205e-6))
    )
    with pytest.raises(ApparatusFault, match=r"off the resonance"):
        bench.take(twice)


def test_a_gate_during_the_pulse_is_refused(bench: Any) -> None:
    """As after any other pulse."""
    wires = pulse(bench, 80.0005e6).instead(
        counter_gate=bench.windows((300e-6, 400e-6)), probe_1=(), probe_2=()
    )
    with pytest.raises(ApparatusFault, match=r"counter's gate"):
        bench.take(wires)
