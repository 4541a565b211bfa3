r"""Two-mode squeezing from shots of two quadratures.

    xi^2_A = N_tot Var[X_+]/Z^2,   xi^2_B = N_tot Var[Y_-]/Z^2,   E = (Var[X_+] + Var[Y_-])/|Z|

X_+ = X_1 + X_2, Y_- = Y_1 - Y_2, Z = <Z_1 + Z_2>; E < 1 is impossible without entanglement of
the two ensembles, because each of them obeys Var X + Var Y >= |<Z>|.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from .estimate import Estimate, GoodnessOfFit, Quantity
from .squeezing_beliefs import CONJUGATE, LENGTH, REFERENCE, SQUEEZED, SqueezingBeliefs
from .squeezing_intervals import (
    Measured,
    difference,
    ratio_limits,
    stationarity,
    total,
)
from .squeezing_parameter import (
    LARGEST,
    assumptions,
    in_atoms,
    need_shots,
    squeezing_quantities,
    variance_flags,
)
from .squeezing_shots import SqueezingShots, total_variance

SUM, MINUS = (1.0, 1.0), (1.0, -1.0)


class TwoModeSqueezing:
    """Wineland parameters of both quadratures, and the sum that certifies entanglement.

    Args:
        beliefs: two ensembles; the weights are set here: (1, 1) for X_+ and for the length,
            (1, -1) for Y_-.
    """

    def __init__(self, beliefs: SqueezingBeliefs) -> None:
        if beliefs.ensembles != 2:
            raise ValueError(
                f"Two-mode squeezing needs two ensembles, but has {beliefs.ensembles}."
            )
        self.beliefs = dataclasses.replace(beliefs, length_weights=SUM)
        self._shots = SqueezingShots(self.beliefs, (SQUEEZED, LENGTH, REFERENCE, CONJUGATE))

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots, 2), setting (0 X_+, 3 Y_-, 1 length, 2 reference)."""
        self._shots.add(records)

    def estimate(self, level: float = 0.95) -> Estimate:
        """xi2_a, xi2_b (linear and dB), separability E, spin_length.

        Raises:
            RecordError: on too few shots of a setting.
        """
        need_shots(self._shots, (SQUEEZED, CONJUGATE))
        length = self._shots.length(level)
        quantities: dict[str, Quantity] = {}
        own, flags, checks = [], [], []
        for name, setting, weights in (
            ("xi2_a", SQUEEZED, np.array(SUM)),
            ("xi2_b", CONJUGATE, np.array(MINUS)),
        ):
            counts = self._shots.of(setting)[0]
            seen = total_variance(counts, weights, level, self.beliefs.least_kurtosis)
            noise = self._shots.detection(counts, weights, level)
            own.append(difference(seen, noise))
            quantities |= squeezing_quantities(self.beliefs, own[-1], length, level, name)
            flags += [f"{name}: {flag}" for flag in variance_flags(seen, noise, own[-1], length)]
            checks.append(stationarity(counts @ weights))
        gain = self.beliefs.gain
        quantities["separability"] = _separability(own[0], own[1], length, gain, level)
        quantities["spin_length"] = in_atoms(length, gain, level, 1)
        variances = np.array([own[0].std, own[1].std, length.std * gain]) ** 2 / gain**4
        return Estimate(
            estimator="two-mode squeezing from shots",
            shots=self._shots.shots,
            quantities=quantities,
            names=("variance_a", "variance_b", "spin_length"),
            covariance=np.diag(variances),
            goodness_of_fit=_worst(checks),
            diagnostics={"rejected": self._shots.rejected, "flags": tuple(flags)},
            assumptions=assumptions(self.beliefs),
            identifiable=(1.0 / self.beliefs.atoms, LARGEST),
        )


def _separability(
    first: Measured, second: Measured, length: Measured, gain: float, level: float
) -> Quantity:
    """(Var X_+ + Var Y_-)/|Z|: variances in counts^2 over the length in counts, one gain left."""
    both = total(first, second)
    low, high = ratio_limits(both, length)
    value, scale = both.value / length.value, 1.0 / gain
    std = math.hypot(both.std, value * length.std) / length.value
    low, high = max(low * scale, 0.0), min(high * scale, LARGEST)
    return Quantity(min(max(value * scale, low), high), std * scale, (low, high), level)


def _worst(checks: list[GoodnessOfFit | None]) -> GoodnessOfFit | None:
    """The smaller p-value, corrected for there being two."""
    found = [check for check in checks if check is not None]
    if not found:
        return None
    least = min(found, key=lambda check: check.p_value)
    p_value = -math.expm1(len(found) * math.log1p(-min(least.p_value, 1.0 - 1e-16)))
    return GoodnessOfFit(least.statistic, min(p_value, 1.0), least.degrees_of_freedom, least.test)
