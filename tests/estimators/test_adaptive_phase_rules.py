"""The rule of expected information against a greedy one and a bias that stays, on a squeezed pair.

The outcome of a wrong sign is rare and far off: it shows in the rmse, not in the median.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2

from cavitylab.estimators import AdaptivePhase, EllipseBeliefs, state_table
from cavitylab.estimators.phase_table import PhaseTable
from cavitylab.models.ellipse import EllipseReadout, sample
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

SPIN, RATIO, GAIN, SHOTS = 20.0, 0.1, 50.0, 60
SIGNALS = np.linspace(-1.35, 1.35, 20)
FAR = 5.0  # bounds: beyond it a run has the wrong branch


class SqueezedPair:
    """Single shots at any phase, from the models."""

    def __init__(self) -> None:
        self.weights = steady_state(TwoEnsembles(SPIN, 1.0, RATIO)).weights
        self.readout = EllipseReadout(SPIN, self.weights.size - 1)
        self.laws: dict[float, np.ndarray] = {}

    def shots(self, phase: float, count: int, rng: np.random.Generator) -> np.ndarray:
        """Counts (count, 2)."""
        key = round(phase, 9)
        if key not in self.laws:
            law = self.readout.distribution(self.weights, phase, math.pi / 2.0)
            self.laws[key] = np.maximum(law, 0.0)
        return rng.poisson(GAIN * sample(self.laws[key], count, rng))


def errors(
    pair: SqueezedPair, table: PhaseTable, rule: str | float, runs: int, seed: int
) -> np.ndarray:
    """Errors of runs of one rule, or at one fixed bias, in bounds of the best fixed bias."""
    rng, found = np.random.default_rng(seed), []
    for run in range(runs):
        signal = float(SIGNALS[run % SIGNALS.size])
        if isinstance(rule, str):
            estimator = AdaptivePhase(table, rule=rule)
            for _ in range(SHOTS):
                bias = estimator.ask()
                counts = pair.shots(signal + bias, 1, rng)
                estimator.tell({"counts": counts, "bias_phase": [bias]})
        else:
            estimator = AdaptivePhase(table)
            bias = float(estimator.biases[np.argmin(np.abs(estimator.biases - rule))])
            counts = pair.shots(signal + bias, SHOTS, rng)
            estimator.tell({"counts": counts, "bias_phase": np.full(SHOTS, bias)})
        found.append(estimator.estimate()["signal"].value - signal)
    bound = 1.0 / math.sqrt(SHOTS * float(table.information.max()))
    return np.array(found) / bound


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


@pytest.mark.slow
def test_expected_information_beats_a_greedy_and_a_fixed_bias() -> None:
    """Within 1.21 of the bound (false alarm 1e-4) and never on the wrong branch.

    The greedy rule keeps a wrong sign in a few runs of a hundred: its rmse is above 1.5 of the
    other's; a bias that stays where it is leaves both signs, above 2.9 of it.
    """
    pair = SqueezedPair()
    table = state_table(EllipseBeliefs(SPIN, RATIO, math.pi / 2, GAIN, 0.0, np.zeros((4, 4))))
    chosen = errors(pair, table, "information", 40, seed=6)
    assert rms(chosen) < 1.21 * math.sqrt(chi2.isf(1e-4, chosen.size) / chosen.size)
    assert np.abs(chosen).max() < FAR
    greedy = errors(pair, table, "greedy_fisher", 200, seed=6)
    assert np.abs(greedy).max() > FAR
    assert rms(greedy) > 1.5 * rms(chosen)
    for bias in (0.0, math.pi / 4.0):
        assert rms(errors(pair, table, bias, 20, seed=7)) > 2.9 * rms(chosen)
