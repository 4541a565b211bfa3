"""The pumped cavity: fair samples of the master equation, and faults where there is no answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.stats import chisquare, norm

from cavitylab.instruments.simulated.laboratory_file import LaboratoryFileError, load_laboratory
from cavitylab.instruments.simulated.lines import (
    ApparatusFault,
    LightState,
    RFTone,
    Stretch,
    Timeline,
)
from cavitylab.instruments.simulated.pumped_cavity import PumpedCavity
from cavitylab.instruments.simulated.pumped_truth import PumpedDriftsEntry, PumpedTruth
from cavitylab.instruments.simulated.truth import BeamTruth, DriftEntry
from cavitylab.models.pumped_superradiance import PumpedEnsemble
from cavitylab.models.pumped_superradiance_counts import FluorescenceReadout, hold_bound

TRUTH = PumpedTruth(
    atoms=20,
    pump=BeamTruth(20.0, 1.6, 80e6, 10e3),
    decay=5.0,
    rate_per_atom=40e3,
    background_rate=20e3,
)
SEES_ALL = replace(TRUTH, rate_per_atom=1e8, background_rate=0.0)
"""So many photons that every atom shows."""
START, OPENS, CLOSES, PERIOD = 50e-6, 0.30005, 0.3001, 0.35


def tone(rate: float, frequency: float = 80e6) -> RFTone:
    """The tone that pumps at w/2pi = `rate` Hz."""
    power = 1.6 * (2.0 / math.pi * math.asin(math.sqrt(rate / 20.0))) ** 2
    return RFTone(frequency, 10.0 * math.log10(power / 1e-3))


def shot(rate: float = 5.0, **lines: tuple[Stretch, ...]) -> Timeline:
    """Pump until after the gate; whole lines can be replaced (`pump_switch` for `pump.switch`)."""
    usual: Mapping[str, tuple[Stretch, ...]] = {
        "pump.rf": (Stretch(0.0, PERIOD, tone(rate)),),
        "pump.switch": (Stretch(START, CLOSES + 10e-6, True),),
        "light": (Stretch(0.0, PERIOD, LightState(emission=True, locked=True)),),
        "probe": (Stretch(OPENS, CLOSES, True),),
        "counter.gate": (Stretch(OPENS, CLOSES, True),),
    }
    return {**usual, **{name.replace("_", ".", 1): line for name, line in lines.items()}}


def take(
    timeline: Timeline, shots: int = 10_000, truth: PumpedTruth = SEES_ALL, seed: int = 1
) -> NDArray[np.int64]:
    """Counts of a fresh apparatus, (shots,)."""
    cavity = PumpedCavity(truth, seed)
    return cavity.counts(timeline, range(shots), PERIOD * np.arange(shots))[:, 0]


def excited(timeline: Timeline, shots: int = 10_000) -> NDArray[np.int64]:
    """How many shots had 0, 1, … N atoms up."""
    numbers = np.round(take(timeline, shots) / (SEES_ALL.rate_per_atom * (CLOSES - OPENS)))
    return np.bincount(numbers.astype(np.int64), minlength=TRUTH.atoms + 1)


def moves(rate: float) -> NDArray[np.float64]:
    """The rate matrix of n, columns to rows, built from the rates of single jumps (1/s)."""
    atoms = TRUTH.atoms
    matrix = np.zeros((atoms + 1, atoms + 1))
    for n in range(atoms):
        climb = (atoms - n) * (n + 1)
        up, down = 2 * math.pi * rate * climb, 2 * math.pi * TRUTH.decay * climb
        matrix[n + 1, n] += up
        matrix[n, n] -= up
        matrix[n, n + 1] += down
        matrix[n + 1, n + 1] -= down
    return matrix


def fits(seen: NDArray[np.int64], law: NDArray[np.float64]) -> float:
    """p-value of the numbers under a law; cells expected fewer than 5 times are one cell."""
    expected = law / law.sum() * seen.sum()
    rare = expected < 5.0
    if rare.any():
        seen = np.append(seen[~rare], seen[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    return float(chisquare(seen, expected).pvalue)


@pytest.mark.parametrize("rate", [4.0, 5.0, 5.6])
def test_a_long_hold_gives_the_steady_state(rate: float) -> None:
    """p_n ~ (w/gamma)^n, Eq. 3 of the paper, in 10 000 shots (false alarm 3e-5 each)."""
    assert fits(excited(shot(rate)), (rate / 5.0) ** np.arange(21.0)) > 3e-5


@pytest.mark.parametrize("hold", [1e-3, 4e-3, 15e-3])
def test_a_short_hold_gives_the_transient(hold: float) -> None:
    """From all down by the rate equation, its matrix exponential made here (3e-5 each)."""
    begun = (Stretch(OPENS - hold, CLOSES + 10e-6, True),)
    law = expm(moves(5.5) * hold)[:, 0]
    assert fits(excited(shot(5.5, pump_switch=begun)), law) > 3e-5


def test_steps_of_the_pump_are_followed_one_after_the_other() -> None:
    """Strong, dark, weak: the populations pass through all three (false alarm 1e-4)."""
    rf = (Stretch(0.0, 0.29, tone(8.0)), Stretch(0.29, PERIOD, tone(4.5)))
    switch = (Stretch(0.27, 0.29, True), Stretch(0.291, CLOSES + 10e-6, True))
    law = expm(moves(4.5) * (OPENS - 0.291)) @ expm(moves(0.0) * 1e-3) @ expm(moves(8.0) * 0.02)
    assert fits(excited(shot(pump_rf=rf, pump_switch=switch)), law[:, 0]) > 1e-4


def test_counts_are_poissonian_over_the_number_of_atoms() -> None:
    """Mean g<n> + b, variance mean + g^2 Var n, at a gain of 2 and background of 1 (1e-4)."""
    counts = take(shot(), shots=40_000, truth=TRUTH).astype(float)
    gain, background, atoms = 2.0, 1.0, TRUTH.atoms
    mean = gain * atoms / 2 + background
    variance = mean + gain**2 * atoms * (atoms + 2) / 12
    limit = norm.isf(0.5e-4 / 2) / math.sqrt(counts.size)
    assert abs(counts.mean() - mean) < limit * math.sqrt(variance)
    squares = (counts - counts.mean()) ** 2
    assert abs(squares.mean() - variance) < limit * squares.std()


def test_shots_are_the_same_in_whatever_portions() -> None:
    """Samples are keyed by the number of the shot, drifts by the time."""
    drifts = PumpedDriftsEntry(pump_power=DriftEntry(rms=0.01, correlation_time=30.0), step=5.0)
    times = PERIOD * np.arange(90)
    whole = PumpedCavity(TRUTH, 3, drifts).counts(shot(), range(90), times)
    parts = PumpedCavity(TRUTH, 3, drifts)
    pieces = [parts.counts(shot(), range(k, k + 30), times[k : k + 30]) for k in (60, 0, 30)]
    assert np.array_equal(np.concatenate([pieces[1], pieces[2], pieces[0]]), whole)


def test_the_revealed_power_is_where_pumping_balances_decay() -> None:
    """At `critical_power` half of the atoms are up, whatever the modulator's law (1e-4)."""
    truth = replace(SEES_ALL, pump=BeamTruth(13.0, 1.1, 80e6, 10e3))
    cavity = PumpedCavity(truth, 1)
    cavity.counts(shot(), range(1), np.zeros(1))
    power = cavity.reveal()["critical_power"]
    critical = (Stretch(0.0, PERIOD, RFTone(80e6, 10.0 * math.log10(power / 1e-3))),)
    numbers = take(shot(pump_rf=critical), truth=truth) / (1e8 * (CLOSES - OPENS))
    limit = norm.isf(0.5e-4) * numbers.std() / math.sqrt(numbers.size)
    assert abs(numbers.mean() - truth.atoms / 2) < limit


def test_a_pump_too_weak_for_the_transition_reveals_no_critical_power() -> None:
    """No number is made up where the modulator cannot reach w = gamma."""
    weak = PumpedCavity(replace(TRUTH, pump=BeamTruth(4.0, 1.6, 80e6, 10e3)), 1)
    weak.counts(shot(3.0), range(2), np.zeros(2))
    assert "critical_power" not in weak.reveal()
    assert weak.reveal()["collective_decay"] == TRUTH.decay


@pytest.mark.parametrize(
    "dark",
    [
        {"light": (Stretch(0.0, PERIOD, LightState(emission=True, locked=False)),)},
        {"pump_switch": ()},
        {"pump_rf": ()},
    ],
)
def test_without_pump_light_all_atoms_stay_down(dark: dict[str, Any]) -> None:
    """Only the background is counted, and the revealed truth says so (false alarm 1e-4)."""
    cavity = PumpedCavity(TRUTH, 2)
    counts = cavity.counts(shot(**dark), range(400), PERIOD * np.arange(400))
    assert abs(counts.mean() - 1.0) < norm.isf(0.5e-4) / 20
    assert any("400 shots no pump light" in line for line in cavity.reveal()["approximations"])


GLOWS = replace(TRUTH, rate_per_atom=0.0, background_rate=100.0, fluorescence_rate=200.0)
"""Light off the axis that is seen without probe light."""


def glowing(rate: float = 5.0) -> Timeline:
    """A gate of 0.3 s without probe light, the pump on all along."""
    return shot(
        rate,
        pump_switch=(Stretch(START, 0.7, True),),
        pump_rf=(Stretch(0.0, 0.75, tone(rate)),),
        light=(Stretch(0.0, 0.75, LightState(emission=True, locked=True)),),
        probe=(),
        counter_gate=(Stretch(OPENS, OPENS + 0.3, True),),
    )


@pytest.mark.parametrize("rate", [5.0, 5.4])
def test_fluorescence_of_a_long_gate_has_the_exact_mean_and_variance(rate: float) -> None:
    """Photons and the atoms' own slow fluctuations, from the correlation time (1e-4 each)."""
    counts = take(glowing(rate), shots=3000, truth=GLOWS).astype(float)
    ensemble = PumpedEnsemble(TRUTH.atoms, 2 * math.pi * rate, 2 * math.pi * TRUTH.decay)
    half = 0.5 * TRUTH.atoms * GLOWS.fluorescence_rate
    law = hold_bound(ensemble, FluorescenceReadout(half, GLOWS.background_rate), 0.3)
    assert law.variance > 4 * law.mean, "far more than the photons' own"
    limit = norm.isf(0.5e-4 / 2) / math.sqrt(counts.size)
    assert abs(counts.mean() - law.mean) < limit * math.sqrt(law.variance)
    squares = (counts - counts.mean()) ** 2
    assert abs(squares.mean() - law.variance) < limit * squares.std()


def test_fluorescence_is_the_same_in_whatever_portions() -> None:
    """Paths are keyed by the number of the shot."""
    times = 0.75 * np.arange(9)
    whole = PumpedCavity(GLOWS, 3).counts(glowing(), range(9), times)
    parts = PumpedCavity(GLOWS, 3)
    later = parts.counts(glowing(), range(4, 9), times[4:])
    assert np.array_equal(later, whole[4:])
    assert parts.reveal()["half_rate"] == 2000.0


LONG, WIDE = Stretch(OPENS, OPENS + 5e-3, True), Stretch(START, 0.31, True)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            {"counter_gate": (Stretch(START, CLOSES, True),)},
            "which window is wired to counter.gate",
        ),
        (
            {"counter_gate": (LONG,), "pump_switch": (Stretch(START, 0.31, True),)},
            "shorten the gate",
        ),
        ({"pump_switch": (Stretch(START, OPENS, True),)}, "with the pump off they decay together"),
        ({"pump_switch": (Stretch(START, OPENS + 20e-6, True),)}, "keep it steady until the gate"),
        (
            {"counter_gate": (Stretch(0.2, 0.20005, True), Stretch(OPENS, CLOSES, True))},
            "opens 2 times",
        ),
        ({"counter_gate": ()}, "opens 0 times"),
        ({"probe": (Stretch(0.1, CLOSES, True),)}, "before the counter's gate opens"),
        ({"pump_rf": (Stretch(0.0, PERIOD, tone(5.0, 81e6)),)}, "synthesizer's table"),
    ],
)
def test_what_has_no_honest_answer_is_refused(lines: dict[str, Any], words: str) -> None:
    """The fault names the line and says where to look."""
    truth = replace(TRUTH, atoms=100)
    with pytest.raises(ApparatusFault, match=words):
        take(shot(**lines), shots=10, truth=truth)


def edited(tmp_path: Path, old: str, new: str) -> Path:
    """A copy of the shipped laboratory file with some text replaced."""
    text = (files("cavitylab.station_configs") / "pumped_cavity.lab.yaml").read_text("utf-8")
    assert old in text
    path = tmp_path / "edited.lab.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("kind: pumped_cavity", "kind: pumped_cavty", "did you mean `pumped_cavity`"),
        ("to: pump.switch", "to: pump.swich", "did you mean `pump.switch`"),
        ("to: light", "to: gradient.current", "neither a line of the apparatus"),
        ("full_rate:", "full_rat:", "did you mean `full_rate`"),
        ("pump_power:", "drive_amplitude:", "unknown key `drifts.drive_amplitude`"),
        ("atoms: 100", "atoms: 1", "must be from 2"),
    ],
)
def test_mistakes_of_its_laboratory_file_are_found(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    """Lines, truth and drifts are those of this kind of apparatus, not of another."""
    with pytest.raises(LaboratoryFileError, match=words):
        load_laboratory(edited(tmp_path, old, new))
