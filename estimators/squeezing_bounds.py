"""Least standard deviations of squeezing numbers for Gaussian atom numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def squeezing_bounds(
    xi2: float,
    atoms: float,
    length: float,
    detection_variance: float,
    shots: int,
    *,
    length_std: float = 0.0,
    atoms_std: float = 0.0,
) -> float:
    """Cramer-Rao bound of xi^2 from `shots` Gaussian shots of unknown mean.

    Args:
        xi2: true Wineland parameter.
        atoms: N_tot.
        length: spin length, atoms.
        detection_variance: atoms^2, known.
        shots: n.
        length_std: of the length's calibration or of its own shots, atoms.
        atoms_std: relative, of N_tot.
    """
    own = xi2 * length**2 / atoms
    information = shots / (2.0 * (own + detection_variance) ** 2)
    relative = math.hypot(2.0 * length_std / length, atoms_std)
    return math.hypot(atoms / length**2 / math.sqrt(information), xi2 * relative)


def tomography_bounds(
    parameters: tuple[float, float, float], angles: Array, detection_variance: float
) -> Array:
    """(3, 3) covariance bound of (a, c1, c2) in V = a + c1 cos 2 phi + c2 sin 2 phi.

    Args:
        parameters: the true a, c1, c2, atoms^2.
        angles: (shots,) analysis angles; means at every angle known.
        detection_variance: atoms^2.
    """
    design = np.stack([np.ones_like(angles), np.cos(2.0 * angles), np.sin(2.0 * angles)])
    total = np.asarray(parameters) @ design + detection_variance
    bound: Array = np.asarray(
        np.linalg.inv((design / (2.0 * total**2)) @ design.T), dtype=np.float64
    )
    return bound
