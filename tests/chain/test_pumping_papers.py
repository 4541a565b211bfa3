"""The paper's laws through the whole chain, in the short form of `benchmarks/papers_pumping.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from scipy.stats import norm

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def papers() -> ModuleType:
    """The benchmark, loaded from its file."""
    path = Path(__file__).parents[2] / "benchmarks" / "papers_pumping.py"
    spec = importlib.util.spec_from_file_location("papers_pumping", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_hysteresis_grows_with_the_rate_as_computed(papers: ModuleType, tmp_path: Path) -> None:
    """Fig. 4: measured where up and down pass the half level (1e-4, and 3 % for straight lines)."""
    rows = papers.hysteresis_widths(tmp_path, (2.0, 16.0), 30, 41)
    assert rows[1].exact > 4 * rows[0].exact
    for row in rows:
        far = norm.isf(0.5e-4 / 2) * row.std + 0.03 * row.exact
        assert abs(row.measured - row.exact) < far, row


def test_the_error_of_the_critical_pump_falls_as_one_over_the_atoms(
    papers: ModuleType, tmp_path: Path
) -> None:
    """Error times N and root of shots: the same within 15 % for 30 and 120 atoms."""
    few, many = papers.critical_errors(tmp_path, (30, 120), 1, 30, 51)
    assert many.scaled == pytest.approx(few.scaled, rel=0.15)
    assert max(few.pull, many.pull) < norm.isf(0.5e-4 / 2)
