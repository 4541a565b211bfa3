"""The two-ensemble cavity answers for what lies on the wires, not for what was meant."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from cavitylab.instruments.simulated.lines import LightState, Stretch
from cavitylab.models.pulses import detuned_pulse
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

QUIET = {"background_rate": 0.0, "rate_per_atom": 1e9}
"""Counting noise far below one atom; 5e6 counts per atom."""


def test_the_demo_s_shot_is_read_as_meant(bench: Any) -> None:
    """Working point, bias phase and counts per atom come out of the wires alone."""
    wires = bench.wires()
    _, truth = bench.take(wires)
    pulse = detuned_pulse(2 * math.pi * 50e3, math.pi * 1e3, 5e-6)
    assert truth["detuning_ratio"] == pytest.approx(0.1, rel=1e-9)
    assert truth["bias_phase"] == pytest.approx(math.pi * 1e3 * 30e-6 + pulse.phase_before)
    assert truth["phase"] == pytest.approx(truth["signal"] + truth["bias_phase"])
    assert truth["pulse_area"] == pytest.approx(pulse.area)
    assert (truth["gain"], truth["background"]) == (pytest.approx(100.0), pytest.approx(50.0))
    assert truth["shots"] == 200 and truth["approximations"]


def test_dark_time_shifts_the_phase_by_half_the_detuning(bench: Any) -> None:
    """A pulse 40 us later writes Delta/2 * 40 us more."""
    early, late = (bench.take(bench.wires(dark=dark))[1] for dark in (30e-6, 70e-6))
    assert late["phase"] - early["phase"] == pytest.approx(math.pi * 1e3 * 40e-6, abs=1e-9)
    assert late["signal"] == early["signal"]


def test_current_after_the_preparation_shifts_the_phase(bench: Any) -> None:
    """A current that changes in the dark counts for as long as it flows."""
    wires = bench.wires()
    stop, start = wires.preparation[1], wires.pulse[0]
    changed = wires.instead(
        gradient_current=(
            Stretch(0.0, stop + 10e-6, 4.0),
            Stretch(stop + 10e-6, start - 5e-6, 6.0),
            Stretch(start - 5e-6, bench.period, 4.0),
        )
    )
    shift = bench.take(changed)[1]["phase"] - bench.take(wires)[1]["phase"]
    assert shift == pytest.approx(math.pi * 250.0 * 2.0 * 15e-6, abs=1e-9)


def test_current_sets_the_detuning_and_its_sign_the_sign_of_the_phase(bench: Any) -> None:
    """Twice the current, twice the detuning ratio; reversed, the bias has the other sign."""
    assert bench.take(bench.wires(current=8.0))[1]["detuning_ratio"] == pytest.approx(0.2)
    assert bench.take(bench.wires(current=-4.0))[1]["bias_phase"] == pytest.approx(
        -bench.take(bench.wires())[1]["bias_phase"]
    )


def test_amplitude_of_the_pulse_changes_the_contrast(bench: Any) -> None:
    """A weaker pulse turns less: the pulse area falls, and the counts scatter less."""
    full, truth = bench.take(bench.wires(), shots=2000)
    weak, weak_truth = bench.take(bench.wires(pulse_tone=bench.tone(10 / 60)), shots=2000)
    assert truth["pulse_area"] == pytest.approx(math.pi / 2, rel=1e-3)
    assert weak_truth["pulse_area"] == pytest.approx(math.pi / 10, rel=1e-2)
    assert weak.std() < 0.6 * full.std()


def test_amplitude_of_the_preparation_changes_the_state(bench: Any) -> None:
    """Half the preparation's Rabi frequency, twice the detuning ratio."""
    assert bench.take(bench.wires(preparation_tone=bench.tone(5 / 60)))[1][
        "detuning_ratio"
    ] == pytest.approx(0.2)


@pytest.mark.parametrize("angle", [17.0, 90.0, 233.3])
def test_phase_column_changes_nothing(bench: Any, angle: float) -> None:
    """A constant added to the phase of all tones leaves every count as it was, bit for bit."""
    turned = bench.wires(
        preparation_tone=bench.tone(10 / 60, angle),
        pulse_tone=bench.tone(50 / 60, angle),
        coupling_tone=bench.tone(math.sqrt(0.5), angle),
    )
    counts, truth = bench.take(bench.wires())
    counts_turned, truth_turned = bench.take(turned)
    assert np.array_equal(counts, counts_turned) and truth == truth_turned


def test_phase_of_the_pulse_alone_changes_nothing_either(bench: Any) -> None:
    """The common phase is uniform: the pulse's own axis cannot be seen."""
    assert np.array_equal(
        bench.take(bench.wires())[0],
        bench.take(bench.wires(pulse_tone=bench.tone(50 / 60, 45.0)))[0],
    )


def test_swapped_gates_exchange_the_ensembles(bench: Any) -> None:
    """Readings follow the gates in time: probing ensemble 2 first gives its counts first."""
    wires = bench.wires()
    swapped = replace(wires, gates=wires.gates[::-1])
    atoms = bench.take(wires, **QUIET)[0] / 5e6
    atoms_swapped = bench.take(swapped, **QUIET)[0] / 5e6
    assert np.array_equal(np.round(atoms), np.round(atoms_swapped[:, ::-1]))
    assert [ensemble for *_, ensemble in bench.apparatus().gates(swapped.timeline)] == [2, 1]


def test_one_gate_gives_one_reading(bench: Any) -> None:
    """A gate that never opens is a reading that is missing."""
    wires = bench.wires().instead(counter_gate=bench.windows((18.1e-3, 23.1e-3)))
    assert bench.take(wires)[0].shape == (200, 1)
    assert bench.apparatus().gates(wires.timeline) == ((18.1e-3, 23.1e-3, 2),)
    assert bench.take(bench.wires().instead(counter_gate=()))[0].shape == (200, 0)


def test_gate_without_light_counts_background(bench: Any) -> None:
    """An unlit gate sees rate * time of the background (false alarm 1e-5)."""
    counts, _ = bench.take(bench.wires().instead(probe_2=()), shots=1000)
    error = (counts[:, 1].mean() - 50.0) / math.sqrt(50.0 / 1000)
    assert abs(error) < norm.isf(0.5e-5)


def test_gate_with_both_ensembles_lit_counts_both(bench: Any) -> None:
    """With equal windows the counter cannot tell the ensembles apart: it counts their sum."""
    both = bench.wires().instead(probe_2=bench.windows((13e-3, 18e-3)))
    atoms = np.round(bench.take(bench.wires(), **QUIET)[0] / 5e6)
    assert np.array_equal(np.round(bench.take(both, **QUIET)[0][:, 0] / 5e6), atoms.sum(axis=1))
    assert bench.apparatus().gates(both.timeline)[0][2] is None


def test_without_pulse_the_state_itself_is_counted(bench: Any) -> None:
    """The dark state has m1 + m2 = -J <= 0: never more than half of all atoms are up."""
    wires = bench.wires().instead(drive_switch=bench.windows(bench.wires().preparation))
    counts, truth = bench.take(wires, **QUIET)
    atoms = np.round(counts / 5e6).sum(axis=1)
    state = steady_state(TwoEnsembles(50, 1.0, 0.1))
    assert truth["pulse_area"] == 0.0
    assert atoms.max() <= 100
    error = math.sqrt(state.variance_z / 200)
    assert atoms.mean() - 100 == pytest.approx(-state.mean_J, abs=norm.isf(0.5e-4) * error)


@pytest.mark.parametrize(
    "light",
    [LightState(emission=False, locked=True), LightState(emission=True, locked=False), None],
    ids=["no emission", "unlocked", "no laser"],
)
def test_dark_laser_gives_background_and_no_truth(bench: Any, light: LightState | None) -> None:
    """Light that is off or at the wrong frequency does nothing, probing included."""
    line = bench.line((0.0, bench.period, light)) if light else ()
    counts, truth = bench.take(bench.wires().instead(light=line))
    assert counts.max() < 100 and truth == {}


def test_drive_off_leaves_all_atoms_down(bench: Any) -> None:
    """Without drive the atoms stay down; later shots say how many there were."""
    cavity, times = bench.apparatus(), bench.period * np.arange(100)
    off = bench.wires().instead(drive_rf=())
    assert cavity.counts(off.timeline, range(100), times).mean() == pytest.approx(50.0, abs=3.0)
    cavity.counts(bench.wires().timeline, range(100, 200), times)
    truth = cavity.reveal()
    assert truth["shots"] == 100
    assert any("in 100 further shots no drive light" in line for line in truth["approximations"])
