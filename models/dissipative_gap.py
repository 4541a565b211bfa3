"""How fast the last deviation from the steady state dies: the gap of the Liouvillian.

`dissipative_gap` is exact for small S; `perturbative_gap` is the decay of the populations
for Omega >> S Gamma and S Delta/Omega up to about 1 (Chu App. F), at any S. At S = 5 and
Omega = 20 S Gamma it is 0.7 % above the exact gap for S Delta/Omega = 1. Above about 2 the
slowest modes are no longer populations but coherences that rotate at
sqrt(Omega^2 + Delta^2/4): at S = 2 and S Delta/Omega = 3 they decay at 1/1.61 of the
perturbative gap, the populations at 1/1.16 of it. The fidelity with the steady state hardly
sees them under a strong drive, so its late fall may be faster than the gap.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse.linalg as sla
from numpy.typing import NDArray
from scipy.linalg import eigvalsh_tridiagonal

from ._checks import dimension_of
from .relaxation import spectral_ellipse
from .relaxation_generator import Generator, generator
from .relaxation_propagator import propagate
from .two_ensembles import TwoEnsembles

Array = NDArray[np.float64]
Matrix = NDArray[Any]

_LARGEST_EXACT = 8.0
_DENSE_BELOW = 25  # states
_MODES = 4


def population_generator(spin: float) -> Array:
    """M of w' = Gamma sin^2(theta) M w, w_J the weight per state of total spin J (Chu F11-F12).

    Returns:
        (2S+1, 2S+1), tridiagonal, J = 0 … 2S. Probability is sum_J (2J+1) w_J, so that
        sum_J (2J+1) M_{JJ'} = 0; J = 0 is where everything ends.

    Raises:
        ValueError: when `spin` is not a positive multiple of 1/2.
    """
    size = dimension_of(spin)
    down, up = _rates(size)
    j = np.arange(size, dtype=np.float64)
    matrix = np.diag(-(up + down))
    weight = 2.0 * j + 1.0
    matrix += np.diag(up[:-1] * weight[:-1] / weight[1:], -1)
    matrix += np.diag(down[1:] * weight[1:] / weight[:-1], 1)
    return matrix


def perturbative_gap(parameters: TwoEnsembles) -> float:
    """Gap for Omega >> S Gamma and S Delta/Omega up to 1, in the unit of the rates; any S.

    Gamma sin^2(theta) times the smallest decay rate of `population_generator` with
    J = 0 left out, theta = atan(Delta / 2 Omega): about 0.18 to 0.23 (2S+1)^2.

    Raises:
        ValueError: with exchange.
    """
    if parameters.exchange != 0.0:
        raise ValueError(
            f"Argument `parameters` must have exchange 0, but has {parameters.exchange!r}; "
            "use dissipative_gap."
        )
    half_ratio = 0.5 * parameters.detuning_ratio
    sine_squared = half_ratio**2 / (1.0 + half_ratio**2)
    down, up = _rates(dimension_of(parameters.spin))
    # -M, made symmetric, is B B^T with B bidiagonal. The singular values of B, from the
    # tridiagonal matrix with zero diagonal, keep their digits where those of M would not.
    links = np.zeros(2 * down.size - 3)
    links[0::2] = np.sqrt(down[1:])
    links[1::2] = np.sqrt(up[1:-1])
    middle = down.size - 1
    smallest = eigvalsh_tridiagonal(
        np.zeros(links.size + 1), links, select="i", select_range=(middle, middle)
    )
    return parameters.collective_decay * sine_squared * float(smallest[0]) ** 2


def dissipative_gap(parameters: TwoEnsembles) -> float:
    """Exact gap: the smallest -Re of the Liouvillian's nonzero eigenvalues, exchange included.

    All eigenvalues up to S = 2; above, the largest ones of exp(tau L) by Arnoldi iteration,
    in seconds at S = 5 and Omega = 2 S Gamma. The time grows with Omega over the gap: minutes
    at S = 5 where the gap is a tenth of it.

    Raises:
        ValueError: for S above 8, where `perturbative_gap` or a relaxation must do.
        ArithmeticError: when the iteration does not settle.
    """
    if parameters.spin > _LARGEST_EXACT:
        raise ValueError(
            f"Argument `parameters` must have a spin of at most {_LARGEST_EXACT:g} for the "
            f"exact gap, but has {parameters.spin!r}; use perturbative_gap."
        )
    system = generator(parameters)
    return _dense_gap(system) if system.size <= _DENSE_BELOW else _iterated_gap(system)


def _dense_gap(system: Generator) -> float:
    """From all eigenvalues of the Liouvillian."""
    size = system.size
    one = np.eye(size)
    drift = system.drift.toarray()
    jump = np.diag(system.jump[:-1], 1)
    liouvillian = np.kron(drift, one) + np.kron(one, drift.conj()) + np.kron(jump, jump)
    values = np.linalg.eigvals(liouvillian)
    others = np.delete(values, int(np.argmin(np.abs(values))))
    return float(np.min(-np.real(others)))


def _iterated_gap(system: Generator) -> float:
    """From the largest eigenvalues of exp(tau L), so that fast oscillating modes count too."""
    size, dtype = system.size, system.drift.dtype
    ellipse = spectral_ellipse(system)
    duration = _time_scale(system.parameters)

    def evolve(vector: Matrix) -> Matrix:
        start = np.asarray(vector).reshape(size, size).astype(dtype)
        return propagate(system.recursion_any, start, ellipse, duration)[0].ravel()

    linear: Any = sla.LinearOperator
    solve: Any = sla.eigs
    values = solve(
        linear((size * size, size * size), matvec=evolve, dtype=dtype),
        k=_MODES,
        which="LM",
        v0=np.cos(np.arange(size * size, dtype=np.float64) ** 1.5).astype(dtype),
        tol=1e-10,
        return_eigenvectors=False,
    )
    steady = int(np.argmin(np.abs(values - 1.0)))
    if abs(values[steady] - 1.0) > 1e-6:
        raise ArithmeticError(
            f"No steady state found among the slowest modes of {system.parameters}."
        )
    slowest = float(np.max(np.abs(np.delete(values, steady))))
    return -math.log(slowest) / duration


def _rates(size: int) -> tuple[Array, Array]:
    """Rates down to J-1 and up to J+1 from each J, in units of Gamma sin^2(theta)."""
    j = np.arange(size, dtype=np.float64)
    square = float(size) ** 2
    down = j * (j + 1.0) ** 2 * (square - j**2) / (3.0 * (2.0 * j + 1.0))
    up = j**2 * (j + 1.0) * (square - (j + 1.0) ** 2) / (3.0 * (2.0 * j + 1.0))
    return down, up


def _time_scale(parameters: TwoEnsembles) -> float:
    """A time in which the slowest modes stand out from the others."""
    ratio = parameters.detuning_ratio
    if parameters.exchange == 0.0:
        drive = parameters.rabi_frequency / (parameters.spin * parameters.collective_decay)
        return 0.7 / (perturbative_gap(parameters) * min(1.0, drive**2))
    rate = parameters.collective_decay * max(1.0, 2.0 * parameters.spin * abs(ratio))
    return 2.0 / rate
