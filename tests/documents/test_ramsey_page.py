"""The page of the Ramsey protocol is a program: its python block runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "protocols" / "ramsey_ellipse.md"


@pytest.mark.slow
def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signal, and how well it can be known."""
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.M)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(PAGE), "exec"), {"__name__": "page"})  # our own page
    printed = capsys.readouterr().out
    assert "rad at best" in printed


def test_every_setting_that_the_page_names_exists() -> None:
    """Names in backticks that look like settings are settings or quantities."""
    from cavitylab.protocols import RamseyEllipse

    protocol = RamseyEllipse(reference="unsqueezed")
    known = {*type(protocol.settings).model_fields, *protocol.quantities, "schedule=fixed"}
    text = PAGE.read_text("utf-8")
    for name in re.findall(r"`([a-z_]+)(?:=[a-z_]+)?`", text):
        assert name in known or name in {"plan"}, name
    for name in re.findall(r"--set ([a-z_]+)=", text):
        assert name in type(protocol.settings).model_fields, name
