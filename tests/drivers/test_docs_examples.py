"""The pages of the instruments: their examples run, their open facts are those of the drivers."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cavitylab.instruments.known_types import DRIVERS

PAGES = Path(__file__).resolve().parents[2] / "docs" / "instruments"
MODULES = sorted(path.split(".")[0] for path in DRIVERS)
MOST_LINES = 17
"""Of an example; two instruments need a few more than ten."""

each_page = pytest.mark.parametrize("module", MODULES)


def page(module: str) -> str:
    return (PAGES / f"{module}.md").read_text(encoding="utf-8")


def example(module: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", page(module), flags=re.DOTALL)
    return str(code)


@each_page
def test_example_runs(
    module: str,
    bench: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As it stands, with the library chosen by the environment, as a newcomer would."""
    monkeypatch.setenv("PYVISA_LIBRARY", bench())
    exec(compile(example(module), f"{module}.md", "exec"), {"__name__": module})  # our own page
    assert "Traceback" not in capsys.readouterr().err


@each_page
def test_example_is_short(module: str) -> None:
    """About ten lines that do something."""
    lines = [line for line in example(module).splitlines() if line.strip()]
    assert 8 <= len(lines) <= MOST_LINES


@each_page
def test_page_says_what_is_unverified(module: str) -> None:
    """Word for word what the driver lists."""
    text = " ".join(page(module).split())
    facts = importlib.import_module(f"cavitylab.instruments.drivers.{module}").UNVERIFIED
    assert [fact for fact in facts if fact not in text] == []


@each_page
def test_page_hints_at_the_wiring(module: str) -> None:
    """Which connector goes where, and the address."""
    assert "## Wiring" in page(module)
    assert "TCPIP0::" in page(module) or "ASRL" in page(module)


def test_every_page_is_listed() -> None:
    """The overview names each."""
    overview = (PAGES / "README.md").read_text(encoding="utf-8")
    assert [module for module in MODULES if f"]({module}.md)" not in overview] == []
