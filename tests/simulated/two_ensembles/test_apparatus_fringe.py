"""Two pulses on unprepared atoms: the Ramsey ellipse of independent atoms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.simulated.lines import ApparatusFault
from cavitylab.models.pulses import detuned_pulse

QUIET = {"shots": 4000, "rate_per_atom": 1e9, "background_rate": 0.0}
"""Counts that tell every atom."""


def fringe(bench: Any, dark: float, current: float = 4.0, fraction: float = 50 / 60) -> Any:
    """Two pulses of 5 us with `dark` seconds between them, no light on the coupling."""
    second = 105e-6 + dark
    return bench.wires(current=current).instead(
        coupling_rf=(),
        coupling_switch=(),
        drive_rf=bench.line((0.0, bench.period, bench.tone(fraction))),
        drive_switch=bench.windows((100e-6, 105e-6), (second, second + 5e-6)),
    )


@pytest.mark.parametrize("dark", [40e-6, 150e-6])
def test_second_moments_are_those_of_the_phase_between_the_pulses(bench: Any, dark: float) -> None:
    """Mean n/2, variance of a fringe and of projection, correlation C^2/8 cos 2phi.

    phi holds the signal, the detuning in the dark, and both pulses' own parts. Each of the four
    figures lies beyond 4.1 standard errors with a probability of 4e-5.
    """
    counts, truth = bench.take(fringe(bench, dark), **QUIET)
    atoms = np.round(counts / 5e6)
    pulse = detuned_pulse(math.tau * 50e3, math.tau * 500.0, 5e-6)
    phi = bench.truth.signal + math.pi * 1e3 * dark + 2 * pulse.phase_before
    contrast = math.sin(pulse.area) ** 2
    middle = 50 * (1 - math.cos(pulse.area) ** 2)
    spread = 100**2 * contrast**2 / 8
    projection = 100 * (0.25 - contrast**2 / 8)
    errors = atoms - middle
    assert abs(errors.mean(axis=0)).max() < 4.1 * math.sqrt((spread + projection) / 4000)
    variance = (errors**2).mean(axis=0)
    assert variance == pytest.approx(spread + projection, rel=4.1 * math.sqrt(0.6 / 4000))
    correlation = (errors[:, 0] * errors[:, 1]).mean()
    assert abs(correlation - spread * math.cos(2 * phi)) < 4.1 * (spread + projection) / 63
    assert truth["shots"] == 4000 and "phase" not in truth


def test_any_portion_gives_the_same_atoms(bench: Any) -> None:
    """The numbers are keyed by the shot, not by the block."""
    timeline = fringe(bench, 50e-6).timeline
    whole = bench.apparatus().counts(timeline, range(50), np.zeros(50))
    cavity = bench.apparatus()
    parts = [cavity.counts(timeline, range(*ends), np.zeros(25)) for ends in ((0, 25), (25, 50))]
    assert np.array_equal(np.concatenate(parts), whole)


def test_a_long_first_pulse_is_a_preparation_that_failed(bench: Any) -> None:
    """Drive light for more than half a turn without coupling is told, not answered for."""
    wires = fringe(bench, 50e-6).instead(
        drive_switch=bench.windows((100e-6, 400e-6), (500e-6, 505e-6))
    )
    with pytest.raises(ApparatusFault, match="never on together"):
        bench.take(wires)
