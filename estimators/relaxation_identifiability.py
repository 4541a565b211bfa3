"""Which combination of rates do counts of relaxing ensembles leave open?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .pumping_posterior import Coordinates
from .scoring import Optimum

WORST_CONDITION = 1e4
"""Condition number of the counts' information on the logarithms of the rates, each scaled to its
own error, beyond which a combination of them is called undetermined."""

BELIEVED = 0.7
"""Share of a believed error beyond which an answer is more belief than measurement."""


def least_determined(
    coordinates: Coordinates, optimum: Optimum, scales: Mapping[str, float]
) -> tuple[float, str]:
    """Condition number of what the counts say of the rates, and the poorest combination in words.

    What is not a rate is free within its calibration; the rates' own priors are left out, so that
    a rate is not called determined because it was believed.

    Args:
        coordinates: of the fit, the rates first.
        optimum: the fit; its information holds the priors.
        scales: of each rate: 1 where its logarithm is the coordinate, else its believed error.
    """
    names = [name for name in coordinates.names if name in scales]
    rates = len(names)
    weight = coordinates.weight.copy()
    weight[rates:] = 0.0
    information = optimum.point.information - np.diag(weight)
    nuisance = information[rates:, rates:]
    cross = information[:rates, rates:]
    left = information[:rates, :rates] - cross @ np.linalg.solve(nuisance, cross.T)
    scale = np.array([scales[name] for name in names])
    values, vectors = np.linalg.eigh(left * np.outer(scale, scale))
    linear = {c.name for c in coordinates.all if c.linear}
    told = " ".join(
        f"{part:+.2f} {'ln ' * (name not in linear)}{name}"
        for name, part in zip(names, vectors[:, 0], strict=True)
    )
    floor = max(float(values[0]), 1e-12 * float(values[-1]), 1e-300)
    return float(values[-1]) / floor, told


def identifiability_flags(
    condition: float, direction: str, shares: Mapping[str, float]
) -> list[str]:
    """What to say where the counts leave a combination, or a believed number, open.

    Args:
        condition, direction: of `least_determined`.
        shares: error over the believed one of what is free within a belief.
    """
    flags = []
    if condition > WORST_CONDITION:
        flags.append(
            f"the counts leave {direction} undetermined (condition number {condition:.1e}): "
            "the answer there is that of the calibrations; take holds of other lengths"
        )
    for name, share in shares.items():
        if share > BELIEVED:
            flags.append(
                f"{name} is hardly determined: its error is {share:.2f} of the one that was "
                "believed; take holds around the first swings of the drive, or more shots"
            )
    return flags
