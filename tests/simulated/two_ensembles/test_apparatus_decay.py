"""A pulse, then the coupling alone: all atoms decay together, and split like balls from an urn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, chi2, norm

from cavitylab.instruments.simulated.lines import ApparatusFault
from cavitylab.models.collective_decay import decayed_populations

QUIET = {"shots": 1000, "rate_per_atom": 4e6, "background_rate": 0.0}
"""Counts that tell every atom."""


def decaying(bench: Any, time: float = 12e-6, current: float = 0.0, begin: float = 200e-6):
    """A pulse of about 0.6 pi at 100 us, then the coupling for `time`."""
    return bench.wires(current=current).instead(
        coupling_rf=bench.line((0.0, bench.period, bench.tone(math.sqrt(0.5)))),
        coupling_switch=bench.windows((begin, begin + time)),
        drive_rf=bench.line((0.0, bench.period, bench.tone(20 / 60))),
        drive_switch=bench.windows((100e-6, 115e-6)),
    )


def test_atoms_fall_by_the_rates_of_collective_decay(bench: Any) -> None:
    """Totals against the exact law, the split against the urn (false alarm 1e-4 in all)."""
    counts, truth = bench.take(decaying(bench), **QUIET)
    atoms = np.round(counts / 2e4).astype(int)
    both = atoms.sum(axis=1)
    start = binom.pmf(np.arange(201), 200, math.sin(math.pi * 20e3 * 15e-6) ** 2)
    law = decayed_populations(start, [math.tau * 100.0 * 12e-6])[0]
    edges = np.searchsorted(np.cumsum(law), np.linspace(0.05, 0.95, 19))
    cells = np.bincount(np.searchsorted(edges, both), minlength=20)
    expected = np.diff(np.r_[0.0, np.cumsum(law)[edges], 1.0]) * 1000
    assert np.sum((cells - expected) ** 2 / expected) < chi2.isf(0.5e-4, 19)
    spread = both / 4 * (200 - both) / 199
    z = np.sum((atoms[:, 0] - both / 2) ** 2 - spread) / math.sqrt(2 * np.sum(spread**2))
    assert abs(z) < norm.isf(0.25e-4)
    assert truth["coupling_full_decay"] == 200.0


def test_wires_that_spoil_the_decay_are_named(bench: Any) -> None:
    """Ensembles that turn apart, a gate that opens too early, a drive that is on meanwhile."""
    with pytest.raises(ApparatusFault, match=r"turns the ensembles 0\.\d+ rad apart"):
        bench.take(decaying(bench, current=4.0))
    with pytest.raises(ApparatusFault, match="while the cavity is coupled"):
        bench.take(decaying(bench, time=13e-3))
    with pytest.raises(ApparatusFault, match="detuning difference is 0 during the preparation"):
        bench.take(decaying(bench, begin=110e-6))
