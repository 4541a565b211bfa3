"""The examples of docs/estimators are programs: each python block runs, in its page's order."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from cavitylab.estimators.registry import estimators

PAGES = sorted((Path(__file__).parents[2] / "docs" / "estimators").glob("*.md"))
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_runs(page: Path, tmp_path, monkeypatch) -> None:
    """Blocks of a page share their names; files are written into a folder of their own."""
    text = page.read_text(encoding="utf-8")
    blocks = list(_BLOCK.finditer(text))
    assert blocks, f"{page.name} has no python example"
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for block in blocks:
        line = text[: block.start(1)].count("\n")
        code = compile("\n" * line + block.group(1), str(page), "exec")
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_says_what_it_assumes_and_what_can_be_told(page: Path) -> None:
    """A heading, the assumptions, and the identifiable range."""
    text = page.read_text(encoding="utf-8").lower()
    assert text.startswith("# ")
    assert "assum" in text
    assert "identifiable" in text


@pytest.mark.parametrize("page", [p for p in PAGES if p.stem != "README"], ids=lambda p: p.stem)
def test_every_page_has_a_formula_and_its_efficiency(page: Path) -> None:
    """The model in an indented formula, and a figure of efficiency and coverage that exists."""
    text = page.read_text(encoding="utf-8")
    assert re.search(r"^(    \S|\| `\w+`).*[=~]", text, re.MULTILINE)
    shown = re.findall(r"!\[[^]]*coverage[^]]*\]\((figures/[^)]+)\)", text)
    assert shown, f"{page.name} does not show how efficient it is"
    for figure in shown:
        assert (page.parent / figure).is_file(), f"{figure}: benchmarks/estimators.py --read"


def test_every_exported_estimator_has_a_page() -> None:
    """Named on a page of its own room, not only in the list of the README."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.stem != "README")
    for entry in estimators().values():
        assert f"`{entry.factory.__name__}" in text or f"{entry.factory.__name__}(" in text
