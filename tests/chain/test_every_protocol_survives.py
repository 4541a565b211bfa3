"""Every registered protocol survives a kill, Ctrl-C, a guard's trip and a time-out on the wire.

A new protocol is picked up by its name. With an entry in SMALL its runs are short; without one
they have its default settings.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.shipped import find_file
from cavitylab.protocols import PROTOCOLS, shipped_rehearsal
from cavitylab.protocols.recording import Run

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="fork and SIGKILL"),
    pytest.mark.slow,
]

KILLED = -9


@dataclass(frozen=True)
class Small:
    """A protocol's short runs.

    Attributes:
        settings: Of the protocol.
        laboratory: Words of its laboratory's file to replace.
        blocks: After how many blocks it is interrupted: enough for a fit.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    laboratory: Mapping[str, str] = field(default_factory=dict)
    blocks: int = 3


FEW = {"atoms_per_ensemble: 100": "atoms_per_ensemble: 20"}
THIRTY = {"    atoms: 100": "    atoms: 30"}
SMALL: Mapping[str, Small] = {
    "calibrate_atom_number": Small({"shots": 3, "dark_shots": 3}),
    "calibrate_coupling": Small({"shots": 5, "dark_shots": 10}, blocks=12),
    "calibrate_detector": Small({"shots": 10, "dark_shots": 10}, blocks=2),
    "calibrate_detuning": Small({"shots": 4, "dark_shots": 10}, blocks=12),
    "calibrate_rabi": Small({"shots": 4, "dark_shots": 10}, blocks=12),
    "calibrate_settling": Small({"shots": 2, "times": (-0.05, -0.03, -0.01, 0.0, 0.02, 0.06)}),
    "dissipative_preparation": Small(
        {"holds": 4, "shots_per_hold": 20, "passes": 2, "adaptive": True, "angles": 0}, blocks=2
    ),
    "pumping_adaptive": Small({"rounds": 8, "shots_per_round": 10, "hold": 0.15}),
    "pumping_hold": Small({"rounds": 7, "shots_per_round": 6, "atoms": 30}, THIRTY),
    "pumping_scan": Small({"points": 5, "shots_per_point": 20, "passes": 2, "hold": 0.15}),
    "pumping_sweep": Small(
        {"points": 5, "shots_per_point": 8, "passes": 1, "stair": 1.0, "atoms": 30}, THIRTY
    ),
    "ramsey_ellipse": Small(
        {"shots": 120, "block": 20, "atoms_per_ensemble": 20, "preparation_rabi_hz": 2.5e3}, FEW
    ),
}


@pytest.fixture(scope="module")
def children() -> Iterator[Any]:
    """The program that takes runs in forked children of its own."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("every_protocol_program.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None and process.stdout is not None

    def take(order: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        code, told = json.loads(process.stdout.readline())
        return code, told

    yield take
    process.stdin.close()
    process.wait(60)


class Runs:
    """Runs of one protocol in one folder."""

    def __init__(self, name: str, folder: Path, take: Any) -> None:
        self._small, self._folder, self._take = SMALL.get(name, Small()), folder, take
        self._name, self.blocks = name, self._small.blocks
        _, laboratory = shipped_rehearsal(name)
        text = find_file(laboratory.removesuffix(".lab.yaml"), ".lab.yaml").read_text("utf-8")
        for old, new in self._small.laboratory.items():
            assert old in text
            text = text.replace(old, new)
        self.whole = self._write("whole", text)
        fault = 'faults:\n  - {device: timing_box, kind: mute, match: "LERR", nth: 6}\n'
        assert "\nfaults: []" in text
        self.mute = self._write("mute", text.replace("\nfaults: []", "\n" + fault))

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / f"{name}.lab.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def take(
        self, data: str, laboratory: Path | None = None, **more: Any
    ) -> tuple[int, dict[str, Any] | None]:
        """Begin a run in that data folder, or go on with the one in it."""
        begun = self.path(data)
        return self._take(
            {
                "protocol": self._name,
                "settings": dict(self._small.settings),
                "laboratory": str(laboratory or self.whole),
                "data": str(self._folder / data),
                "said": str(self._folder / f"{data}.said"),
                "resume": None if begun is None else str(begun),
                **more,
            }
        )

    def path(self, data: str) -> Path | None:
        """The one run of a data folder."""
        found = list((self._folder / data).glob("*/*/data.zarr/zarr.json"))
        assert len(found) <= 1
        return found[0].parents[1] if found else None

    def stored(self, data: str) -> tuple[Run, dict[str, Any]]:
        """That run, and its final fit."""
        path = self.path(data)
        assert path is not None
        fit = json.loads((path / "estimates.json").read_text())["estimate"]
        return Run.open(path), fit


@pytest.mark.parametrize("name", PROTOCOLS)
def test_killed_and_interrupted_it_goes_on_as_if_nothing_had_happened(
    name: str, tmp_path: Path, children: Any
) -> None:
    """kill -9, resumed, Ctrl-C, resumed: every array and the answer are those of a whole run."""
    runs = Runs(name, tmp_path, children)
    code, whole = runs.take("whole")
    assert code == 0 and whole is not None and whole["state"] == "DONE"
    assert runs.take("part", signal="SIGKILL", after=2) == (KILLED, None)
    code, stopped = runs.take("part", signal="SIGINT", after=runs.blocks)
    assert code == 0 and stopped is not None
    assert stopped["state"] == "STOPPED" and 0 < stopped["shots"] < whole["shots"]
    assert stopped["made_safe"] == 1 and not stopped["unsafe"]
    code, done = runs.take("part")
    assert code == 0 and done is not None
    assert (done["state"], done["shots"]) == ("DONE", whole["shots"])
    (first, first_fit), (second, second_fit) = runs.stored("whole"), runs.stored("part")
    assert first.verify().ok and second.verify().ok
    for stream in ("shot", "point", "block"):
        expected, found = first.load(stream), second.load(stream)
        assert expected.keys() == found.keys()
        for column, values in expected.items():
            begun = values[0] if column == "time" else 0  # the two began at other times of day
            other = found[column][0] if column == "time" else 0
            assert np.array_equal(values - begun, found[column] - other, equal_nan=True), column
    assert first_fit == second_fit


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_time_out_and_unfit_shots_cost_repeats_and_nothing_else(
    name: str, tmp_path: Path, children: Any
) -> None:
    """An answer that never comes, an open door, a spoiled shot: all good shots in the end."""
    runs = Runs(name, tmp_path, children)
    code, done = runs.take("troubled", runs.mute, trouble=True)
    assert code == 0 and done is not None
    assert done["state"] == "DONE" and done["made_safe"] == 1 and not done["unsafe"]
    run, fit = runs.stored("troubled")
    shots, points = run.load("shot"), run.load("point")
    status, place = shots["status"], shots["point_index"]
    check = (
        np.asarray(points["coil_check"])[place] if "coil_check" in points else np.zeros(len(place))
    )
    assert np.sum(status == 1) == done["shots"]
    assert np.sum((status == 1) & (check == 0)) == fit["shots"], "a check is no part of the fit"
    assert {2, 3} <= set(status.tolist()), "the open door's block, and the one spoiled shot"
    kinds = [event["kind"] for event in run.events()]
    assert "rejected" in kinds, "the silent timing box"
    said = " ".join(str(event) for event in run.events() if event["kind"] == "guard")
    assert "the door is open" in said and "one shot is spoiled" in said and "well again" in said
