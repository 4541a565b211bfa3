r"""The pumped ensemble in Gram (discrete Legendre) polynomials: any N in a few dozen modes.

With the orthonormal polynomials t_l on the N+1 values of m, x t_l = b_{l+1} t_{l+1} + b_l t_{l-1},
b_l = l sqrt([(1+1/N)^2 - (l/N)^2]/(4 l^2 - 1)), and p_m = sum_l c_l t_l(m)/sqrt(N+1), c_0 = 1,
the rate equation (Eq. B13) is exactly

    dc_l/dt = -(gamma+w)/2 l(l+1) c_l + gamma s [(l+1) b_l c_{l-1} - l b_{l+1} c_{l+1}],

so <x> = b_1 c_1 and <x^2> = b_1^2 + b_1 b_2 c_2. At w = gamma it is diagonal: the rates are
gamma l(l+1). The number of modes grows as sqrt(s), not with N; 1/N = 0 is the universal
limit in which the widths of all N collapse (Fig. 4b). Derived here, not in the paper.
Equation numbers: Shimshi & Shahmoon, "Dissipative phase transition and metrology in
collectively pumped superradiance" (2024).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import (
    cho_solve_banded,
    cholesky_banded,
    eig_banded,
    eigh_tridiagonal,
    solve_banded,
)
from scipy.sparse.linalg import LinearOperator, eigsh

from ._checks import whole
from .pumped_superradiance import PumpedEnsemble
from .pumped_superradiance_stepping import TridiagonalRamp

Array = NDArray[np.float64]

_DENSE_MODES = 400
_FEW_ATOMS = 400
_GEOMETRIC_ABOVE = 90.0  # N (1 - w/gamma): the far end of the ladder then holds 1e-39


def couplings(inverse_atoms: float, count: int, order: int = 0) -> Array:
    """b_l for l = 0 … count, of the sector |m><m+q| with q = order; b_l = 0 up to l = |q|.

    Half the sum of x on the left and on the right acts on that sector as this matrix.
    """
    degree = np.arange(count + 1, dtype=np.float64)
    square = degree * degree
    below = np.maximum((1.0 + inverse_atoms) ** 2 - (inverse_atoms * degree) ** 2, 0.0)
    return np.sqrt(np.maximum(square - order * order, 0.0) * below / np.abs(4.0 * square - 1.0))


def modes_needed(atoms: float, largest_s: float) -> int:
    """The last mode to keep when |s| does not exceed a value: 9 sqrt(s) + 30, at most N."""
    return int(min(atoms, math.ceil(9.0 * math.sqrt(abs(largest_s)) + 30.0)))


def mode_ramp(inverse_atoms: float, last: int) -> TridiagonalRamp:
    """The rate equation of c_0 … c_last, in units of gamma, as P + s Q."""
    degree = np.arange(last + 1, dtype=np.float64)
    b = couplings(inverse_atoms, last + 1)
    losses = -degree * (degree + 1.0)
    zero = np.zeros(last + 1)
    return TridiagonalRamp(
        constant=np.stack([zero, losses, zero]),
        slope=np.stack([(degree + 1.0) * b[:-1], inverse_atoms * losses, -degree * b[1:]]),
    )


def population_ramp(atoms: int) -> TridiagonalRamp:
    """The rate equation of all p_m (Eq. B13), m ascending, in units of gamma, as P + s Q."""
    k = np.arange(atoms + 1, dtype=np.float64)
    up, down = (atoms - k) * (k + 1.0), k * (atoms - k + 1.0)
    gain_up = np.concatenate(([0.0], up[:-1]))
    gain_down = np.concatenate((down[1:], [0.0]))
    share = 2.0 / atoms
    return TridiagonalRamp(
        constant=np.stack([gain_up, -(up + down), gain_down]),
        slope=share * np.stack([gain_up, -up, np.zeros(atoms + 1)]),
    )


def stationary_modes(inverse_atoms: float, s: float, last: int) -> Array:
    """c_l of the steady state (Eq. 3) for l = 0 … last."""
    state = np.zeros(last + 1)
    state[0] = 1.0
    if last == 0:
        return state
    sub, diagonal, sup = mode_ramp(inverse_atoms, last).at(s)
    state[1:] = solve_tridiagonal(sub[1:], diagonal[1:], sup[1:], _first(last, -sub[1]))
    return state


def solve_tridiagonal(sub: Array, diagonal: Array, sup: Array, right: Array) -> Array:
    """Solve with the rows [i, i-1], [i, i], [i, i+1]; entries outside are ignored."""
    bands = np.zeros((3, diagonal.size))
    bands[0, 1:], bands[1], bands[2, :-1] = sup[:-1], diagonal, sub[1:]
    solution: Array = solve_banded((1, 1), bands, right)
    return solution


def apply_x(b: Array, state: Array) -> Array:
    """Multiply by x: (n, …) mode vectors, with b_0 … b_n."""
    shape = (-1,) + (1,) * (state.ndim - 1)
    product = np.zeros_like(state)
    product[1:] = b[1:-1].reshape(shape) * state[:-1]
    product[:-1] += b[1:-1].reshape(shape) * state[1:]
    return product


def relaxation_rates(parameters: PumpedEnsemble, count: int, order: int = 0) -> Array:
    """The lowest rates of the sector |m><m+q|, ascending; q = 0 begins with the steady 0.

    Exact (not the cumulant form, Eqs. 7 and E5): eigenvalues of the symmetrised matrix, in
    the modes (any N near the transition) or in the levels next to the full or the empty
    state (far from it), whichever is smaller. Fig. 6 is the sector q = 0.

    Args:
        parameters: the ensemble.
        count: how many, 1 or more.
        order: q, the order of the coherence; its sign does not matter.

    Raises:
        ValueError: when there are fewer rates than asked for, or q exceeds N.
    """
    q = abs(round(order))
    number = whole(count, "count", least=1)
    available = parameters.atoms + 1 - q
    if available < number:
        raise ValueError(
            f"Argument `count` must not exceed the {max(available, 0)} rates of the sector "
            f"q = {order!r} of N = {parameters.atoms} atoms, but is {count!r}."
        )
    parameters = _tamed(parameters)
    last = max(modes_needed(parameters.atoms, parameters.scaled_pump), q + number + 30)
    last = min(parameters.atoms, last + q)
    levels = min(parameters.atoms + 1 - q, edge_levels(parameters) + 4 * number)
    if levels < last + 1 - q:
        rates = _level_rates(parameters, levels, number, q)
    else:
        rates = _mode_rates(parameters, last, number, q)
    if q == 0:
        rates[0] = 0.0
    return parameters.decay * rates


def relaxation_gap(parameters: PumpedEnsemble) -> float:
    """The slowest rate of the populations, 2 gamma at w = gamma (Fig. 2b, exact)."""
    return float(relaxation_rates(parameters, 2)[1])


def coherence_gap(parameters: PumpedEnsemble, order: int = 1) -> float:
    """The slowest rate of the coherences |m><m+q|, gamma at w = gamma and q = 1 (App. C)."""
    if round(order) == 0:
        raise ValueError(
            f"Argument `order` must not be 0, but is {order!r}; relaxation_gap has the populations."
        )
    return float(relaxation_rates(parameters, 1, order)[0])


def correlation_modes(parameters: PumpedEnsemble, last: int | None = None) -> tuple[Array, Array]:
    """Rates and weights of the correlations of x: Cov x(t) x(0) = sum_k weight_k e^{-rate_k t}.

    Args:
        parameters: the ensemble, above w = 0.
        last: the last mode kept; by default enough for 12 digits.

    Raises:
        ValueError: when more than 2000 modes would be needed, |s| above about 5e4.
    """
    parameters = _tamed(parameters)
    s, nu = parameters.scaled_pump, 1.0 / parameters.atoms
    top = modes_needed(parameters.atoms, s) if last is None else whole(last, "last", least=1)
    if top > 5 * _DENSE_MODES:
        raise ValueError(
            f"Argument `parameters` must have |s| below 5e4 for all modes, but has s = {s!r}: "
            "the distribution is then narrow and its correlations decay at the gap alone."
        )
    bands = _symmetric_bands(nu, s, top, 0)
    found = eig_banded(bands, lower=True)
    rates, vectors = np.asarray(found[0], np.float64), np.asarray(found[1], np.float64)
    ground = vectors[:, 0]
    overlaps = apply_x(couplings(nu, top + 1), ground) @ vectors
    return parameters.decay * rates[1:], overlaps[1:] ** 2


def inversion_correlation(parameters: PumpedEnsemble, times: Array | float) -> Array:
    """C_zz(t) = <Jz(t) Jz> - <Jz>^2 in the steady state (Eq. E1), exact.

    Args:
        parameters: the ensemble.
        times: delays, not negative, in the inverse unit of the rates.
    """
    delays = np.asarray(times, dtype=np.float64)
    if not np.all(np.isfinite(delays)) or np.any(delays < 0.0):
        raise ValueError(f"Argument `times` must be finite and not negative, but is {times!r}.")
    rates, weights = correlation_modes(parameters)
    scale = (0.5 * parameters.atoms) ** 2
    correlation: Array = scale * (np.exp(-delays[..., None] * rates) @ weights)
    return correlation


def integrated_correlation_time(parameters: PumpedEnsemble) -> float:
    """tau = int_0^inf C_zz(t) dt / C_zz(0), 1/(2 gamma) at w = gamma; not 1/gap elsewhere.

    The long-time variance of the time average of Jz over T is 2 Var tau/T.
    """
    parameters = _tamed(parameters)
    s, nu = parameters.scaled_pump, 1.0 / parameters.atoms
    if parameters.pump == 0.0:
        return 1.0 / (parameters.decay * parameters.atoms)
    if parameters.atoms <= _FEW_ATOMS:
        return _level_time(parameters) / parameters.decay
    if parameters.atoms * -math.expm1(-abs(parameters.log_ratio)) > _GEOMETRIC_ABOVE:
        return _edge_time(parameters) / parameters.decay
    last = modes_needed(parameters.atoms, s)
    state = stationary_modes(nu, s, last)
    b = couplings(nu, last + 1)
    sub, diagonal, sup = mode_ramp(nu, last).at(s)
    deviation = apply_x(b, state) - b[1] * state[1] * state
    response = solve_tridiagonal(sub[1:], diagonal[1:], sup[1:], -deviation[1:])
    variance = b[1] * deviation[1]
    return float(b[1] * response[0] / (variance * parameters.decay))


def edge_levels(parameters: PumpedEnsemble) -> int:
    """How many levels next to the full or the empty state hold the slow modes, 16 digits."""
    slope = abs(parameters.log_ratio)
    if slope == 0.0:
        return parameters.atoms + 1
    return math.ceil(min(parameters.atoms + 1.0, 120.0 / slope + 200.0))


def _tamed(parameters: PumpedEnsemble) -> PumpedEnsemble:
    """The same rates with w and gamma exchanged (x to -x) where w is far above gamma."""
    if parameters.pump <= 2.0 * parameters.decay:
        return parameters
    return PumpedEnsemble(parameters.atoms, parameters.decay, parameters.pump)


def _first(size: int, value: float) -> Array:
    """A vector with one entry in front."""
    vector = np.zeros(size)
    vector[0] = value
    return vector


def _symmetric_bands(nu: float, s: float, last: int, q: int) -> Array:
    """Lower bands of the symmetrised generator over gamma, l = |q| … last; q = 0 gives 0 first.

    sqrt(w/gamma) [l(l+1) - q^2] + s^2/(1+sqrt(w/gamma))^2 (1 + 2/N - q^2/N^2 - X^2) - s X,
    with X the matrix of x: the symmetric form of the rate equation, exact for every N.
    """
    degree = np.arange(q, last + 1, dtype=np.float64)
    b = couplings(nu, last + 1, q)[q:]
    root = math.sqrt(max(0.0, 1.0 + 2.0 * s * nu))
    bend = (s / (1.0 + root)) ** 2
    bands = np.zeros((3, degree.size))
    square = b[:-1] ** 2 + b[1:] ** 2
    bands[0] = root * (degree * (degree + 1.0) - q * q) + bend * (
        1.0 + 2.0 * nu - (q * nu) ** 2 - square
    )
    bands[1, :-1] = -s * b[1:-1]
    bands[2, :-2] = -bend * b[1:-2] * b[2:-1]
    return bands


def _mode_rates(parameters: PumpedEnsemble, last: int, count: int, q: int) -> Array:
    """The lowest eigenvalues in the modes."""
    bands = _symmetric_bands(1.0 / parameters.atoms, parameters.scaled_pump, last, q)
    size = bands.shape[1]
    if size <= _DENSE_MODES or count > size // 4:
        values = eig_banded(
            bands, lower=True, eigvals_only=True, select="i", select_range=(0, count - 1)
        )
        return np.asarray(values, dtype=np.float64)
    shifted = bands.copy()
    shifted[0] += 1.0
    factors = cholesky_banded(shifted, lower=True)
    operator: Any = LinearOperator
    inverse = operator(
        (size, size),
        matvec=lambda vector: cho_solve_banded((factors, True), vector),
        dtype=np.float64,
    )
    found = eigsh(inverse, k=count, which="LA", v0=np.ones(size), return_eigenvectors=False)
    return np.sort(1.0 / np.asarray(found, dtype=np.float64)) - 1.0


def _level_rates(parameters: PumpedEnsemble, levels: int, count: int, q: int) -> Array:
    """The lowest eigenvalues in the levels next to the empty (w < gamma) or full state."""
    n = float(parameters.atoms)
    ratio = parameters.pump / parameters.decay
    low = ratio <= 1.0
    k = np.arange(levels, dtype=np.float64)  # atoms in the rarer state, of m; of m + q: k + q
    away, back = (n - k) * (k + 1.0), k * (n - k + 1.0)
    away_q, back_q = (n - k - q) * (k + q + 1.0), (k + q) * (n - k - q + 1.0)
    outward, inward = (ratio, 1.0) if low else (1.0, ratio)
    diagonal = 0.5 * (outward * (away + away_q) + inward * (back + back_q))
    coupling = -math.sqrt(ratio) * np.sqrt((away * away_q)[:-1])
    values = eigh_tridiagonal(
        diagonal, coupling, eigvals_only=True, select="i", select_range=(0, count - 1)
    )
    return np.asarray(values, dtype=np.float64)


def _level_time(parameters: PumpedEnsemble) -> float:
    """gamma tau by the flow of the deviation over each step, sum_k F_k^2/(rate_k p_k)/Var."""
    n = float(parameters.atoms)
    k = np.arange(parameters.atoms + 1, dtype=np.float64)  # atoms in the rarer state
    p = np.exp(-abs(parameters.log_ratio) * k)
    p /= p.sum()
    deviation = k - float(p @ k)
    variance = float(p @ deviation**2)
    beyond = np.cumsum((p * deviation)[::-1])[::-1][1:]
    outward = min(1.0, parameters.pump / parameters.decay) * ((n - k) * (k + 1.0))[:-1]
    seen = p[:-1] > 0.0
    terms = (beyond / outward)[seen] * (beyond[seen] / p[:-1][seen])
    return float(terms.sum() / variance)


def _edge_time(parameters: PumpedEnsemble) -> float:
    """gamma tau far from the transition, where the rarer state holds a geometric law q^k.

    tau = (1-q) q/out sum_k (k+1) q^k/(N-k), out the rate towards that state, summed with
    1/(N-k) = sum_i (k+2)_i/(N+2)_{i+1} (rising products).
    """
    q = math.exp(-abs(parameters.log_ratio))
    missing = -math.expm1(-abs(parameters.log_ratio))
    outward = min(1.0, parameters.pump / parameters.decay)
    step = float(parameters.atoms) + 2.0
    term = 1.0 / (step * missing)
    total, i = term, 0
    while term > 1e-17 * total:
        i += 1
        term *= (i + 1.0) / ((step + i) * missing)
        total += term
    return q / outward * total
