"""The two-mode squeezing station: what is commanded on the wires is what the atoms show."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from cavitylab.console.cli import main
from cavitylab.instruments.roles import ReadingsMismatch
from cavitylab.instruments.station import Station
from cavitylab.instruments.timeline import Tone, Window
from cavitylab.models.two_mode_squeezing_outcomes import PairLight, PairState, evolved

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))
ATOMS = 8
PREPARATION = Window("preparation", 100e-6, 12e-3)
PULSE = Window("pulse", PREPARATION.stop + 100e-6, 1 / 160e3)
GATES = (Window("ensemble_1", 12.4e-3, 5e-3), Window("ensemble_2", 17.5e-3, 5e-3))
X, Y = 1.5 * math.pi, 0.0
SHOTS = 2000


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """The shipped station on its laboratory with fewer atoms, nothing drifting."""
    text = (SHIPPED / "two_mode_squeezing.lab.yaml").read_text(encoding="utf-8")
    assert "atoms: [20, 20]" in text
    path = tmp_path / "small.lab.yaml"
    path.write_text(text.replace("[20, 20]", f"[{ATOMS}, {ATOMS}]"), encoding="utf-8")
    options = {"drifts": "off"}
    with Station.open("two_mode_squeezing", rehearse=path, seed=11, options=options) as opened:
        opened.roles["gradient"].parameters["detuning_difference"](20e6)
        yield opened


def take(
    station: Station,
    phase: float = X,
    r: float = 0.6,
    windows: tuple[Window, ...] = (PREPARATION, PULSE, *GATES),
    **scales: float,
) -> NDArray[np.float64]:
    """Upload, arm, fire, wait, read; amplitudes of single tones may be scaled on the wire."""
    roles: dict[str, Any] = dict(station.roles)
    tones: dict[str, Any] = {}
    for drive in ("raman_a", "raman_b"):
        tones |= roles[drive].tones(r, 100.0, 50e-6, 12.1e-3)
    for analysis in ("analysis_1", "analysis_2"):
        tones[analysis] = (Tone(PULSE.start - 20e-6, 100e-6, 40e3, phase),)
    for aom, played in tones.items():
        factor = scales.get(aom, 1.0)
        scaled = [replace(one, amplitude_hz=factor * one.amplitude_hz) for one in played]
        roles[aom].upload(roles[aom].compile(scaled))
    timing, detector = roles["timing"], roles["detector"]
    gates = [one for one in windows if one.name in detector.detectors]
    timing.upload(timing.compile(windows, SHOTS, 25e-3))
    detector.upload(detector.compile(gates, SHOTS))
    detector.arm()
    for aom in tones:
        roles[aom].arm()
    timing.fire()
    timing.wait_done()
    timing.check()
    return np.asarray(detector.read(), dtype=np.float64)


def expected(station: Station, sign: float) -> float:
    """Variance of counts_1 + sign * counts_2 in X, as the models have it for the hidden truth."""
    truth = station.reveal() or {}
    state = PairState.all_down(ATOMS, ATOMS)
    if "squeezing_a" in truth:
        first, second = truth["squeezing_a"], truth["squeezing_b"]
        lower, lift = ((form(first), form(second)) for form in (math.cosh, math.sinh))
        state = evolved(state, PairLight(60.0, lower, lift))
    law = state.outcomes((truth["analysis_1"], truth["analysis_2"]), 0.0)
    n = np.arange(ATOMS + 1.0)
    seen, ups = np.add.outer(n, sign * n), np.add.outer(n, n)
    spread = float(np.sum(law * seen**2) - np.sum(law * seen) ** 2)
    gain, background = truth["gain"], truth["background"]
    return float(gain**2 * spread + gain * np.sum(law * ups) + 2.0 * background)


def agrees(sample: NDArray[np.float64], variance: float) -> bool:
    """Whether the sample has this variance (false alarm 1e-5)."""
    squares = (sample - sample.mean()) ** 2
    return bool(
        abs(squares.mean() - variance) < norm.isf(0.5e-5) * squares.std() / math.sqrt(len(sample))
    )


def test_the_station_is_sound_and_every_unverified_command_is_tried(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`station check` and `station verify`, in the rehearsal."""
    monkeypatch.chdir(tmp_path)
    for word in ("check", "verify"):
        with pytest.raises(SystemExit) as caught:
            main(["station", word, "two_mode_squeezing", "--rehearse", "two_mode_squeezing"])
        out = capsys.readouterr().out
        assert not caught.value.code, out
        assert ("raman_b" if word == "check" else "0 not as expected") in out


@pytest.mark.parametrize("r", [0.2, 0.8])
def test_r_on_the_wire_is_r_of_the_atoms(station: Station, r: float) -> None:
    """The ratio of the tones gives the hidden r, and that the variance of the sum in X (1e-5)."""
    counts = take(station, r=r)
    told = station.reveal() or {}
    for pair in ("squeezing_a", "squeezing_b"):  # calibrations of 1 %, 5 standard deviations
        assert told[pair] == pytest.approx(r, abs=5 * 0.5 * math.sinh(2 * r) * 0.017)
    assert agrees(counts.sum(axis=1), expected(station, 1.0))


def test_one_tone_weaker_on_the_wire_is_felt(station: Station) -> None:
    """2 dB less on one raising tone: r of its pair alone, and the atoms follow (1e-5)."""
    counts = take(station, raising_a=0.8)
    told = station.reveal() or {}
    assert math.tanh(told["squeezing_a"]) == pytest.approx(0.8 * math.tanh(0.6), rel=0.07)
    assert math.tanh(told["squeezing_b"]) == pytest.approx(math.tanh(0.6), rel=0.07)
    assert agrees(counts.sum(axis=1), expected(station, 1.0))


def test_the_sum_in_x_and_the_difference_in_y_are_squeezed(station: Station) -> None:
    """And the other two are not; each as the hidden truth has it (false alarm 1e-5 each)."""
    for phase, sign in ((X, 1.0), (Y, -1.0)):
        counts = take(station, phase)
        assert agrees(counts[:, 0] + sign * counts[:, 1], expected(station, 1.0))
        assert agrees(counts[:, 0] - sign * counts[:, 1], expected(station, -1.0))
    assert not station.apparatus_faults()


def test_a_closed_preparation_leaves_independent_atoms(station: Station) -> None:
    """Without AB the tones stay behind their switches: no quadrature is squeezed (1e-5 each)."""
    counts = take(station, windows=(PULSE, *GATES))
    assert "squeezing_a" not in (station.reveal() or {})
    for sign in (1.0, -1.0):
        assert agrees(counts[:, 0] + sign * counts[:, 1], expected(station, sign))


def test_a_gate_before_the_pulse_gives_no_counts_but_a_reason(station: Station) -> None:
    """The block is rejected, and the laboratory says which wire."""
    early = Window("ensemble_1", 12.105e-3, 1e-3)
    late = Window("pulse", 12.11e-3, PULSE.duration)
    with pytest.raises(ReadingsMismatch):
        take(station, windows=(PREPARATION, late, early, GATES[1]))
    assert "before the analysis pulse" in " ".join(station.apparatus_faults())


def test_without_the_gradient_there_is_no_answer(station: Station) -> None:
    """Two reservoirs need two resonances."""
    station.roles["gradient"].parameters["detuning_difference"](0.0)
    with pytest.raises(ReadingsMismatch):
        take(station)
    assert "check the coil current" in " ".join(station.apparatus_faults())
