"""Stop at a wanted precision, without the stop itself spoiling bias and coverage.

Stopping as soon as the error bar is small favours runs whose error bar came out too small by
chance. That does no harm where the information does not depend on the answer; elsewhere a
minimum number of shots keeps the error bar from being judged too early, and `check_stopping`
measures on simulated runs what is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .estimate import Estimate

FEWEST_SHOTS = 30


@dataclass(frozen=True, slots=True)
class PrecisionStop:
    """Stop when a quantity's std is at most `std`, but not before `minimum_shots`.

    Raises:
        ValueError: on a std that is not above zero or a minimum below one shot.
    """

    quantity: str
    std: float
    minimum_shots: int = FEWEST_SHOTS

    def __post_init__(self) -> None:
        if not (math.isfinite(self.std) and self.std > 0.0):
            raise ValueError(f"Argument `std` must be above zero, but is {self.std!r}.")
        if self.minimum_shots < 1:
            raise ValueError(
                f"Argument `minimum_shots` must be at least 1, but is {self.minimum_shots!r}."
            )

    def met(self, estimate: Estimate) -> bool:
        """Whether to stop with this estimate."""
        return estimate.shots >= self.minimum_shots and estimate[self.quantity].std <= self.std


@dataclass(frozen=True, slots=True)
class StoppingCheck:
    """What a stopping rule does to simulated runs.

    Attributes:
        runs: number of simulated runs.
        bias: mean error in units of the errors' standard deviation, and its Monte-Carlo error.
        coverage: of the intervals at the stop, and its Monte-Carlo error.
        mean_shots: at the stop.
    """

    runs: int
    bias: tuple[float, float]
    coverage: tuple[float, float]
    mean_shots: float

    def harmless(self, level: float) -> bool:
        """No bias above a fifth of a std, no loss of more than 2 % of coverage, within 3 errors."""
        slack_bias, slack_coverage = 3.0 * self.bias[1], 3.0 * self.coverage[1]
        return (
            abs(self.bias[0]) <= 0.2 + slack_bias
            and self.coverage[0] >= level - 0.02 - slack_coverage
        )


def check_stopping(
    run: Callable[[np.random.Generator], tuple[Estimate, float]],
    quantity: str,
    runs: int,
    rng: np.random.Generator,
) -> StoppingCheck:
    """Simulate runs that stop by a rule.

    Args:
        run: makes one run up to its stop; the estimate there, and the truth.
        quantity: the one that the rule is about.
        runs: how many, at least 10.
        rng: for all of them.

    Raises:
        ValueError: on fewer than 10 runs.
    """
    if runs < 10:
        raise ValueError(f"Argument `runs` must be at least 10, but is {runs!r}.")
    errors, inside, shots = [], 0, 0
    for _ in range(runs):
        estimate, truth = run(rng)
        low, high = estimate[quantity].interval
        errors.append(estimate[quantity].value - truth)
        inside += low <= truth <= high
        shots += estimate.shots
    spread = float(np.std(errors, ddof=1)) or 1.0
    share = (inside + 1.0) / (runs + 2.0)
    return StoppingCheck(
        runs,
        (float(np.mean(errors)) / spread, 1.0 / math.sqrt(runs)),
        (inside / runs, math.sqrt(share * (1.0 - share) / runs)),
        shots / runs,
    )
