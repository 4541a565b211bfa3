"""The two-mode cavity: fair samples of what the tones prepare, and faults where there is none."""

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
from scipy.stats import binom, chisquare, norm

from cavitylab.instruments.simulated.laboratory_file import LaboratoryFileError, load_laboratory
from cavitylab.instruments.simulated.lines import (
    ApparatusFault,
    LightState,
    RFTone,
    Stretch,
    Timeline,
)
from cavitylab.instruments.simulated.truth import (
    BeamTruth,
    DriftEntry,
    DriftsEntry,
    ShotNoiseEntry,
)
from cavitylab.instruments.simulated.two_mode_cavity import TwoModeCavity
from cavitylab.instruments.simulated.two_mode_truth import (
    ANALYSIS,
    RAMAN,
    RamanCavityTruth,
    TwoModeTruth,
)
from cavitylab.models.spins import wigner_d
from cavitylab.models.two_mode_squeezing import two_mode_amplitudes
from cavitylab.models.two_mode_squeezing_cavity import raman_settings_for
from cavitylab.models.two_mode_squeezing_dynamics import prepare, prepared_steady_state

ATOMS = 6
CAVITY = RamanCavityTruth(0.5e6, 2e6, 20e6, 1e9, 1.1e9)
TRUTH = TwoModeTruth(
    atoms=(ATOMS, ATOMS),
    beams={
        **{name: BeamTruth(60e6, 1.6, 80e6, 5.0) for name in RAMAN},
        **{name: BeamTruth(60e3, 1.6, 80e6, 5.0) for name in ANALYSIS},
    },
    cavity=CAVITY,
    slope=2.5e6,
    offset=0.0,
    rate_per_atom=20e3,
    background_rate=10e3,
)
SEES_ALL = replace(TRUTH, rate_per_atom=2e5, background_rate=0.0)
"""So many photons that every atom shows."""
PERIOD, BEGIN, END, GATE = 40e-3, 1e-4, 15e-3, 5e-3
FIRST, SECOND = END + 1e-3, END + 7e-3
X, Y = 270.0, 0.0
"""Phases of the analysis tones, degrees."""


def dbm(rabi: float, full: float) -> float:
    """RF power of a Rabi frequency in Hz."""
    return 10.0 * math.log10(1.6e3 * (2.0 / math.pi * math.asin(rabi / full)) ** 2)


def raman(r: float, decay: float = 150.0) -> tuple[float, float]:
    """Rabi frequencies of the two tones, Hz, from the model's own map."""
    given = raman_settings_for(
        r, decay * math.cosh(r) ** 2, coupling=CAVITY.coupling, loss=CAVITY.linewidth,
        detuning_minus=CAVITY.detuning_minus, detuning_plus=CAVITY.detuning_plus,
    )  # fmt: skip
    return given.rabi_minus, given.rabi_plus


def starts(shots: int) -> NDArray[np.float64]:
    """T0 of so many shots, s."""
    return np.linspace(0.0, PERIOD * (shots - 1), shots)


def always(value: Any) -> tuple[Stretch, ...]:
    """A line that does not change."""
    return (Stretch(0.0, PERIOD, value),)


def shot(
    r: float = 0.6, phase: float = X, turn: float = 0.25, r_b: float | None = None, **lines: Any
) -> Timeline:
    """Preparation, a pulse of `turn` turns at `phase` degrees, two gates; lines can be replaced."""
    minus, plus = raman(r)
    minus_b, plus_b = raman(r if r_b is None else r_b)
    rabi = dict(zip(RAMAN, (minus, plus, minus_b, plus_b), strict=True))
    pulse = END + 1e-4, END + 1e-4 + turn / 40e3
    usual: dict[str, tuple[Stretch, ...]] = {
        "gradient.current": always(8.0),
        "light": always(LightState(emission=True, locked=True)),
        "probe.1": (Stretch(FIRST, FIRST + GATE, True),),
        "probe.2": (Stretch(SECOND, SECOND + GATE, True),),
        "counter.gate": (
            Stretch(FIRST, FIRST + GATE, True), Stretch(SECOND, SECOND + GATE, True),
        ),
    }  # fmt: skip
    for name, one in rabi.items():
        usual[f"{name}.rf"] = always(RFTone(80e6, dbm(one, 60e6)))
        usual[f"{name}.switch"] = (Stretch(BEGIN, END, True),)
    for name in ANALYSIS:
        usual[f"{name}.rf"] = always(RFTone(80e6, dbm(40e3, 60e3), phase))
        usual[f"{name}.switch"] = (Stretch(*pulse, True),) if turn else ()
    given = {name.replace("__", "."): line for name, line in lines.items()}
    assert set(given) <= set(usual)
    return {**usual, **given}


def take(
    timeline: Timeline, shots: int = 5000, truth: TwoModeTruth = SEES_ALL, seed: int = 1
) -> NDArray[np.int64]:
    """Counts of a fresh apparatus, (shots, 2)."""
    return TwoModeCavity(truth, seed).counts(timeline, range(shots), starts(shots))


def atoms_up(timeline: Timeline, shots: int = 5000) -> NDArray[np.float64]:
    """Atoms up, (shots, 2), where every atom shows."""
    return np.round(take(timeline, shots) / (SEES_ALL.rate_per_atom * GATE))


def fits(seen: NDArray[np.float64], law: NDArray[np.float64]) -> float:
    """p-value of pairs of numbers under a law; cells expected fewer than 5 times are one cell."""
    cells = (seen[:, 0] * law.shape[1] + seen[:, 1]).astype(np.int64)
    counts = np.bincount(cells, minlength=law.size).astype(float)
    expected = law.ravel() / law.sum() * len(seen)
    rare = expected < 5.0
    counts, expected = (np.append(one[~rare], one[rare].sum()) for one in (counts, expected))
    return float(chisquare(counts, expected).pvalue)


def within(sample: NDArray[np.float64], variance: float) -> bool:
    """Whether the sample's mean square is `variance` (false alarm 1e-5)."""
    squares = sample**2
    return bool(
        abs(squares.mean() - variance) < norm.isf(0.5e-5) * squares.std() / math.sqrt(len(sample))
    )


@pytest.mark.parametrize("turn", [0.25, 0.1])
def test_a_long_preparation_gives_the_pure_state_turned(turn: float) -> None:
    """|sum_m a_m d_{n1 m} d_{n2 m}|^2 with the amplitudes of Mamaev Eq. 1 (false alarm 3e-5)."""
    turned = wigner_d(ATOMS / 2, 2 * math.pi * turn)[::-1, ::-1]
    law = ((turned * two_mode_amplitudes(ATOMS, 0.6)) @ turned.T) ** 2
    assert fits(atoms_up(shot(0.6, turn=turn)), law) > 3e-5


def test_a_short_preparation_gives_the_state_on_the_way() -> None:
    """gamma t = 0.3: variances of both quadratures as the master equation has them (1e-5 each)."""
    stop = BEGIN + 0.3 / (2 * math.pi * 150.0)
    switch = (Stretch(BEGIN, stop, True),)
    short: dict[str, Any] = {f"{name}__switch": switch for name in RAMAN}
    known = prepare(ATOMS, ATOMS, 0.6, [0.3])
    seen = atoms_up(shot(0.6, **short)) - ATOMS / 2
    assert within(seen.sum(axis=1), float(known.x_plus_square[0]))
    assert within(seen[:, 0] - seen[:, 1], float(known.x_minus_square[0]))


@pytest.mark.parametrize(("phase", "sign"), [(X, 1.0), (Y, -1.0)])
@pytest.mark.parametrize("ahead", [0.0, 120.0])
def test_phases_of_the_tones_choose_the_quadrature(phase: float, sign: float, ahead: float) -> None:
    """X_+ and Y_- are squeezed; raising tones ahead turn the frame by half of it (1e-5 each)."""
    raised: dict[str, Any] = {
        f"{name}__rf": always(RFTone(80e6, dbm(raman(0.6)[1], 60e6), ahead))
        for name in ("raising_a", "raising_b")
    }
    seen = atoms_up(shot(phase=phase + ahead / 2, **raised)) - ATOMS / 2
    ideal = prepared_steady_state(ATOMS, ATOMS, 0.6)
    assert within(seen[:, 0] + sign * seen[:, 1], float(ideal.x_plus_square[0]))
    assert within(seen[:, 0] - sign * seen[:, 1], float(ideal.x_minus_square[0]))


def test_a_closed_gate_gives_the_unsqueezed_state() -> None:
    """No Raman light: all down, and independent atoms after the pulse (3e-5)."""
    closed: dict[str, Any] = {f"{name}__switch": () for name in RAMAN}
    half = binom.pmf(np.arange(ATOMS + 1), ATOMS, 0.5)
    cavity = TwoModeCavity(SEES_ALL, 2)
    counts = cavity.counts(shot(**closed), range(5000), starts(5000))
    assert fits(np.round(counts / (SEES_ALL.rate_per_atom * GATE)), np.outer(half, half)) > 3e-5
    assert any("5000 shots no Raman light" in line for line in cavity.reveal()["approximations"])
    assert "xi2" not in cavity.reveal()


def test_a_dark_laser_leaves_the_background_only() -> None:
    """Neither preparation nor pulse nor probe; said in what is revealed (false alarm 1e-4)."""
    dark = always(LightState(emission=True, locked=False))
    cavity = TwoModeCavity(TRUTH, 3)
    counts = cavity.counts(shot(light=dark), range(400), starts(400))
    background = TRUTH.background_rate * GATE
    assert abs(counts.mean() - background) < norm.isf(0.5e-4) * math.sqrt(background / counts.size)
    assert any("400 shots no Raman light" in line for line in cavity.reveal()["approximations"])


def test_unequal_pairs_are_solved_as_they_are() -> None:
    """r of 0.5 and 0.7: the revealed state lies between, and is worse than that of their mean."""
    cavity = TwoModeCavity(TRUTH, 4)
    cavity.counts(shot(0.5, r_b=0.7), range(2), starts(2))
    told = cavity.reveal()
    assert told["squeezing_a"] == pytest.approx(0.5, rel=1e-9)
    assert told["squeezing_b"] == pytest.approx(0.7, rel=1e-9)
    assert told["collective_decay"] == pytest.approx(150.0, rel=1e-9)
    xi2 = [float(prepared_steady_state(ATOMS, ATOMS, r).xi2[0]) for r in (0.7, 0.6, 0.5)]
    assert xi2[1] < told["xi2"] < xi2[2] and xi2[0] < told["xi2"]
    assert told["analysis_1"] == pytest.approx(math.pi / 2, rel=1e-9)


def test_counts_are_poissonian_over_the_atoms() -> None:
    """Gain 100, background 50: variance of the sum from state, photons, both (1e-5)."""
    counts = take(shot(), 10_000, TRUTH).astype(float)
    variance = 100.0**2 * float(prepared_steady_state(ATOMS, ATOMS, 0.6).x_plus_square[0])
    mean = 2 * (100.0 * ATOMS / 2 + 50.0)
    assert within(counts.sum(axis=1) - mean, variance + mean)


def test_shots_are_the_same_in_whatever_portions() -> None:
    """Samples are keyed by the number of the shot, drifts by the time."""
    drifts = DriftsEntry(
        drive_amplitude=DriftEntry(rms=0.01, correlation_time=1.0),
        shot_to_shot=ShotNoiseEntry(atom_number=0.1, laser_power=0.02),
        step=1.0,
    )
    times = starts(60)
    cavity = TwoModeCavity(TRUTH, 3, drifts)
    whole = cavity.counts(shot(), range(60), times)
    parts = TwoModeCavity(TRUTH, 3, drifts)
    pieces = [parts.counts(shot(), range(k, k + 20), times[k : k + 20]) for k in (40, 0, 20)]
    assert np.array_equal(np.concatenate([pieces[1], pieces[2], pieces[0]]), whole)
    assert cavity.reveal()["shots"] == 60
    told = " ".join(cavity.reveal()["approximations"])
    assert "noise of laser power, atom number" in told and "constant within 1 s" in told


FAULTS: Mapping[str, tuple[dict[str, Any], str]] = {
    "gate before the pulse": (
        {"counter__gate": (Stretch(END, END + 1e-3, True),)},
        r"gate opens at 15 ms, before the analysis pulse is over at 15\.10625 ms",
    ),
    "gate before the end of the preparation": (
        {
            "counter__gate": (Stretch(5e-3, 6e-3, True),),
            "analysis_1__switch": (),
            "analysis_2__switch": (),
        },
        r"gate opens at 5 ms, before the Raman light is over",
    ),
    "pulse missing on one ensemble": (
        {"analysis_2__rf": ()},
        r"analysis pulse .* never reaches ensemble 2.*check the RF on analysis_2\.rf",
    ),
    "pulse during the preparation": (
        {"analysis_1__switch": (Stretch(5e-3, 5.1e-3, True),)},
        r"Raman light is on the atoms until 15 ms, and the analysis pulse",
    ),
    "two pulses": (
        {
            "analysis_1__switch": (
                Stretch(END + 1e-4, END + 2e-4, True),
                Stretch(END + 3e-4, END + 4e-4, True),
            )
        },
        r"light that turns ensemble 1 .* is not one constant pulse",
    ),
    "probe before the pulse": (
        {"probe__1": (Stretch(10e-3, 11e-3, True),)},
        r"probe light is on ensemble 1 from 10 ms to 11 ms",
    ),
    "no gradient": (
        {"gradient__current": always(0.0)},
        r"gradient parts the ensembles by 0 Hz, -2e\+07 Hz off",
    ),
    "gradient a little off": (
        {"gradient__current": always(8.1)},
        r"2\.5e\+05 Hz off the distance.*within 0\.1 linewidths",
    ),
    "wrong frequency": (
        {"raising_b__rf": always(RFTone(80e6 + 20.0, 25.0))},
        r"raising_b\.rf .* \+20 Hz off the resonance",
    ),
    "pairs of different phase": (
        {"raising_b__rf": always(RFTone(80e6, dbm(raman(0.6)[1], 60e6), 10.0))},
        r"raising tone of mode b is \+0\.1745 rad further ahead .* share no dark state",
    ),
    "beyond saturation": (
        {"lowering_a__rf": always(RFTone(80e6, 38.5))},
        r"lowering_a\.rf .* far beyond the modulator's saturation",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_where_there_is_no_answer_a_fault_says_what_the_wires_did(name: str) -> None:
    """With times and what to check."""
    lines, words = FAULTS[name]
    with pytest.raises(ApparatusFault, match=words):
        take(shot(**lines), 1)


@pytest.mark.parametrize(
    ("cavity", "words"),
    [
        (replace(CAVITY, linewidth=5e6), "are not two reservoirs"),
        (replace(CAVITY, linewidth=2e4, mode_splitting=20e6), r"N gamma_0/kappa = .* follow at"),
        (replace(CAVITY, excited_linewidth=7.5e3), r"an atom scatters .* photons off resonance"),
    ],
)
def test_a_cavity_for_which_the_elimination_fails_is_refused(
    cavity: RamanCavityTruth, words: str
) -> None:
    """Modes too near, light too strong, excited states too wide."""
    with pytest.raises(ApparatusFault, match=words):
        take(shot(), 1, replace(TRUTH, cavity=cavity))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("atoms: [20, 20]", "atoms: [20, 31]", "atoms.*from 1 to 30"),
        ("detuning_plus: {nominal: 1.1e9", "detuning_plus: {nominal: -1.1e9", "one sign"),
        ("    raising_b:", "    rising_b:", "rising_b"),
        ("to: raising_b.switch", "to: raising_c.switch", "raising_c.switch"),
    ],
)
def test_a_wrong_laboratory_file_is_refused_with_the_reason(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    """Before anything is built."""
    text = (files("cavitylab.station_configs") / "two_mode_squeezing.lab.yaml").read_text("utf-8")
    assert old in text
    path = tmp_path / "wrong.lab.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(LaboratoryFileError, match=words):
        load_laboratory(path)
