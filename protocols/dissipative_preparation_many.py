"""The dissipative preparation of many atoms: cumulant equations in place of the exact ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..estimators import (
    CloudBeliefs,
    RelaxationBeliefs,
    RelaxationBounds,
    RelaxationCumulants,
    RelaxationTrace,
    relaxation_bounds,
    relaxation_cumulants_bounds,
)
from ..estimators.relaxation_bounds import hold_information
from ..estimators.relaxation_cumulants_bounds import cloud_information
from ..models.relaxation_outcomes import LARGEST_SPIN

Array = NDArray[np.float64]
Beliefs = RelaxationBeliefs | CloudBeliefs

MOST_EXACT = round(2 * LARGEST_SPIN)
"""Atoms in each ensemble up to which the joint distribution is solved exactly."""

_RABI = 2e3  # Hz
_FIRST, _LAST = 0.5, 8.0  # Omega t of the shortest and of the longest hold


def many_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are not given, for many atoms: Omega = N Gamma, the first swings, no pulses.

    Args:
        given: Settings by name; without more than `MOST_EXACT` atoms nothing is filled in.
    """
    try:
        atoms = float(given.get("atoms_per_ensemble", 0))
        rabi = float(given.get("preparation_rabi_hz", _RABI))
    except (TypeError, ValueError):
        return dict(given)
    if not (atoms > MOST_EXACT and rabi > 0.0 and math.isfinite(rabi)):
        return dict(given)
    turn = 2.0 * math.pi * rabi
    filled = {
        "preparation_rabi_hz": rabi,
        "detuning_hz": 0.5 * rabi,
        "collective_decay_hz": rabi / atoms,
        "first_hold": max(round(1e6 * _FIRST / turn), 1) / 1e6,
        "last_hold": max(round(1e6 * _LAST / turn), 2) / 1e6,
        "shots_per_hold": 100,
        "angles": 0,
    }
    return filled | dict(given)


def trace_of(rates: Beliefs) -> RelaxationTrace | RelaxationCumulants:
    """A fresh estimator of populations."""
    if isinstance(rates, CloudBeliefs):
        return RelaxationCumulants(rates)
    return RelaxationTrace(rates)


def bounds_of(beliefs: Beliefs, values: Mapping[str, float], times: ArrayLike) -> RelaxationBounds:
    """Cramer-Rao bounds of the rates."""
    if isinstance(beliefs, CloudBeliefs):
        return relaxation_cumulants_bounds(beliefs, values, times)
    return relaxation_bounds(beliefs, values, times)


def information_of(beliefs: Beliefs, values: Mapping[str, float], holds: Array) -> Array:
    """Expected information of one shot at each of rising holds, (T, k, k), without priors."""
    if isinstance(beliefs, CloudBeliefs):
        return cloud_information(beliefs, values, holds)[0]
    return hold_information(beliefs, values, holds)[0]
