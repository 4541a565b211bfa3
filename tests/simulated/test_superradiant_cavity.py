"""Several ensembles in one cavity: the model's moments, what the wires do, faults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from cavitylab.instruments.simulated.lines import (
    ApparatusFault,
    LightState,
    RFTone,
    Stretch,
    Timeline,
)
from cavitylab.instruments.simulated.superradiant_cavity import SuperradiantCavity
from cavitylab.instruments.simulated.superradiant_truth import SuperradiantTruth
from cavitylab.instruments.simulated.truth import BeamTruth
from cavitylab.instruments.station import Station
from cavitylab.instruments.timeline import Tone, Window
from cavitylab.models.multi_ensemble_superradiance import (
    CoupledEnsembles,
    OperatingPoint,
    operating_point,
)
from cavitylab.models.multi_ensemble_superradiance_dark import dark_state
from cavitylab.models.multi_ensemble_superradiance_exact import evolve_exact
from cavitylab.models.multi_ensemble_superradiance_moments import evolve_moments

ATOMS, COUPLINGS, LINEWIDTH = (100, 60, 80), (700.0, 700.0, 420.0), 1e6
TRUTH = SuperradiantTruth(
    atoms=ATOMS,
    couplings=(BeamTruth(2e3, 1.6, 80e6, 5.0),) * 3,
    phases=(0.0, 0.0, 0.0),
    drive=BeamTruth(400e6, 1.6, 80e6, 5.0),
    linewidth=LINEWIDTH,
    analysis=BeamTruth(60e3, 1.6, 80e6, 5.0),
    rate_per_atom=1e6,
    background_rate=0.0,
)
PERIOD, PULSE = 0.05, 0.2e-6
GOOD = LightState(emission=True, locked=True)


def tone(amplitude: float, full: float, phase: float = 0.0) -> RFTone:
    """The tone that gives `amplitude` behind a modulator of strength `full`."""
    power = 1.6 * (2.0 / math.pi * math.asin(amplitude / full)) ** 2
    return RFTone(80e6, 10.0 * math.log10(power / 1e-3), phase)


QUARTER = 5e-6
"""Seconds of a quarter of a turn at 50 kHz."""
TURNED = tone(1e5, 400e6, 30.0)


def point_of(couplings: tuple[float, ...], curvature: float = 0.5) -> OperatingPoint:
    """Where the drive balances the decay, rates angular."""
    largest = max(couplings)
    decay = 2 * math.pi * 4 * largest**2 / LINEWIDTH
    eta = [one / largest for one in couplings]
    return operating_point(CoupledEnsembles.from_atom_numbers(ATOMS, eta, decay), curvature)


def shot(
    couplings: tuple[float, ...] = COUPLINGS, hold: float = 10e-3, scale: float = 1.0,
    phase: float = -90.0, **lines: tuple[Stretch, ...],
) -> Timeline:  # fmt: skip
    """Pulse and hold at K = 0.5, the drive `scale` times too strong in the hold; then pi/2."""
    point = point_of(couplings)
    per_drive = 2 * math.pi * 4 * max(couplings) / LINEWIDTH
    end = PULSE + hold
    gates = [Stretch(end + 6e-3 * k, end + 5e-3 + 6e-3 * k, True) for k in (1, 2, 3)]
    drive = (
        Stretch(0.0, PULSE, tone(point.theta / PULSE / per_drive, 400e6)),
        Stretch(PULSE, end, tone(scale * point.drive / per_drive, 400e6)),
    )
    usual: Mapping[str, tuple[Stretch, ...]] = {
        "drive.rf": drive,
        **{
            f"coupling_{number}.rf": (Stretch(0.0, end, tone(one, 2e3)),)
            for number, one in enumerate(couplings, 1)
        },
        "analysis.rf": (Stretch(0.0, PERIOD, tone(50e3, 60e3, phase)),),
        "analysis.switch": (Stretch(end + 10e-6, end + 15e-6, True),),
        "light": (Stretch(0.0, PERIOD, GOOD),),
        **{f"probe.{k}": (gate,) for k, gate in enumerate(gates, 1)},
        "counter.gate": tuple(gates),
    }
    return {**usual, **{name.replace("__", "."): line for name, line in lines.items()}}


def seen(timeline: Timeline, truth: SuperradiantTruth = TRUTH) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and covariance of what is counted, in atoms."""
    cavity = SuperradiantCavity(truth, 1)
    return cavity.observed(cavity.read(timeline, 1.0))


def test_the_hold_ends_in_the_dark_state_of_the_couplings_on_the_wire() -> None:
    """Unequal couplings and atom numbers: covariances of Shen Eq. 13, to the short pulse's 2e-3."""
    for couplings in (COUPLINGS, (700.0, 700.0, 700.0)):
        state = dark_state(point_of(couplings).ensembles, point_of(couplings).theta)
        roots = np.sqrt(ATOMS)
        means, covariance = seen(shot(couplings, hold=20e-3))
        assert means == pytest.approx(np.zeros(3), abs=1e-6)
        expected = 0.25 * np.outer(roots, roots) * state.covariance_x
        assert np.abs(covariance - expected).max() < 2e-3 * np.diag(expected).max()
    # after the pulse along the drive's axis the counts show S_y
    along = seen(shot(hold=20e-3, phase=0.0))[0]
    angles = point_of(COUPLINGS).theta * np.array(COUPLINGS) / 700.0
    assert along == pytest.approx(0.5 * np.array(ATOMS) * np.sin(angles), rel=2e-3)


def test_a_short_hold_and_a_wrong_drive_are_followed() -> None:
    """The moment equations of the same drive, from its product state: 1 % (the pulse's length)."""
    point = point_of(COUPLINGS)
    moments = evolve_moments(point.ensembles, point.theta, 0.9 * point.drive, [1e-3])
    means, covariance = seen(shot(hold=1e-3, scale=0.9))
    assert np.abs(covariance - moments.covariance[-1][::3, ::3]).max() < 0.25
    assert means == pytest.approx(np.zeros(3), abs=1e-6)


def test_few_atoms_are_followed_exactly() -> None:
    """Three times two atoms: the master equation's moments to 1e-9, whole atoms in the counts."""
    few = replace(TRUTH, atoms=(2, 2, 2), phases=(0.1, 0.0, 0.0))
    steady: Any = {"drive__rf": (Stretch(0.0, PULSE + 10e-3, tone(2e3, 400e6)),)}
    decay = 2 * math.pi * 4 * 700.0**2 / LINEWIDTH
    ensembles = CoupledEnsembles.from_atom_numbers((2, 2, 2), (1.0, 1.0, 0.6), decay)
    drive = 2 * math.pi * 4 * 2e3 * 700.0 / LINEWIDTH
    (moments,) = evolve_exact(ensembles, 0.0, [PULSE + 10e-3], drive)
    turned = [math.cos(0.1), 1.0, 1.0]
    quarter: Any = {"analysis__switch": (Stretch(0.011, 0.011 + QUARTER, True),)}
    assert seen(shot(phase=0.0, **steady, **quarter), few)[0] == pytest.approx(
        moments.mean_spins[:, 1] * turned, abs=1e-9
    )
    timeline = shot(**steady, **quarter)
    covariance = seen(timeline, few)[1]
    assert covariance[1:, 1:] == pytest.approx(moments.covariance_x[1:, 1:], abs=1e-9)
    cavity = SuperradiantCavity(few, 3)
    counts = cavity.counts(timeline, range(4000), np.zeros(4000))
    up = np.round(counts / 5000.0)
    assert np.abs(counts / 5000.0 - up).max() < 0.2
    bound = norm.isf(0.5e-4 / 3) * np.sqrt(np.diag(covariance) / 4000)
    assert np.all(np.abs(up.mean(axis=0) - 1.0 - seen(timeline, few)[0]) < bound)  # 1e-4


def test_phases_written_between_hold_and_analysis_move_the_means() -> None:
    """d<S_x>/d phi is minus <S_y>, ensemble by ensemble, as revealed."""
    phases = (0.01, 0.0, -0.02)
    truth = replace(TRUTH, phases=phases)
    cavity = SuperradiantCavity(truth, 1)
    cavity.counts(shot(), range(2), np.zeros(2))
    slopes = np.array(cavity.reveal()["slopes"])
    assert seen(shot(), truth)[0] == pytest.approx(slopes * np.sin(phases), abs=1e-6)


def test_light_that_is_missing_leaves_the_atoms_down() -> None:
    """Without the laser, or without any coupling, nothing is up; the truth says so."""
    unlocked = (Stretch(0.0, PERIOD, LightState(emission=False, locked=False)),)
    cavity = SuperradiantCavity(TRUTH, 2)
    counts = cavity.counts(shot(light=unlocked), range(20), np.zeros(20))
    assert not counts.any()
    assert any("20 shots no light" in line for line in cavity.reveal()["approximations"])
    off: Any = {f"coupling_{k}__rf": () for k in (1, 2, 3)}
    means, covariance = seen(shot(analysis__switch=(), **off))
    assert means == pytest.approx(-0.5 * np.array(ATOMS))
    assert np.abs(covariance).max() < 1e-12


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ({"counter__gate": (Stretch(1e-3, 2e-3, True),)}, "gate opens at 1 ms, before the last"),
        ({"probe__2": (Stretch(1e-3, 2e-3, True),)}, "probe.2 .* destroys the state"),
        ({"coupling_4__rf": (Stretch(0.0, 5e-3, TURNED),)}, "there are 3 ensembles"),
        ({"coupling_2__rf": (Stretch(0.0, 5e-3, tone(700.0, 2e3)),)}, "begin and end together"),
        ({"analysis__switch": (Stretch(5e-3, 5.1e-3, True),)}, "while the atoms are coupled"),
        ({"analysis__switch": (Stretch(0.011, 0.0111, True), Stretch(0.012, 0.0121, True))},
         "no single, steady pulse"),
        ({"drive__rf": (Stretch(0.0, 5e-3, tone(1e5, 4e8)), Stretch(5e-3, 1.0, TURNED))},
         "changes its phase by 30"),
        ({"drive__rf": (Stretch(0.0, 0.01, tone(1.05e5, 4e8)),)}, "above the critical one"),
    ],
)  # fmt: skip
def test_what_has_no_honest_answer_is_refused(lines: dict[str, Any], words: str) -> None:
    """The fault names the line and says where to look."""
    with pytest.raises(ApparatusFault, match=words):
        SuperradiantCavity(TRUTH, 1).counts(shot(**lines), range(2), np.zeros(2))


def test_counts_through_the_station_follow_the_couplings() -> None:
    """Ensemble 3 uncoupled by its RF: its variance is a product state's (false alarm 1e-5)."""
    with Station.open(
        "superradiant_cavity", rehearse="superradiant_cavity", seed=4, options={"drifts": "off"}
    ) as station:
        roles: dict[str, Any] = dict(station.roles)
        gates = [Window(f"ensemble_{k}", 9e-3 + 6e-3 * k, 5e-3) for k in (1, 2, 3)]
        analysis = Window("analysis", 8.05e-3, 5e-6)
        for weak in (700.0, 30.0):
            tones = {
                "drive": [Tone(0.0, 18e-6, 2.9e6), Tone(22e-6, 7.98e-3, 60e3)],
                "coupling_1": [Tone(0.0, 8e-3, 700.0)],
                "coupling_2": [Tone(0.0, 8e-3, 700.0)],
                "coupling_3": [Tone(0.0, 8e-3, weak)],
                "analysis": [Tone(8.03e-3, 40e-6, 50e3, -math.pi / 2)],
            }
            for name, played in tones.items():
                roles[name].upload(roles[name].compile(played))
            roles["timing"].upload(roles["timing"].compile([analysis, *gates], 1500, 40e-3))
            roles["detector"].upload(roles["detector"].compile(gates, 1500))
            roles["detector"].arm()
            for name in tones:
                roles[name].arm()
            roles["timing"].fire()
            roles["timing"].wait_done()
            roles["timing"].check()
            counts = roles["detector"].read().astype(float)
            assert station.apparatus_faults() == ()
            truth: dict[str, Any] = station.reveal() or {}
            assert truth["couplings"] == pytest.approx([700.0, 700.0, weak], rel=0.05)
            gain, scale = truth["gain"], np.array(truth["lengths"]) / 10.0
            matrix = np.array(truth["squeezing_matrix"]) * np.outer(scale, scale)
            expected = np.diag(matrix) * gain**2 + counts.mean(axis=0)
            variance = counts.var(axis=0, ddof=1)
            band = norm.isf(0.5e-5 / 3) * math.sqrt(2.0 / 1499)  # Gaussian counts
            # the pulse is a quarter turn to 3 %: 0.1 % of the long axis is seen as well
            assert np.abs(variance / expected - 1.0).max() < band + 0.01
        assert matrix[2, 2] == pytest.approx(25.0, rel=0.01)  # N/4: nothing reached it
