r"""Four ensembles in a row as a sensor of a field's gradient and curvature.

The detunings are (A/2, B/2, -B/2, -A/2). The QFI matrix of the local phases is
diagonal, in the large-drive limit, in the four patterns of signs ++++, ++--, +-+-, +--+; F
of a pattern v is 4 Var(sum_l v_l S_l^z). The matrix of the patterns, missing in the text
of Chu Eq. 28, is half of [[1,1,1,1], [1,1,-1,-1], [1,-1,1,-1], [1,-1,-1,1]]. +--+ reads
the curvature, and 2(++--) + (+-+-) the gradient. Source: Chu et al., "Reconfigurable
dissipative entanglement", Sec. IV B and App. C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from ._checks import dimension_of, finite, positive, whole
from .many_ensembles import DEFAULT_MEMORY_LIMIT, ManyEnsembles, many_ensemble_state
from .many_ensembles_metrology import qfi_matrix, weighted_qfi
from .many_ensembles_swaps import detuning_phases
from .six_j import six_j_table

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

Pattern = Literal["++++", "++--", "+-+-", "+--+"]

COMMON = (1, 1, 1, 1)
GRADIENT = (3, 1, -1, -3)
CURVATURE = (1, -1, -1, 1)
PATTERNS: dict[Pattern, tuple[int, int, int, int]] = {
    "++++": COMMON,
    "++--": (1, 1, -1, -1),
    "+-+-": (1, -1, 1, -1),
    "+--+": CURVATURE,
}


@dataclass(frozen=True, slots=True)
class FourEnsembles:
    """Parameters of the sensor, angular rates in one unit.

    Args:
        spin: S of each ensemble.
        outer_detuning: Delta_A; ensembles 1 and 4 at +-Delta_A/2.
        inner_detuning: Delta_B; ensembles 2 and 3 at +-Delta_B/2.
        exchange: chiral exchange chi.
        rabi_frequency: common drive Omega; infinite by default.

    Raises:
        ValueError: on values for which no unique pure state exists (`ManyEnsembles`).
    """

    spin: float
    outer_detuning: float
    inner_detuning: float
    exchange: float
    rabi_frequency: float = math.inf

    def __post_init__(self) -> None:
        self.as_many()

    def as_many(self) -> ManyEnsembles:
        """The same four ensembles as parameters of the general solver."""
        outer, inner = 0.5 * self.outer_detuning, 0.5 * self.inner_detuning
        return ManyEnsembles(
            self.spin, self.rabi_frequency, (outer, inner, -inner, -outer), self.exchange
        )


@dataclass(frozen=True, slots=True)
class PatternInformation:
    """QFI of the four patterns of signs; 8S each for uncorrelated atoms."""

    common: float
    halves: float
    alternating: float
    curvature: float

    def __getitem__(self, pattern: Pattern) -> float:
        return {
            "++++": self.common,
            "++--": self.halves,
            "+-+-": self.alternating,
            "+--+": self.curvature,
        }[pattern]


def pattern_information(
    parameters: FourEnsembles, memory_limit: float = DEFAULT_MEMORY_LIMIT
) -> PatternInformation:
    """QFI of the four patterns: closed forms at infinite drive, else the exact state.

    Chu Eqs. C7-C10 with C2 and C5; O(S^2), S = 500 in 0.2 s. At a finite drive the patterns are
    no longer the eigenvectors of the QFI matrix, the numbers still v^T F v.
    """
    if parameters.rabi_frequency != math.inf:
        matrix = qfi_matrix(many_ensemble_state(parameters.as_many(), memory_limit))
        return PatternInformation(*(weighted_qfi(matrix, v) for v in PATTERNS.values()))
    g = singlet_amplitudes(parameters)
    atoms = g.size - 1
    j = np.arange(g.size, dtype=np.float64)
    low = j[:-1]
    scale = 8.0 / (3.0 * g.size**2)
    steps = (atoms - low) * (atoms + low + 2.0) * (low + 1.0)
    return PatternInformation(
        common=0.0,
        halves=float(2.0 * scale * (j * (j + 1.0) * (2.0 * j + 1.0)) @ np.abs(g) ** 2),
        alternating=float(scale * steps @ np.abs(g[:-1] + g[1:]) ** 2),
        curvature=float(scale * steps @ np.abs(g[:-1] - g[1:]) ** 2),
    )


def sensing_qfi_matrix(
    parameters: FourEnsembles, memory_limit: float = DEFAULT_MEMORY_LIMIT
) -> Array:
    """(4, 4) QFI matrix of the local phases, at any drive (Chu Eq. 27)."""
    if parameters.rabi_frequency != math.inf:
        return qfi_matrix(many_ensemble_state(parameters.as_many(), memory_limit))
    information = pattern_information(parameters)
    patterns = 0.5 * np.array(list(PATTERNS.values()), dtype=np.float64)
    values = 0.25 * np.array([information[name] for name in PATTERNS])
    matrix: Array = patterns.T @ (values[:, None] * patterns)
    return matrix


def singlet_amplitudes(parameters: FourEnsembles) -> ComplexArray:
    r"""g_j of the large-drive state, j = 0 … 2S (Chu Eqs. C4-C5).

    $|\psi\rangle = (2S+1)^{-1}\sum_j \sqrt{2j+1}\,g_j |j_{12}=j, j_{43}=j; 0, 0\rangle$, so
    sum_j (2j+1)|g_j|^2 = (2S+1)^2. The drive in `parameters` does not enter.
    """
    dimension = dimension_of(parameters.spin)
    outer, inner = parameters.outer_detuning, parameters.inner_detuning
    first = detuning_phases(dimension, 0.5 * (outer + inner), parameters.exchange)
    second = detuning_phases(dimension, 0.5 * (outer - inner), parameters.exchange)
    j = np.arange(dimension)
    signs = np.where(j % 2 == 0, 1.0, -1.0)
    overall = 1.0 if dimension % 2 else -1.0  # (-1)^(2S)
    summed = (signs * first * (2.0 * j + 1.0)) @ six_j_table(parameters.spin)
    amplitudes: ComplexArray = overall * signs * second * summed
    return amplitudes


def greatest_information(spin: float) -> float:
    """64 S (S+1) / 3: the sum of the four patterns' QFI at infinite drive (Chu Eq. C11)."""
    dimension_of(spin)
    return 64.0 * spin * (spin + 1.0) / 3.0


def best_detunings(spin: float, exchange: float, pattern: Pattern) -> FourEnsembles:
    """Detunings that maximise the QFI of +-+- or +--+ at infinite drive.

    +-+- comes within 2 % of `greatest_information` at S = 50, near Delta_A = 1.3 sqrt(S)
    chi and Delta_B = -0.1 chi; +--+ stays near 0.7 of it with Delta_A = 0 and needs a
    finite drive to rise further.

    Raises:
        ValueError: on another pattern or on an exchange of 0.
    """
    if pattern not in ("+-+-", "+--+"):
        raise ValueError(f"Argument `pattern` must be '+-+-' or '+--+', but is {pattern!r}.")
    if finite(exchange, "exchange") == 0.0:
        raise ValueError("Argument `exchange` must not be 0.")
    start = (1.3 * math.sqrt(spin), -0.1) if pattern == "+-+-" else (0.1, 1.9)

    def sensor(point: Array) -> FourEnsembles:
        outer, inner = (float(value) * exchange for value in point)
        return FourEnsembles(spin, outer, inner, exchange)

    def loss(point: Array) -> float:
        return -pattern_information(sensor(point))[pattern]

    options: Any = {"xatol": 1e-7, "fatol": 1e-9 * greatest_information(spin)}
    found = minimize(loss, np.array(start), method="Nelder-Mead", options=options)
    return sensor(np.asarray(found.x, dtype=np.float64))


def field_phases(
    offset: float, gradient: float, curvature: float, spacing: float, time: float
) -> Array:
    """Local phases that a quadratic field writes on the four ensembles (Chu Eq. 30).

    Args:
        offset: f at the centre, rad/s.
        gradient: f' at the centre, rad/s per unit of length.
        curvature: f'', rad/s per unit of length squared.
        spacing: distance d of neighbours; they sit at (l - 5/2) d.
        time: for which the field acts, s.

    The same as (f + 5d^2 f''/8) COMMON - (d f'/2) GRADIENT + (d^2 f''/2) CURVATURE.
    """
    place = (np.arange(4) - 1.5) * positive(spacing, "spacing")
    field = (
        finite(offset, "offset")
        + finite(gradient, "gradient") * place
        + 0.5 * finite(curvature, "curvature") * place**2
    )
    return positive(time, "time") * field


def field_bounds(
    information: ArrayLike, spacing: float, time: float, shots: int
) -> dict[str, float]:
    """Least standard deviations of gradient and curvature, each with the rest unknown.

    Args:
        information: (4, 4) QFI (or Fisher) matrix of the local phases for one shot.
        spacing: distance of neighbouring ensembles.
        time: for which the field acts, s.
        shots: number of shots.

    Returns:
        "gradient" and "curvature": bounds when the other one and the common phase are
        fitted too (Schur complement); "gradient_known" and "curvature_known": bounds
        when the common phase and the other one are known. Infinite where there is no
        information.
    """
    matrix = np.asarray(information, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise ValueError(
            f"Argument `information` must have shape (4, 4), but has shape {matrix.shape!r}."
        )
    place = (np.arange(4) - 1.5) * positive(spacing, "spacing")
    generators = positive(time, "time") * np.array([np.ones(4), place, 0.5 * place**2])
    fisher = whole(shots, "shots", least=1) * generators @ matrix @ generators.T
    bounds = {}
    for index, name in ((1, "gradient"), (2, "curvature")):
        others = [k for k in range(3) if k != index]
        known = fisher[index, index]
        cross = fisher[index, others]
        rest = np.linalg.pinv(fisher[np.ix_(others, others)], hermitian=True)
        left = known - cross @ rest @ cross
        bounds[name] = _deviation(left, known)
        bounds[f"{name}_known"] = _deviation(known, known)
    return bounds


def _deviation(information: float, scale: float) -> float:
    """1/sqrt, with an information that is rounding error counted as none."""
    if information <= 1e-12 * abs(scale) or information <= 0.0:
        return math.inf
    return 1.0 / math.sqrt(information)
