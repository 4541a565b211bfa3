"""An ensemble on a squeezed waveguide: exact populations, what the wires do, faults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from cavitylab.console.cli import main
from cavitylab.instruments.roles import ReadingsMismatch
from cavitylab.instruments.simulated.lines import (
    ApparatusFault,
    LightState,
    RFTone,
    Stretch,
    Timeline,
)
from cavitylab.instruments.simulated.squeezed_ensemble import SqueezedEnsemble
from cavitylab.instruments.simulated.squeezed_truth import SqueezedTruth
from cavitylab.instruments.simulated.truth import BeamTruth
from cavitylab.instruments.station import Station
from cavitylab.instruments.timeline import Tone, Window
from cavitylab.models.squeezed_reservoir import SqueezedReservoir, squeezed_steady_state
from cavitylab.models.squeezed_reservoir_dynamics import squeezed_evolution

TRUTH = SqueezedTruth(
    atoms=20,
    squeezer=BeamTruth(0.7, 1.6, 80e6, 1e6),
    transmission=0.9,
    phase_offset=0.1,
    order=1,
    decay=5.0,
    shift=3.0,
    drive=BeamTruth(60e3, 1.6, 80e6, 500e3),
    rate_per_atom=1e8,
    background_rate=0.0,
)
PERIOD, HOLD, PULSE = 0.04, 5e-3, 5e-6
END = 50e-6 + HOLD
GOOD = LightState(emission=True, locked=True)


def tone(amplitude: float, full: float, phase: float = 0.0, frequency: float = 80e6) -> RFTone:
    """The tone that gives `amplitude` behind a modulator of strength `full`."""
    power = 1.6 * (2.0 / math.pi * math.asin(amplitude / full)) ** 2
    return RFTone(frequency, 10.0 * math.log10(power / 1e-3), math.degrees(phase))


def shot(
    squeezing: float = 0.8, alpha: float = 1.0, phase: float = 0.0, off: float = 0.0,
    **lines: tuple[Stretch, ...],
) -> Timeline:  # fmt: skip
    """Hold, pi/2 pulse, gate; `off` is the carrier's distance from resonance in Hz."""
    begun, ready = END + 50e-6, END + 100e-6
    pump = tone(math.tanh(squeezing / 2), 0.7, alpha - 0.1, 80e6 + 2 * off)
    usual: Mapping[str, tuple[Stretch, ...]] = {
        "squeezer.rf": (Stretch(0.0, PERIOD, pump),),
        "squeezer.switch": (Stretch(50e-6, END, True),),
        "coupling.switch": (Stretch(50e-6, END, True),),
        "drive.rf": (Stretch(0.0, PERIOD, tone(50e3, 60e3, phase, 80e6 + off)),),
        "drive.switch": (Stretch(begun, begun + PULSE, True),),
        "light": (Stretch(0.0, PERIOD, GOOD),),
        "probe": (Stretch(ready, ready + 5e-3, True),),
        "counter.gate": (Stretch(ready, ready + 5e-3, True),),
    }
    return {**usual, **{name.replace("_", ".", 1): line for name, line in lines.items()}}


def law(timeline: Timeline, truth: SqueezedTruth = TRUTH) -> tuple[float, float]:
    """Mean of the number up less N/2, and its variance."""
    cavity = SqueezedEnsemble(truth, 1)
    chances = cavity.populations(cavity.read(timeline, 1.0))
    up = np.arange(chances.size)
    assert chances.sum() == pytest.approx(1.0, abs=1e-12)
    mean = float(chances @ up)
    return mean - 0.5 * truth.atoms, float(chances @ up**2) - mean**2


@pytest.mark.parametrize("phase", [0.0, 1.1])
def test_populations_have_the_moments_of_the_master_equation(phase: float) -> None:
    """A short hold with loss and detuning, at any phase of the pulse and without one: 1e-9."""
    (state,) = squeezed_evolution(
        SqueezedReservoir(20, 0.8, 6 * math.pi, 1.0, 0.9, 10 * math.pi), [HOLD]
    )
    mean, variance = law(shot(phase=phase))
    assert (mean, variance) == pytest.approx((0.0, state.variance(phase + math.pi / 2)), abs=1e-9)
    bare = law(shot(drive_switch=()))
    assert bare == pytest.approx((state.sz, state.sz2 - state.sz**2), abs=1e-9)


def test_a_carrier_off_resonance_detunes_and_turns() -> None:
    """A drive at the carrier keeps its phase to alpha; the atoms see Delta_N less the carrier."""
    off = 40.0
    reservoir = SqueezedReservoir(20, 0.8, 2 * math.pi * (3.0 - off), 1.0, 0.9, 10 * math.pi)
    (state,) = squeezed_evolution(reservoir, [HOLD])
    # in the carrier's frame the uncoupled atoms turn from the end of the hold on
    gone = -2 * math.pi * off * (50e-6 + PULSE / 2)
    variance = law(shot(phase=0.3, off=off))[1]
    assert variance == pytest.approx(state.variance(0.3 + math.pi / 2 - gone), rel=1e-3)


def test_light_that_is_missing_leaves_the_atoms_down() -> None:
    """A dark or unlocked laser and an OPO without pump give background only, and are told."""
    cavity = SqueezedEnsemble(replace(TRUTH, background_rate=200.0), 2)
    dark = (Stretch(0.0, PERIOD, LightState(emission=True, locked=False)),)
    counts = cavity.counts(shot(light=dark), range(400), PERIOD * np.arange(400.0))
    assert abs(counts.mean() - 1.0) < norm.isf(0.5e-4) / 20
    assert any("400 shots no light" in line for line in cavity.reveal()["approximations"])
    assert law(shot(squeezer_rf=(), drive_switch=()))[0] == -10.0


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ({"counter_gate": (Stretch(1e-3, 2e-3, True),)}, "gate opens at 1 ms, before the last"),
        ({"counter_gate": ()}, "opens 0 times"),
        ({"probe": (Stretch(1e-3, 2e-3, True),)}, "destroys the state"),
        ({"coupling_switch": (Stretch(50e-6, 0.02, True),)}, "close coupling.switch"),
        ({"drive_switch": (Stretch(1e-3, 1.1e-3, True),)}, "no coherent drive"),
        ({"drive_switch": (Stretch(5.06e-3, 5.07e-3, True), Stretch(5.08e-3, 5.09e-3, True))},
         "no single, steady pulse"),
        ({"coupling_switch": (Stretch(50e-6, 1e-3, True), Stretch(2e-3, END, True))},
         "more than once"),
        ({"squeezer_rf": (Stretch(0.0, 1e-3, tone(0.3, 0.7)), Stretch(1e-3, 1.0, tone(0.2, 0.7)))},
         "keep power, phase and frequency"),
        ({"squeezer_rf": (Stretch(0.0, 1.0, tone(0.2, 0.7, frequency=82e6)),)}, "off the reson"),
    ],
)  # fmt: skip
def test_what_has_no_honest_answer_is_refused(lines: dict[str, Any], words: str) -> None:
    """The fault names the line and says where to look."""
    with pytest.raises(ApparatusFault, match=words):
        law(shot(**lines))


def test_an_opo_above_its_threshold_is_refused() -> None:
    """Bright light is no squeezed vacuum."""
    strong = replace(TRUTH, squeezer=BeamTruth(1.0, 1.6, 80e6, 1e6))
    with pytest.raises(ApparatusFault, match="above its threshold"):
        law(shot(squeezer_rf=(Stretch(0.0, PERIOD, tone(1.0, 1.0)),)), strong)


@pytest.mark.parametrize("name", ["squeezed_reservoir", "superradiant_cavity"])
def test_the_shipped_stations_pass_their_checks(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`cavitylab station check`: every instrument connected, every role healthy."""
    with pytest.raises(SystemExit) as caught:
        main(["station", "check", name, "--rehearse", name])
    assert not caught.value.code, capsys.readouterr()


def take(station: Station, shots: int, phase: float, fire: bool = True) -> NDArray[np.int64]:
    """A block through the roles: hold, pulse of this phase, count."""
    roles: dict[str, Any] = dict(station.roles)
    hold, pulse = Window("squeezing", 50e-6, 20e-3), Window("pulse", 20.1e-3, 4.9e-6)
    gate = Window("ensemble", 20.2e-3, 5e-3)
    drive, timing, detector = roles["drive"], roles["timing"], roles["detector"]
    drive.upload(drive.compile([Tone(20.08e-3, 45e-6, 50e3, phase)]))
    timing.upload(timing.compile((hold, pulse, gate), shots, 30e-3))
    detector.upload(detector.compile([gate], shots))
    detector.arm()
    drive.arm()
    if fire:
        timing.fire()
        timing.wait_done()
        timing.check()
    counts: NDArray[np.int64] = detector.read()
    return counts[:, 0]


def test_the_variance_follows_the_wire() -> None:
    """Power is r, phase is alpha: the sample variance is the model's (false alarm 1e-5 each)."""
    with Station.open(
        "squeezed_reservoir", rehearse="squeezed_reservoir", seed=5, options={"drifts": "off"}
    ) as station:
        squeezer: Any = station.roles["squeezer"]
        squeezer.start()
        for r, alpha in ((0.5, 0.0), (0.9, 0.0), (0.9, 1.2)):
            squeezer.squeezing(r)
            squeezer.alpha(alpha)
            phase = 0.3
            counts = take(station, 1500, phase).astype(float)
            truth = station.reveal() or {}
            assert truth["squeezing"] == pytest.approx(r, rel=0.2)
            state = squeezed_steady_state(
                SqueezedReservoir(
                    60,
                    truth["squeezing"],
                    2 * math.pi * truth["shift"],
                    alpha + truth["phase_offset"],
                    truth["transmission"],
                    2 * math.pi * truth["collective_decay"],
                )
            )
            mean = truth["gain"] * 30 + truth["background"]
            expected = truth["gain"] ** 2 * state.variance(phase + math.pi / 2) + mean
            squares = (counts - counts.mean()) ** 2
            band = norm.isf(0.5e-5) * squares.std() / math.sqrt(counts.size)
            # the pulse is pi/2 to 3 %, the hold 60 relaxation times: 0.5 % of the variance
            assert abs(squares.mean() - expected) < band + 0.005 * expected
        with pytest.raises(ReadingsMismatch, match="0 readings instead of 10"):
            take(station, 10, 0.0, fire=False)
        assert station.apparatus_faults() == ()
