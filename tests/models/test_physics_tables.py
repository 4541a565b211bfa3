"""docs/physics maps the papers' equations to functions; what it names must exist."""

import importlib
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "physics"
TABLES = sorted(FOLDER.glob("*.md"))


def rows(path):
    """(equation, function) of every row of the page's tables."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) >= 3 and not set(cells[0]) <= set("-: ") and "`" in cells[-1]:
            found.extend((cells[0], name) for name in re.findall(r"`([\w.]+)`", cells[-1]))
    return found


@pytest.mark.parametrize("page", TABLES, ids=lambda p: p.stem)
def test_every_function_that_a_table_names_exists(page):
    """Each name is `module.function` or `module.Class.attribute` below cavitylab.models."""
    named = rows(page)
    assert len(named) >= 5, "a page maps at least a handful of equations"
    for equation, name in named:
        module, *path = name.split(".")
        found = importlib.import_module(f"cavitylab.models.{module}")
        for part in path:
            assert hasattr(found, part) or part in getattr(found, "__slots__", ()), (equation, name)
            found = getattr(found, part)
        assert path, f"{equation}: `{name}` names a module, not a function"
