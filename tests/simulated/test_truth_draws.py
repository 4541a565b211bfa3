"""Hidden truths are fair draws, and random numbers do not depend on who asks when."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from scipy.stats import kstest

from cavitylab.instruments.simulated.draws import Drift, keyed_generator, shot_uniforms
from cavitylab.instruments.simulated.laboratory_file import load_laboratory
from cavitylab.instruments.simulated.truth import (
    Quantity,
    TwoEnsembleTruth,
    TwoEnsembleTruthEntry,
    draw_truth,
)

SEEDS = 2000


@pytest.fixture(scope="module")
def entry() -> TwoEnsembleTruthEntry:
    """The truth section of the shipped laboratory."""
    path = files("cavitylab.station_configs") / "two_ensemble.lab.yaml"
    return load_laboratory(str(path)).apparatus.truth


@pytest.fixture(scope="module")
def drawn(entry: TwoEnsembleTruthEntry) -> list[TwoEnsembleTruth]:
    """The truths of many seeds."""
    return [draw_truth(entry, seed) for seed in range(SEEDS)]


@pytest.mark.parametrize(
    ("name", "nominal", "spread"),
    [
        ("drive.full_strength", 60e3, 0.02),
        ("drive.saturation_power", 1.6, 0.02),
        ("slope", 250.0, 0.015),
        ("rate_per_atom", 20e3, 0.03),
        ("background_rate", 10e3, 0.05),
    ],
)
def test_truths_are_spread_as_the_calibrations_say(
    drawn: list[TwoEnsembleTruth], name: str, nominal: float, spread: float
) -> None:
    """Over many seeds a truth is normal round its nominal value (false alarm 1e-5 each)."""
    values = []
    for truth in drawn:
        value: object = truth
        for part in name.split("."):
            value = getattr(value, part)
        values.append((float(str(value)) / nominal - 1.0) / spread)
    assert kstest(values, "norm").pvalue > 1e-5


def test_signal_lies_anywhere_in_its_range(drawn: list[TwoEnsembleTruth]) -> None:
    """The signal phase is uniform in the range of the file (false alarm 1e-5)."""
    signals = [truth.signal for truth in drawn]
    assert kstest(signals, "uniform", args=(0.02, 0.06)).pvalue > 1e-5


def test_truths_are_independent_of_each_other(drawn: list[TwoEnsembleTruth]) -> None:
    """No two quantities share random numbers (|correlation| < 4.5 / sqrt(seeds), 1e-4 in all)."""
    table = np.array(
        [
            [t.drive.full_strength, t.drive.saturation_power, t.coupling.saturation_power, t.slope]
            + [t.rate_per_atom, t.background_rate, t.signal]
            for t in drawn
        ]
    )
    correlation = np.corrcoef(table.T) - np.eye(7)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(SEEDS)


def test_same_seed_same_truth(entry: TwoEnsembleTruthEntry) -> None:
    """A seed fixes the truth; another seed gives another."""
    assert draw_truth(entry, 7) == draw_truth(entry, 7)
    assert draw_truth(entry, 7) != draw_truth(entry, 8)


def test_plain_number_is_exact(entry: TwoEnsembleTruthEntry) -> None:
    """A quantity without a spread is the same in every laboratory."""
    assert {draw_truth(entry, seed).drive.centre_frequency for seed in range(5)} == {80e6}


def test_absurd_draws_are_redrawn() -> None:
    """Nothing lies further than five standard deviations off, and nothing nearer is cut."""

    class Wild:
        def __init__(self) -> None:
            self.next = iter([7.0, -5.5, 4.9])

        def standard_normal(self) -> float:
            return next(self.next)

    value = Quantity(nominal=100.0, spread=0.01).draw(Wild())  # type: ignore[arg-type]
    assert value == pytest.approx(104.9)


def test_uniforms_do_not_depend_on_the_blocks() -> None:
    """The numbers of shots 3..999 are the same in one portion and in portions of seven."""
    whole = shot_uniforms(5, "projection", range(3, 1000))
    parts = [shot_uniforms(5, "projection", range(i, min(i + 7, 1000))) for i in range(3, 1000, 7)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert not np.array_equal(whole, shot_uniforms(5, "photons.0", range(3, 1000)))
    assert not np.array_equal(whole, shot_uniforms(6, "projection", range(3, 1000)))


def test_uniforms_are_uniform() -> None:
    """Numbers of one stream over shots and over seeds are uniform (false alarm 2e-5)."""
    assert kstest(shot_uniforms(1, "a", range(100_000)), "uniform").pvalue > 1e-5
    first = np.concatenate([shot_uniforms(seed, "a", range(1)) for seed in range(3000)])
    assert kstest(first, "uniform").pvalue > 1e-5


def test_alignment_shots_have_numbers_too() -> None:
    """Very large shot numbers, used without a burst, work as well."""
    assert 0.0 < shot_uniforms(1, "a", range(1 << 40, (1 << 40) + 1))[0] < 1.0


def test_drift_has_its_rms_and_is_slow() -> None:
    """Over seeds a drift has the stated rms (within 5 standard errors) and changes slowly."""
    drifts = [Drift(2e-3, 120.0, 10.0, seed, "drive") for seed in range(2000)]
    values = np.array([[one.at_step(0), one.at_step(1), one.at_step(100)] for one in drifts])
    assert values.std(axis=0) == pytest.approx(2e-3, rel=5 / np.sqrt(2 * 2000))
    correlation = np.corrcoef(values.T)
    assert correlation[0, 1] > 0.97
    assert abs(correlation[0, 2]) < 0.1


def test_drift_without_memory_is_new_in_every_step() -> None:
    """With correlation time 0 neighbouring steps are independent, and repeatable."""
    drift = Drift(1e-3, 0.0, 10.0, 1, "coil")
    values = np.array([drift.at_step(k) for k in range(2000)])
    assert values.std() == pytest.approx(1e-3, rel=5 / np.sqrt(4000))
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.1
    assert drift.at_step(17) == values[17]


def test_no_drift_without_rms() -> None:
    """rms 0 switches a drift off exactly."""
    assert Drift(0.0, 10.0, 1.0, 3, "drive").at_step(5) == 0.0


def test_generators_are_keyed_by_purpose() -> None:
    """Equal seed and stream give equal numbers, another stream others."""
    one, same = keyed_generator(1, "a").random(), keyed_generator(1, "a").random()
    assert one == same != keyed_generator(1, "b").random()
