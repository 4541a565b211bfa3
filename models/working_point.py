"""Where to run the pair when the detector is noisy: Chu Eqs. 10-12 with detection noise.

The Ramsey signal <S1y + S2y> = X sin(phi) is read with a detection noise sigma_q on top of
the projection noise Var = <J>/2, so that one shot gives

    (dphi)^2 = (<J>/2 + sigma_q^2) / X^2.

Without detection noise the best point is Delta/Omega -> 0, where the signal itself
vanishes: the noise is what makes the optimum finite, near Delta/Omega = sqrt(2) sigma_q/S
for 1 << sigma_q << S^(2/3). The paper gives the noiseless formula only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from ._checks import dimension_of, finite, not_negative
from .two_ensembles import SteadyState, TwoEnsembles, steady_state


@dataclass(frozen=True, slots=True)
class WorkingPoint:
    """The best Delta/Omega for a detector, and what it gives.

    Attributes:
        detuning_ratio: Delta/Omega.
        detection_noise: sigma_q, standard deviation of the measured S1y + S2y, in spins.
        phase_variance: (dphi)^2 of one shot, radians squared.
        detected_xi2: 4S (dphi)^2, the squeezing with the detector's noise in it; 1 is the
            standard quantum limit of the same atoms.
        gain_db: -10 log10(detected_xi2), above zero when below that limit.
        state: the steady state there (its rates are in units of Omega).
    """

    detuning_ratio: float
    detection_noise: float
    phase_variance: float
    detected_xi2: float
    gain_db: float
    state: SteadyState = field(repr=False)


def summed_detection_noise(sigma: float) -> float:
    """sigma_q = sqrt(2) sigma of S1y + S2y, for sigma atoms in each of the two counts."""
    return math.sqrt(2.0) * not_negative(sigma, "sigma")


def detected_phase_variance(state: SteadyState, detection_noise: float) -> float:
    """(dphi)^2 = (<J>/2 + sigma_q^2)/X^2 of one shot at phi = 0 (Chu Eq. 12 and noise).

    With exchange X is the whole spin length, read along the rotated quadrature.

    Args:
        state: the steady state that is read.
        detection_noise: sigma_q, standard deviation of the measured S1y + S2y, in spins.
    """
    noise = not_negative(detection_noise, "detection_noise")
    return (state.variance + noise**2) / state.spin_length**2


def working_point(
    spin: float, detection_noise: float, *, exchange_ratio: float = 0.0
) -> WorkingPoint:
    """The Delta/Omega of least phase variance for a detector.

    Args:
        spin: S of each ensemble.
        detection_noise: sigma_q of S1y + S2y in spins, above zero (`summed_detection_noise`
            turns the noise of one ensemble's count into it).
        exchange_ratio: chi/Omega. With exchange every step sums over J, and no detuning at
            all may be best.

    Raises:
        ValueError: without detection noise (the optimum is then at Delta/Omega -> 0, where
            the signal vanishes), or on a spin that is not a multiple of 1/2.
    """
    dimension_of(spin)
    noise = not_negative(detection_noise, "detection_noise")
    if noise == 0.0:
        raise ValueError(
            "Argument `detection_noise` must be above zero, but is 0: a perfect detector would "
            "be best at Delta/Omega -> 0, where the signal vanishes."
        )
    chi = finite(exchange_ratio, "exchange_ratio")

    def cost(log_ratio: float) -> float:
        state = steady_state(TwoEnsembles(spin, 1.0, math.exp(log_ratio), chi))
        return math.log(detected_phase_variance(state, noise))

    # The optimum has S Delta/Omega of at least about 1e-3, and Delta/Omega of at most 2.
    low, high = math.log(1e-4 / spin), math.log(10.0)
    if chi != 0.0:  # with exchange the cost can have several valleys
        grid = np.linspace(low, math.log(10.0 * (1.0 + abs(chi) * spin)), 81)
        lowest = int(np.argmin([cost(float(point)) for point in grid]))
        low, high = float(grid[max(0, lowest - 1)]), float(grid[min(80, lowest + 1)])
    found: Any = minimize_scalar(
        cost, bounds=(low, high), method="bounded", options={"xatol": 1e-7}
    )
    best = evaluate_working_point(TwoEnsembles(spin, 1.0, math.exp(float(found.x)), chi), noise)
    if chi == 0.0:
        return best
    unsplit = evaluate_working_point(TwoEnsembles(spin, 1.0, 0.0, chi), noise)
    return min(best, unsplit, key=lambda point: point.phase_variance)


def evaluate_working_point(parameters: TwoEnsembles, detection_noise: float) -> WorkingPoint:
    """What a detector sees at a given pair, optimal or not."""
    state = steady_state(parameters)
    variance = detected_phase_variance(state, detection_noise)
    xi2 = 4.0 * parameters.spin * variance
    return WorkingPoint(
        detuning_ratio=parameters.detuning_ratio,
        detection_noise=float(detection_noise),
        phase_variance=variance,
        detected_xi2=xi2,
        gain_db=-10.0 * math.log10(xi2),
        state=state,
    )
