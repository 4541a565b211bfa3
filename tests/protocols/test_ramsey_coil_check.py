"""The check of the coil's sense before a Ramsey run: its sequence, its verdict, its columns."""

from __future__ import annotations

import numpy as np
import pytest

from cavitylab.instruments.shipped import find_file
from cavitylab.instruments.station_file import load_station_file
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.planning import make_plan
from cavitylab.protocols.planning_station import PaperStation
from cavitylab.protocols.ramsey_ellipse_coil import CoilSense, check_sequence
from cavitylab.protocols.steps import Shots

STATION = load_station_file(find_file("two_ensemble", ".yaml"))


def told(first: float, second: float, shots: int = 8, detuning: float = 1000.0) -> CoilSense:
    """A check in which so many atoms of 100 were found up, at a gain of 100 and no background."""
    rng = np.random.default_rng(3)
    sense = CoilSense(100.0, 100)
    counts = rng.poisson(np.array([[first, second]] * shots) * 100.0)
    rest = sense.take(
        {
            "counts": np.vstack([counts, [[5000, 5000]]]),
            "status": np.array([*[1] * (shots + 1)]),
            "coil_check": np.array([*[1.0] * shots, 0.0]),
            "detuning_difference": np.full(shots + 1, detuning),
        }
    )
    assert len(np.asarray(rest["counts"])) == 1
    assert sense.shots == shots
    return sense


@pytest.mark.parametrize(("atoms", "shots"), [(100, 8), (20, 8), (10, 16), (2, 80)])
def test_the_check_is_there_unless_it_is_declined(atoms: int, shots: int) -> None:
    """More shots for few atoms, so that it has an answer; a plan counts them; 0 leaves it out."""
    settings = {"atoms_per_ensemble": atoms, "hold": 3.0}
    protocol = RamseyEllipse(**settings)
    assert protocol.settings.check_shots == shots
    assert protocol.planned_shots == 2000 + shots
    assert RamseyEllipse(**settings, coil_check=0).planned_shots == 2000


@pytest.mark.parametrize(
    ("first", "second", "detuning", "said"),
    [
        (98, 32, 1000.0, ""),
        (32, 98, -1000.0, ""),
        (32, 98, 1000.0, "cables of the gradient coil"),
        (98, 32, -1000.0, "cables of the gradient coil"),
        (60, 58, 1000.0, "carries its current"),
        (0, 0, 1000.0, "carries its current"),
    ],
)
def test_the_ensemble_that_turned_tells_the_coil(
    first: float, second: float, detuning: float, said: str
) -> None:
    """The one that the coil detunes upwards; neither, or the other, is flagged."""
    flags = told(first, second, detuning=detuning).flags()
    assert len(flags) == (1 if said else 0)
    assert said in "".join(flags)


def test_without_shots_nothing_is_said() -> None:
    """A run without the check has no flag and no facts, and its records stay as they are."""
    sense = CoilSense(100.0, 100)
    records = {"counts": np.ones((3, 2)), "setting": np.zeros(3)}
    assert sense.take(records) == records
    assert sense.flags() == [] and sense.facts() == {}


def test_the_first_block_is_one_weak_pulse_beside_the_resonance() -> None:
    """Half the detuning off, without coupling; its point is marked, and no ellipse's."""
    protocol = RamseyEllipse(shots=400, coil_check=6)
    blocks = [step for step in protocol.steps(STATION.calibrations, 1) if isinstance(step, Shots)]
    assert [step.shots for step in blocks] == [6, 200, 200]
    (tone,) = blocks[0].sequence.tones["drive"]
    assert tone.offset_hz == 500.0 and tone.amplitude_hz == 1000.0
    assert blocks[0].sequence.tones["coupling"] == ()
    assert protocol.planned_shots == 406
    marked = protocol.point(blocks[0].point, STATION.calibrations)
    assert marked["coil_check"] == 1.0
    assert protocol.point(0, STATION.calibrations)["coil_check"] == 0.0
    assert "coil_check" not in RamseyEllipse(coil_check=0).point(0, STATION.calibrations)
    program = PaperStation(STATION).roles["drive"].compile([tone])
    assert program.entries[0].frequency == 80.0005e6
    assert make_plan(protocol, STATION).ok


def test_a_small_detuning_takes_the_weakest_pulse_there_is() -> None:
    """The drive's calibration ends at 745 Hz: below, the pulse is no weaker."""
    settings = RamseyEllipse(detuning_hz=400.0, preparation_rabi_hz=4e3, coil_check=6).settings
    (tone,) = check_sequence(settings, STATION.calibrations).drive
    assert 745.0 < tone.amplitude_hz < 770.0
    assert tone.offset_hz == 200.0
