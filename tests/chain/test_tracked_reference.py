"""A reference measured again as often as its drift asks for, in a laboratory that drifts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cavitylab import Station, run
from cavitylab.instruments.shipped import find_file
from cavitylab.instruments.station_file import load_station_file
from cavitylab.protocols import CalibrateAtomNumber, PumpingScan
from cavitylab.protocols.composition import Tracked
from cavitylab.protocols.engine import stored_estimator, stored_records
from cavitylab.protocols.recording import Run
from cavitylab.protocols.steps import Shots, TakeEstimate

CALIBRATIONS = load_station_file(find_file("two_ensemble", ".yaml")).calibrations
RABI = {"signal_quantity": "rabi_frequency", "reference_quantity": "rabi_frequency"}


def tracked(rounds: int) -> Tracked:
    """The same short measurement of the Rabi frequency as signal and as reference: D = 0."""
    both: list[Any] = [
        CalibrateAtomNumber(shots=6, dark_shots=2, turns=(0.25, 0.5, 0.75)) for _ in range(2)
    ]
    signal, reference = both
    return Tracked(signal, reference, rounds=rounds, diffusion=(1.0, 1e5), **RABI)


def test_without_an_answer_the_reference_comes_every_round() -> None:
    """As many shots as planned, numbered through, with the time of the shots before them."""
    protocol = tracked(3)
    steps = list(protocol.steps(CALIBRATIONS, 1))
    shots = [step for step in steps if isinstance(step, Shots)]
    assert sum(step.shots for step in shots) == protocol.planned_shots
    assert isinstance(steps[-1], TakeEstimate)
    columns = [protocol.point(step.point, CALIBRATIONS) for step in shots]
    assert [one["reference"] for one in columns[::4]] == [1, 0, 1, 0, 1, 0, 1]
    assert sorted({one["member"] for one in columns}) == list(range(7))
    before = np.cumsum([0.0, *(step.duration for step in shots)])
    assert [one["elapsed"] for one in columns] == pytest.approx(before[:-1])
    json.dumps(protocol.settings_dict())


def test_what_cannot_be_tracked_is_refused() -> None:
    """Unknown quantities, other detectors, ranges that do not rise."""
    one: Any = CalibrateAtomNumber()
    other: Any = PumpingScan()
    with pytest.raises(ValueError, match="no quantity 'phase'"):
        Tracked(one, one, rounds=1, diffusion=(1.0, 2.0), signal_quantity="phase")
    with pytest.raises(ValueError, match="the same detectors"):
        Tracked(one, other, rounds=1, diffusion=(1.0, 2.0))
    with pytest.raises(ValidationError, match="0 < low < high"):
        Tracked(one, one, rounds=1, diffusion=(2.0, 1.0))
    with pytest.raises(ValidationError, match="share"):
        Tracked(one, one, rounds=1, diffusion=(1.0, 2.0), share=0.0)


@pytest.mark.slow
def test_a_tracked_difference_holds_where_an_untracked_one_is_off(tmp_path: Path) -> None:
    """A drive that drifts by 3 % in a quarter of a minute, and one that hardly does.

    The difference is 0: within 4.1 std (1e-4). One reference at the beginning would be off by
    more than five. Where little drifts, few references are taken, and the interval is narrower
    than one reference would leave it. The stored run says the same.
    """
    text = find_file("two_ensemble", ".lab.yaml").read_text("utf-8")
    old = "drive_amplitude: {rms: 2.0e-3, correlation_time: 120.0}"
    assert old in text and "step: 20.0 " in text
    taken = []
    for rms in (0.03, 0.002):
        new = old.replace("2.0e-3", str(rms)).replace("120.0", "15.0")
        laboratory = tmp_path / f"{rms}.lab.yaml"
        laboratory.write_text(text.replace(old, new).replace("step: 20.0 ", "step: 1.0 "), "utf-8")
        protocol: Any = tracked(9)
        with Station.open("two_ensemble", rehearse=laboratory, seed=2) as station:
            result = run(protocol, station, data=tmp_path, seed=2)
        estimate: Any = result.estimate
        found = estimate["difference"]
        assert abs(found.value) < 4.1 * found.std
        stored = Run.open(result.path)
        if rms == 0.002:
            again = stored_estimator(stored)
            again.update(stored_records(stored))
            assert again.estimate().quantities == estimate.quantities
        rounds = [one["rabi_frequency"] for one in estimate.members.values()]
        columns = stored.load("point")
        kind = dict(zip(columns["member"].tolist(), columns["reference"].tolist(), strict=True))
        signals = [one for number, one in enumerate(rounds) if kind[number] == 0]
        off = np.mean([one.value for one in signals]) - rounds[0].value
        alone = np.hypot(rounds[0].std, signals[0].std / np.sqrt(len(signals)))
        taken.append(estimate.diagnostics["references"])
        assert found.std < alone
        assert bool(abs(off) > 5 * alone) == (rms == 0.03)
    assert taken[1] < taken[0] / 1.5, taken
