"""A seeded run, killed again and again and resumed each time, ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from cavitylab.instruments.shipped import find_file
from cavitylab.protocols.recording import Run

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="fork and SIGKILL"),
    pytest.mark.slow,
]

KILLED = -9


class Children:
    """The program of `interrupted_runs.py`; each order is one child."""

    def __init__(self, folder: Path, laboratory: Path) -> None:
        self._folder, self._laboratory = folder, laboratory
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("interrupted_runs.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, data: str, protocol: str, die: list[Any] | None = None) -> int:
        """Begin a run in that data folder, or go on with the one in it; how the child ended."""
        order = {
            "protocol": protocol,
            "station": "two_ensemble",
            "laboratory": str(self._laboratory),
            "data": str(self._folder / data),
            "said": str(self._folder / f"{data}.txt"),
            "resume": None if (path := self.path(data)) is None else str(path),
            "die": die,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code: int = json.loads(self._process.stdout.readline())
        return code

    def path(self, data: str) -> Path | None:
        """The one run of a data folder that exists on disk."""
        found = list((self._folder / data).glob("*/*/data.zarr/zarr.json"))
        assert len(found) <= 1
        return found[0].parents[1] if found else None

    def acknowledged(self, data: str) -> list[int]:
        """Good shots that the children said were acknowledged, in order."""
        return [int(line) for line in (self._folder / f"{data}.txt").read_text().split()]

    def close(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(300)


@pytest.fixture
def children(tmp_path) -> Iterator[Children]:
    """Runs on the shipped station and a laboratory with a tenth of the atoms."""
    text = find_file("two_ensemble", ".lab.yaml").read_text(encoding="utf-8")
    laboratory = tmp_path / "small.lab.yaml"
    laboratory.write_text(text.replace("atoms_per_ensemble: 100", "atoms_per_ensemble: 20"))
    made = Children(tmp_path, laboratory)
    yield made
    made.close()


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Everything a run recorded, but texts; times from the first shot on."""
    run = Run.open(path)
    assert run.state == "complete" and run.verify().ok
    stored = xr.open_zarr(path / "data.zarr", decode_times=False)
    found = {
        str(name): variable.values
        for name, variable in stored.variables.items()
        if not str(name).startswith(("event", "provenance"))
    }
    return {**found, "time": found["time"] - found["time"][0]}


def check_equal(children: Children, data: str, other: str) -> None:
    """All arrays and the final estimates of two runs, to the last bit."""
    first, second = children.path(data), children.path(other)
    assert first is not None and second is not None
    expected, found = arrays(first), arrays(second)
    assert expected.keys() == found.keys() and len(expected) >= 12
    for name, values in expected.items():
        assert values.dtype == found[name].dtype and np.array_equal(values, found[name]), name
    fits = [json.loads((p / "estimates.json").read_text())["estimate"] for p in (first, second)]
    assert fits[0] == fits[1]


def steps_of(children: Children, data: str) -> int:
    """Number of steps that the uninterrupted run had, at least."""
    path = children.path(data)
    assert path is not None
    return int(Run.open(path).load("block")["block_step"].max()) + 3


@pytest.mark.parametrize("protocol", ["adaptive", "plain"])
def test_killed_at_every_step_boundary(children, protocol):
    """SIGKILL before step 0, 1, 2, …, each time in the run resumed from the one before."""
    assert children.run("whole", protocol) == 0
    for number in range(steps_of(children, "whole")):
        assert children.run("killed", protocol, ["step", number]) == KILLED
    assert children.run("killed", protocol) == 0
    check_equal(children, "whole", "killed")
    path = children.path("killed")
    assert path is not None
    blocks = Run.open(path).load("block")["block_shots"]
    assert len(blocks) > 4, "some blocks had spoiled shots, and were repeated for them"


def test_killed_at_the_references_of_a_tracked_run(children):
    """In the first, the one that the estimates ask for, and the last: it is asked for again."""
    assert children.run("whole", "tracked") == 0
    for block in (2, 6, 11):
        assert children.run("killed", "tracked", ["reference", block]) == KILLED
    assert children.run("killed", "tracked") == 0
    check_equal(children, "whole", "killed")
    path = children.path("killed")
    assert path is not None
    columns = Run.open(path).load("point")
    kinds = dict(zip(columns["member"].tolist(), columns["reference"].tolist(), strict=True))
    assert sum(kinds.values()) == 3, "of 2 to 4, as the estimates say"


def test_killed_inside_the_writer_and_between_trigger_and_readout(children):
    """Before and after commits, publications and renames, and with a block in the air."""
    places: list[list[Any]] = []
    places += [["fire", 1], ["fire", 1], ["rename", 1, True], ["stage", 1, True]]
    for number in (1, 2, 3):
        places += [["commit", number, False], ["commit", number, True]]
    # From here on a computer that publishes less often may bring the run to its end.
    for number in (3, 6, 9):
        places += [["rename", number, False], ["stage", number - 1, True], ["commit", 4, False]]
    assert children.run("whole", "adaptive") == 0
    deaths = 0
    for place in places:
        code = children.run("killed", "adaptive", place)
        assert code in (0, KILLED)
        deaths += code == KILLED
        if code == 0:
            break
    if code != 0:
        assert children.run("killed", "adaptive") == 0
    assert deaths >= 8
    check_equal(children, "whole", "killed")
    # What one child announced as acknowledged, no later one takes back or announces again.
    said, once = children.acknowledged("killed"), children.acknowledged("whole")
    assert said == sorted(said) and said[-1] == 120
    assert not Counter(said) - Counter(once)
