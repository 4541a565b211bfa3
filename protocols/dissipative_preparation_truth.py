"""What a tomography of two ensembles would find in a given state: for comparison in rehearsals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..models.cumulants import DecayingEnsembles
from ..models.decaying_outcomes import decaying_state, total_spin
from ..models.spins import ladder_elements, magnetic_numbers


def squeezing_of(state: NDArray[np.complex128], spin: float, axis: float = 0.0) -> dict[str, float]:
    """xi2, xi2_db and spin_length of a state in the product basis, atoms up ascending.

    The variance is the least of cos(a) Jz + sin(a) Jy over the angle a, J = S1 + S2; the length
    is |<S1x - S2x>|. The x axis lies at the azimuth `axis`.
    """
    z = np.diag(magnetic_numbers(spin)[::-1])
    plus = np.exp(-1j * axis) * np.diag(ladder_elements(spin)[::-1], -1)
    one = np.eye(z.shape[0])
    x, y = 0.5 * (plus + plus.conj().T), -0.5j * (plus - plus.conj().T)
    totals = [np.kron(part, one) + np.kron(one, part) for part in (y, z)]
    means = [float(np.trace(part @ state).real) for part in totals]
    covariance = np.array(
        [
            [
                float(np.trace(0.5 * (a @ b + b @ a) @ state).real) - means[i] * means[k]
                for k, b in enumerate(totals)
            ]
            for i, a in enumerate(totals)
        ]
    )
    length = abs(float(np.trace((np.kron(x, one) - np.kron(one, x)) @ state).real))
    return _figures(covariance, length, spin)


def squeezing_with_decay(
    parameters: DecayingEnsembles, time: float, axis: float = 0.0
) -> dict[str, float]:
    """As `squeezing_of`, and dark_output, of all atoms down after `time` with single-atom decay."""
    atoms = parameters.atoms
    found = total_spin(decaying_state(parameters, time), atoms)
    turn = np.array(
        [[-math.sin(axis), math.cos(axis), 0.0], [0.0, 0.0, 1.0]]  # Jy about the axis, and Jz
    )
    covariance = turn @ (found.second - np.outer(found.mean, found.mean)) @ turn.T
    length = abs(float(found.difference @ [math.cos(axis), math.sin(axis)]))
    dark = float(found.second[0, 0] + found.second[1, 1] + found.mean[2])
    return _figures(covariance, length, parameters.spin) | {"dark_output": dark}


def _figures(covariance: NDArray[np.float64], length: float, spin: float) -> dict[str, float]:
    least = float(np.linalg.eigvalsh(covariance)[0])
    xi2 = 4.0 * spin * least / length**2 if length else math.inf
    return {"xi2": xi2, "xi2_db": 10.0 * math.log10(xi2), "spin_length": length}
