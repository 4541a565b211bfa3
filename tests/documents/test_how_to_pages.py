"""The how-to pages are programs: each python block runs, in its page's order."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "how-to").glob("*.md"))
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def run_blocks(page: Path) -> tuple[dict[str, object], str]:
    """All python blocks of a page, one after the other: their names, and what they printed."""
    text = page.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "__main__"}
    said = io.StringIO()
    for block in _BLOCK.finditer(text):
        line = text[: block.start(1)].count("\n")
        code = compile("\n" * line + block.group(1), str(page), "exec", dont_inherit=True)
        with contextlib.redirect_stdout(said):
            exec(code, names)  # our own page
    return names, said.getvalue()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem != "add-a-protocol"], ids=lambda page: page.stem
)
def test_every_example_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a page share their names; files are written into a folder of their own."""
    monkeypatch.chdir(tmp_path)
    _, said = run_blocks(page)
    assert said.strip(), f"{page.name} has no example that prints what it found"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_a_protocol_is_added_in_few_lines_and_finds_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings, steps, apparatus, estimator and figure in under 150 lines; within 4.4 sigma."""
    page = DOCS / "how-to" / "add-a-protocol.md"
    code = "\n".join(block.group(1) for block in _BLOCK.finditer(page.read_text("utf-8")))
    assert len([line for line in code.splitlines() if line.strip()]) < 150
    monkeypatch.chdir(tmp_path)
    names, _ = run_blocks(page)
    estimate = names["result"].estimate  # type: ignore[attr-defined]
    lifetime = estimate["lifetime"]
    assert abs(lifetime.value - 1.37) < 4.4 * lifetime.std < 0.3
    assert (tmp_path / "trap.png").stat().st_size > 5_000


def test_no_protocol_knows_a_driver() -> None:
    """Neither a driver nor a simulated instrument is imported by any module of the room."""
    modules = sorted((DOCS.parent / "protocols").rglob("*.py"))
    assert len(modules) > 20
    found = []
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                imported = [node.module or "", *(alias.name for alias in node.names)]
            parts = {part for name in imported for part in name.split(".")}
            if parts & {"drivers", "simulated"}:
                found.append(f"{module.name}:{getattr(node, 'lineno', 0)}")
    assert found == []
