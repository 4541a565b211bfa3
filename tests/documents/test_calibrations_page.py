"""The page of the calibrations is a program: its python block runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "protocols" / "calibrations.md"


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A station of one's own is calibrated and its file becomes a new version."""
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.M)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(PAGE), "exec"), {"__name__": "page"})  # our own page
    printed = capsys.readouterr().out
    assert "True ()" in printed and "gradient_coil.1.yaml" in printed
    assert (tmp_path / "lab/calibrations/versions/gradient_coil.1.yaml").is_file()
