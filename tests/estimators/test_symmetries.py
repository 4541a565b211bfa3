"""Symmetries of every estimator: what is done to the records, and what the answer must become.

A row of TABLE names the estimator, the change of the records (and of the beliefs, where they are
part of it), and how the quantities answer: each is a factor times a quantity of the plain fit plus
a shift; those that are not named stay as they are. Values and interval ends agree to 1e-6 of the
standard deviation, standard deviations to 1e-6 of themselves, p-values to 1e-6, wherever no
looser number stands in the row.

Counts that are multiplied are no longer Poisson: only estimators without a law of the counts know
the symmetry of scale. The others are asked for the unit of time, or of the knob, instead.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab.estimators import Estimate
from cavitylab.estimators.registry import estimators

_SPEC = importlib.util.spec_from_file_location(
    "symmetry_table", Path(__file__).with_name("symmetry_table.py")
)
assert _SPEC is not None and _SPEC.loader is not None
symmetry_table = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = symmetry_table
_SPEC.loader.exec_module(symmetry_table)
CASES, TABLE = symmetry_table.CASES, symmetry_table.TABLE
BELIEFS, RECORDS = symmetry_table.BELIEFS, symmetry_table.RECORDS
Records, Row = symmetry_table.Records, symmetry_table.Row


def records_of(name: str) -> Records:
    """The plain records."""
    rng, case = np.random.default_rng(1), CASES[name]
    return RECORDS[name](rng) if name in RECORDS else case.draw(rng, case.shots)


def beliefs_of(row: Row) -> dict[str, Any]:
    """Those of the plain fit."""
    return {**BELIEFS.get(row.name, CASES[row.name].beliefs), **row.plain}


@functools.cache
def plain_fit(index: int) -> Estimate:
    """The fit of the records as they are."""
    return fitted(TABLE[index].name, records_of(TABLE[index].name), beliefs_of(TABLE[index]))


def first_like(index: int) -> int:
    """The first row with the same plain fit: it is done once."""
    row = TABLE[index]
    return next(k for k, one in enumerate(TABLE) if one.name == row.name and one.plain == row.plain)


def fitted(name: str, records: Records, beliefs: Mapping[str, Any]) -> Estimate:
    """The answer to these records."""
    estimator: Any = estimators()[name].build(dict(beliefs))
    estimator.update(records)
    answer: Estimate = estimator.estimate()
    return answer


def test_every_estimator_has_a_row() -> None:
    """A new estimator has a symmetry, or a reason here."""
    assert sorted(set(CASES) - {row.name for row in TABLE}) == []


@pytest.mark.parametrize(
    "index", range(len(TABLE)), ids=[f"{row.name}: {row.change}" for row in TABLE]
)
def test_the_answer_follows_the_records(index: int) -> None:
    """Values, standard deviations, intervals, p-value."""
    row = TABLE[index]
    first = plain_fit(first_like(index))
    beliefs = {**beliefs_of(row), **row.beliefs}
    other = fitted(row.name, row.records(records_of(row.name)), beliefs)
    assert set(other.quantities) == set(first.quantities)
    for name, quantity in other.quantities.items():
        source, factor, shift = row.answer.get(name, (name, 1.0, 0.0))
        wanted = first[source]
        std = abs(factor) * wanted.std
        ends = sorted(factor * end + shift for end in wanted.interval)
        assert quantity.std == pytest.approx(std, rel=row.within), name
        near = row.within * std
        assert quantity.value == pytest.approx(factor * wanted.value + shift, abs=near), name
        assert quantity.interval == pytest.approx(ends, abs=near), name
    if first.goodness_of_fit is not None and row.checked:
        assert other.goodness_of_fit is not None
        p_values = other.goodness_of_fit.p_value, first.goodness_of_fit.p_value
        assert p_values[0] == pytest.approx(p_values[1], rel=row.within, abs=1e-12)
