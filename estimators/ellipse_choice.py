"""Which measurement model serves a squeezed ellipse, by its stated rule.

q' = q/(1 + 2 sigma^2/(S xi^2)), q = 1/(4 xi^3 sqrt(S)), weighs single-atom fringes. The Gaussian
ring for q' <= 0.2, else the exact table to spin 150, else the rotor mixture for counting noise
of two atoms or more to spin 400, else none.
"""

from __future__ import annotations

from .ellipse_beliefs import EllipseBeliefs
from .ellipse_posterior import ShotLikelihood
from .gaussian_ring import (
    LARGEST_FRINGE_PARAMETER,
    RingLikelihood,
    expected_efficiency,
    fringe_parameter,
)
from .likelihood_table import LARGEST_SPIN, TableLikelihood
from .rotor_mixture import LARGEST_SPIN as LARGEST_ROTOR_SPIN
from .rotor_mixture import LEAST_NOISE, RotorLikelihood

METHODS = ("auto", "exact_table", "gaussian_ring", "rotor_mixture")


class EstimatorRangeError(ValueError):
    """No measurement model is good enough here; the message says which comes nearest."""


def choose_likelihood(beliefs: EllipseBeliefs, method: str = "auto") -> ShotLikelihood:
    """The model named, or the first of the rule that applies.

    Raises:
        EstimatorRangeError: when none applies; it names the nearest and its efficiency.
        ValueError: on an unknown method.
    """
    if method not in METHODS:
        raise ValueError(
            f"Argument `method` must be one of {', '.join(METHODS)}, but is {method!r}."
        )
    fringes = fringe_parameter(beliefs)
    rotor = beliefs.counting_noise >= LEAST_NOISE and beliefs.spin <= LARGEST_ROTOR_SPIN
    if method == "gaussian_ring" or (method == "auto" and fringes <= LARGEST_FRINGE_PARAMETER):
        return RingLikelihood(beliefs)
    if method != "rotor_mixture" and beliefs.spin <= LARGEST_SPIN:
        return TableLikelihood(beliefs)
    if method != "exact_table" and rotor:
        return RotorLikelihood(beliefs)
    raise EstimatorRangeError(
        f"No measurement model fits spin {beliefs.spin:g} with counting noise of "
        f"{beliefs.counting_noise:.2g} atoms (method {method!r}): the exact table ends at spin "
        f"{LARGEST_SPIN:g}, the rotor mixture needs noise of {LEAST_NOISE:g} atoms and spin up to "
        f"{LARGEST_ROTOR_SPIN:g}, and the Gaussian ring ends at q' = {LARGEST_FRINGE_PARAMETER} "
        f"(here {fringes:.2g}, where it keeps about {expected_efficiency(fringes):.0%} of the "
        'information at phi = pi/4). Choose method="gaussian_ring" to accept that, or a larger '
        "detuning ratio."
    )
