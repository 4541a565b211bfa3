"""The page of the pumping scans: its example runs, its commands and settings exist."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from cavitylab.protocols import PROTOCOLS, protocol_by_name

PAGE = Path(__file__).parents[2] / "docs" / "protocols" / "pumping_scan.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands; the printed value and the truth agree within 2 %."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, str(PAGE), "exec", dont_inherit=True), {"__name__": "__main__"})
    found, truth = (float(one) for one in re.findall(r"\d\.\d+", said.getvalue())[:2])
    assert found == pytest.approx(truth, rel=0.02)
    assert "resolved" in said.getvalue()


def test_commands_name_protocols_and_settings_that_exist() -> None:
    """Each command of the page is of a registered protocol, with settings that it takes."""
    text = PAGE.read_text("utf-8")
    commands = re.findall(r"^cavitylab (?:run|plan) (\w+)(.*)$", text, flags=re.MULTILINE)
    assert {name for name, _ in commands} == {n for n in PROTOCOLS if n.startswith("pumping_")}
    for name, rest in commands:
        settings = dict(re.findall(r"--set (\w+)=(\S+)", rest))
        protocol_by_name(name)(**{key: float(value) for key, value in settings.items()})
