"""Compositions: a protocol scanned over its settings, two in turn; each part's data are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab import Station, run
from cavitylab.instruments.calibration import Calibration
from cavitylab.protocols import PumpingScan
from cavitylab.protocols.composition import Grid, Interleaved, Random, Refined, Scanned
from cavitylab.protocols.engine import (
    RunResult,
    resume_options,
    stored_estimator,
    stored_records,
)
from cavitylab.protocols.protocol import ExperimentProtocol, SetPoint
from cavitylab.protocols.recording import Run
from cavitylab.protocols.steps import Set, Shots

SMALL: dict[str, Any] = {"points": 3, "shots_per_point": 30, "passes": 1, "hold": 0.15}
CALIBRATIONS = Path(__file__).parents[2] / "station_configs" / "calibrations"


def rehearse(protocol: ExperimentProtocol, folder: Path, seed: int = 5, **more: Any) -> RunResult:
    """On the shipped pumped cavity."""
    with Station.open("pumped_cavity", rehearse="pumped_cavity", seed=seed) as station:
        return run(protocol, station, data=folder, seed=seed, **more)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A scan over two spans and two gates, 360 shots."""
    grid = Grid({"span": (0.1, 0.25), "gate": (25e-6, 50e-6)})
    return rehearse(Scanned("pumping_scan", grid, **SMALL), tmp_path_factory.mktemp("scan"))


def test_every_part_has_its_own_fit_and_the_best_speaks(scanned: RunResult) -> None:
    """Four parts of 90 shots; the headline is that with the smallest error."""
    estimate = scanned.estimate
    assert estimate is not None and scanned.shots == estimate.shots == 360
    parts = estimate.diagnostics["members"]
    assert [part["shots"] for part in parts] == [90] * 4
    assert parts[1]["settings"] == {"span": 0.1, "gate": 50e-6}
    stds = [part["estimates"]["critical_pump"]["std"] for part in parts]
    assert estimate["critical_pump"].std == min(stds)
    assert estimate.diagnostics["best_member"] == int(np.argmin(stds))
    # a gate half as long collects half of the counts for each atom
    gains = [part["estimates"]["gain"]["value"] for part in parts]
    assert gains[0] / gains[1] == pytest.approx(0.5, rel=0.1)


def test_the_parts_data_are_kept_and_fitted_again(scanned: RunResult) -> None:
    """The table of points names part and settings; a stored scan gives the same answer."""
    stored = Run.open(scanned.path)
    points = stored.load("point")
    assert points["member"].tolist() == np.repeat(range(4), 3).tolist()
    assert set(points["setting_span"]) == {0.1, 0.25}
    again = stored_estimator(stored)
    again.update(stored_records(stored))
    assert scanned.estimate is not None
    assert again.estimate().to_json() == scanned.estimate.to_json()


def test_the_bounds_are_those_of_the_best_part(scanned: RunResult) -> None:
    """For its own shots, not for all."""
    assert scanned.bounds is not None and scanned.estimate is not None
    assert scanned.estimate["critical_pump"].std > 0.8 * scanned.bounds.cramer_rao_std
    assert scanned.truth is not None and 4.5 < scanned.truth["critical_pump"] < 5.5


def test_random_values_are_of_the_seed() -> None:
    """The same seed draws the same, in the ranges; another draws others."""
    draws = [Random({"span": (0.1, 0.2)}, 4, seed).level(0, None) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert all(0.1 <= one["span"] <= 0.2 for one in draws[0])


def test_refining_closes_in_on_the_best() -> None:
    """The second level spans one old spacing to each side, and stays in the range."""
    design = Refined("hold", 0.1, 0.5, points=5, levels=2)
    assert [one["hold"] for one in design.level(0, None)] == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.5]
    )
    second = [one["hold"] for one in design.level(1, {"hold": 0.2})]
    assert second == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3])
    assert min(one["hold"] for one in design.level(1, {"hold": 0.1})) == 0.1


def test_a_refined_scan_measures_nothing_twice(tmp_path: Path) -> None:
    """The second level's parts lie about the best of the first; known values are left out."""
    design = Refined("span", 0.1, 0.2, points=3, levels=2)
    result = rehearse(Scanned("pumping_scan", design, **SMALL), tmp_path)
    assert result.estimate is not None
    spans = [part["settings"]["span"] for part in result.estimate.diagnostics["members"]]
    assert len(spans) == len(set(spans)) in (4, 5) and spans[:3] == pytest.approx([0.1, 0.15, 0.2])
    first = min(
        result.estimate.diagnostics["members"][:3],
        key=lambda part: part["estimates"]["critical_pump"]["std"],
    )
    assert all(abs(span - first["settings"]["span"]) < 0.0251 for span in spans[3:])


def test_a_setting_that_the_protocol_refuses_is_refused_at_once() -> None:
    """Before any instrument is thought of, with the protocol's own words."""
    with pytest.raises(ValueError, match="too short"):
        Scanned("pumping_scan", Grid({"hold": (0.3, 0.01)}))
    with pytest.raises(ValueError, match="no quantity"):
        Scanned("pumping_scan", Grid({"hold": (0.3,)}), quantity="phase")
    for wrong in (lambda: Grid({}), lambda: Random({"hold": (2.0, 1.0)}, 3)):
        with pytest.raises(ValueError):
            wrong()


class Coil(PumpingScan):
    """A scan that also sets a coil, for what is set when parts take turns."""

    def __init__(self, current: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.current = current

    def steps(self, calibrations: Any, seed: int) -> Any:
        yield Set("coil", "current", self.current)
        yield from super().steps(calibrations, seed)


def test_a_part_finds_what_it_had_set() -> None:
    """Each change of hands sets again what the other part has changed, and only that."""
    settings = {**SMALL, "points": 3}
    both = Interleaved(Coil(1.0, **settings), Coil(2.0, **settings))
    currents, now = [], None
    steps = both.steps(stock(), 1)
    for step in steps:
        if isinstance(step, Set):
            assert step.value != now, "set twice for nothing"
            now = step.value
        if isinstance(step, Shots):
            currents.append(now)
    assert currents == [1.0, 2.0] * 3


def stock() -> dict[str, Calibration]:
    """The shipped calibrations."""
    files = {"pump": "pump_aom", "detector": "pumped_detector"}
    return {r: Calibration.load(CALIBRATIONS / f"{file}.yaml") for r, file in files.items()}


def test_signal_and_reference_take_turns(tmp_path: Path) -> None:
    """Blocks alternate; the difference of two like scans is zero within its error (1e-4)."""
    both = Interleaved(PumpingScan(**SMALL), PumpingScan(**{**SMALL, "points": 5}))
    result = rehearse(both, tmp_path)
    points = Run.open(result.path).load("point")
    assert points["member"].tolist()[:6] == [0.0, 1.0] * 3
    assert result.estimate is not None and result.shots == 240
    difference = result.estimate["difference"]
    assert abs(difference.value) < 3.9 * difference.std
    assert result.truth is not None and result.truth["difference"] == 0.0
    signal, reference = (result.estimate[f"{p}_critical_pump"] for p in both.parts)
    assert difference.value == signal.value - reference.value
    assert difference.std == pytest.approx(np.hypot(signal.std, reference.std))
    assert result.bounds is not None and difference.std > 0.8 * result.bounds.cramer_rao_std
    again = stored_estimator(Run.open(result.path))
    again.update(stored_records(Run.open(result.path)))
    assert again.estimate().to_json() == result.estimate.to_json()


def test_parts_with_other_detectors_cannot_take_turns() -> None:
    """One run has one table of counts."""
    other = PumpingScan(**SMALL)
    other.detectors = ("a", "b")  # type: ignore[misc]
    with pytest.raises(ValueError, match="same detectors"):
        Interleaved(PumpingScan(**SMALL), other)
    odd = PumpingScan(**SMALL)
    odd.set_points = (SetPoint("pump", "W", ""),)  # type: ignore[misc]
    with pytest.raises(ValueError, match="two units"):
        Interleaved(PumpingScan(**SMALL), odd)


def stopping(protocol: Scanned, blocks: int) -> Scanned:
    """The same, interrupted by the operator when it has asked for so many blocks."""
    plain, lives = protocol.steps, []

    def steps(calibrations: Any, seed: int) -> Any:
        lives.append(0)  # the first walk through the steps only checks them
        walk, answer = plain(calibrations, seed), None
        while True:
            try:
                step = walk.send(answer)
            except StopIteration:
                return
            lives[-1] += isinstance(step, Shots)
            if len(lives) == 2 and lives[-1] > blocks:
                raise KeyboardInterrupt
            answer = yield step

    protocol.steps = steps  # type: ignore[method-assign]
    return protocol


def test_a_refined_scan_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """Stopped in its fourth part, of the second level; resumed, counts and answer are the same."""

    def protocol() -> Scanned:
        return Scanned("pumping_scan", Refined("span", 0.1, 0.2, points=3, levels=2), **SMALL)

    whole = rehearse(protocol(), tmp_path / "whole")
    stopped = rehearse(stopping(protocol(), 10), tmp_path / "part")
    assert stopped.shots == 10 * 30
    path = stopped.path
    with Station.open(
        "pumped_cavity", rehearse="pumped_cavity", options=resume_options(path)
    ) as station:
        resumed = run(protocol(), station, resume=path)
    first, second = (Run.open(one.path).load("shot")["counts"] for one in (whole, resumed))
    assert np.array_equal(first, second)
    assert whole.estimate is not None and resumed.estimate is not None
    assert whole.estimate.to_json() == resumed.estimate.to_json()
