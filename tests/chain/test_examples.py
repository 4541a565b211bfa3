"""The scripts of `examples/` run as they stand, and what they print agrees with the truth."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
_LINE = re.compile(r"(-?\d+\.?\d*)(?:\((\d+)\)| \+- (\S+)).*truth +(-?\d+\.?\d*)")


def _within(line: str) -> bool | None:
    """Whether a line's number is its truth within six of its errors; None where it has none."""
    found = _LINE.search(line)
    if found is None:
        return None
    value, last, error, truth = found.groups()
    places = len(value.partition(".")[2])
    std = float(error) if error else float(last) * 10.0**-places
    return abs(float(value) - float(truth)) < 6 * std + 10.0**-places


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "numbers"),
    [("prepare_dissipatively.py", 6), ("scan_the_pump.py", 2), ("rehearse_ramsey.py", 1)],
)
def test_example(
    script: str, numbers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs, keeps its data where it is told, and its numbers are right."""
    runpy.run_path(str(EXAMPLES / script))["main"](tmp_path)
    printed = capsys.readouterr().out.splitlines()
    verdicts = [verdict for line in printed if (verdict := _within(line)) is not None]
    assert verdicts == [True] * numbers
    assert printed
    assert list(tmp_path.rglob("data.zarr"))


def test_every_example_is_among_them() -> None:
    """A new script joins the list above."""
    (mark,) = (m for m in test_example.pytestmark if m.name == "parametrize")  # type: ignore[attr-defined]
    assert {script for script, _ in mark.args[1]} == {p.name for p in EXAMPLES.glob("*.py")}
