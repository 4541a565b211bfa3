"""Draws from a table by its guide: the same cells as a bisection, draw by draw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models.table_draws import cells_of


def bisected(ladder, draws):
    return np.minimum(np.searchsorted(ladder, draws, side="right"), ladder.size - 1)


@given(
    seed=st.integers(0, 2**32 - 1),
    cells=st.integers(1, 400),
    sharpness=st.sampled_from([0.1, 1.0, 10.0, 80.0]),
    empty=st.floats(0.0, 0.95),
)
@settings(max_examples=60, deadline=None)
def test_the_cells_are_those_of_a_bisection(seed, cells, sharpness, empty):
    rng = np.random.default_rng(seed)
    table = rng.random(cells) ** sharpness * (rng.random(cells) >= empty)
    table[rng.integers(cells)] += 1e-3
    ladder = np.cumsum(table)
    draws = rng.random(3 * cells + 7) * ladder[-1]
    np.testing.assert_array_equal(cells_of(ladder, draws), bisected(ladder, draws))


@pytest.mark.parametrize("cells", [3, 1000, 40_401])
def test_draws_on_the_very_edges_of_cells_and_of_guides(cells):
    ladder = np.cumsum(np.random.default_rng(cells).random(cells) ** 6)
    on_cells = ladder[:-1]
    on_guides = ladder[-1] / (2 * cells) * np.arange(2 * cells)
    draws = np.concatenate([on_cells, np.nextafter(on_cells, 0.0), on_guides, [0.0, ladder[-1]]])
    np.testing.assert_array_equal(cells_of(ladder, draws), bisected(ladder, draws))


def test_no_draw_falls_into_a_cell_of_probability_zero():
    table = np.zeros(50)
    table[[7, 31]] = 0.25, 0.75
    draws = np.random.default_rng(3).random(10_000)
    assert set(np.unique(cells_of(np.cumsum(table), draws))) == {7, 31}
