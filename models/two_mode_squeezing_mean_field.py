r"""Second-order mean field of two-mode squeezing with relaxation and dephasing of every atom.

The closed moment equations of Mamaev S60-S67 for n_i atoms in ensemble i, from all atoms
down, where <C^yy> = <C^xx>, C12^yy = -C12^xx and C12^yx = 0 for good:

    s_i' = -gamma_- (s_i + n_i/2) - (2 a_i + ch s_i)
    a_i' = k (n_i/4 - a_i) + ch (z_i - a_i + s_i^2) - s_i/2 + 2 a_i s_i
    z_i' = gamma_- (n_i/2 - 2 z_i + s_i) + ch (2 a_i - 2 z_i) + s_i
    b'   = -k b + b (s_1 + s_2) - sh s_1 s_2 - ch b - sh d
    d'   = -2 gamma_- d - 2 ch d - 2 sh b

with s = <Z>, a = C^xx, z = C^zz, b = C12^xx, d = C12^zz, ch = cosh 2r, sh = sinh 2r,
k = gamma_- + 4 gamma_z, rates in units of gamma. The relaxation term of s_i is the corrected
one: (S60) prints gamma_- (S_i^z - N/4), with both signs wrong.

Good for e^{2r} << N. Near e^{2r} ~ N it saturates (<X+^2> -> 1/2): its best clean Wineland
parameter is 9.90/(N+4), 3.3 times the exact one. Below N ~ 100 use the exact dynamics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, minimize_scalar

from ._checks import finite, not_negative, positive, whole
from .two_mode_squeezing import checked_squeezing

Array = NDArray[np.float64]

_LATE = 1e4  # times N: far beyond the slow drift of dephasing
_LARGEST_MEAN_FIELD_SQUEEZING = 10.0


@dataclass(frozen=True, slots=True)
class LocalNoise:
    """The pair with local noise; rates in units of gamma.

    Args:
        atoms1, atoms2: atoms in each ensemble, at least 1.
        squeezing: r, at most 10 here.
        relaxation: gamma_-, of D[sigma^-] per atom.
        dephasing: gamma_z, of D[sigma^z] per atom, Pauli matrix.
    """

    atoms1: int
    atoms2: int
    squeezing: float
    relaxation: float = 0.0
    dephasing: float = 0.0

    def __post_init__(self) -> None:
        whole(self.atoms1, "atoms1", least=1)
        whole(self.atoms2, "atoms2", least=1)
        r = checked_squeezing(self.squeezing)
        if r > _LARGEST_MEAN_FIELD_SQUEEZING:
            raise ValueError(
                f"Argument `squeezing` must not exceed {_LARGEST_MEAN_FIELD_SQUEEZING:g} in the "
                f"mean field, but is {self.squeezing!r}: it holds for e^{{2r}} << N only."
            )
        not_negative(self.relaxation, "relaxation")
        not_negative(self.dephasing, "dephasing")

    @property
    def atoms(self) -> int:
        """N, of both ensembles together."""
        return self.atoms1 + self.atoms2


@dataclass(frozen=True, slots=True)
class MeanField:
    """Moments in second-order mean field.

    Attributes:
        time: units of 1/gamma; infinite for a steady state.
        x_plus_square: <X+^2> = <Y-^2>.
        x_minus_square: <X-^2> = <Y+^2>.
        z1, z2: <Z1>, <Z2>.
        atoms: N.
    """

    time: float
    x_plus_square: float
    x_minus_square: float
    z1: float
    z2: float
    atoms: int

    @property
    def xi2(self) -> float:
        """Wineland parameter N <X+^2> / <Z1+Z2>^2 (Mamaev Eq. 8)."""
        return self.atoms * self.x_plus_square / (self.z1 + self.z2) ** 2


@dataclass(frozen=True, slots=True)
class MeanFieldOptimum:
    """The squeezing (and, with dephasing, the time) of the least Wineland parameter."""

    squeezing: float
    xi2: float
    time: float


def mean_field_steady_state(noise: LocalNoise) -> MeanField:
    """The steady state by one bracketed root per ensemble; no time stepping.

    Raises:
        ValueError: with dephasing but no relaxation, where only a transient is squeezed (the
            drift afterwards takes a time of order N/gamma_z); use mean_field_best_time.
    """
    if noise.dephasing > 0.0 and noise.relaxation == 0.0:
        raise ValueError(
            "Argument `relaxation` must be above zero when `dephasing` is, but is 0: squeezing "
            "is then a transient; use mean_field_best_time."
        )
    s1 = _steady_length(noise, noise.atoms1)
    s2 = s1 if noise.atoms2 == noise.atoms1 else _steady_length(noise, noise.atoms2)
    plus, minus = _steady_variances(noise, s1, s2)
    return MeanField(math.inf, plus, minus, s1, s2, noise.atoms)


def mean_field_evolution(noise: LocalNoise, times: Sequence[float]) -> list[MeanField]:
    """Moments at every time >= 0 (units of 1/gamma), from all atoms down."""
    asked = [not_negative(time, "times") for time in times]
    grid = np.unique(np.append(asked, 0.0))
    if grid[-1] == 0.0:
        states = _start(noise)[:, None]
    else:
        states = _integrate(noise, float(grid[-1]), grid)
    found = {time: _moments(noise, time, states[:, i]) for i, time in enumerate(grid.tolist())}
    return [found[time] for time in asked]


def mean_field_best_time(noise: LocalNoise) -> MeanField:
    """The moment of the least Wineland parameter on the way (Mamaev Fig. 3b)."""
    late = _LATE * (1.0 + noise.atoms / max(noise.dephasing, 1.0))
    grid = np.geomspace(1e-3 / (noise.atoms * math.cosh(2.0 * noise.squeezing)), late, 240)
    states = _integrate(noise, late, grid)
    values = [_moments(noise, float(t), states[:, i]).xi2 for i, t in enumerate(grid)]
    best = int(np.argmin(values))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    fine = np.geomspace(low, high, 200)
    states = _integrate(noise, float(high), fine)
    results = [_moments(noise, float(t), states[:, i]) for i, t in enumerate(fine)]
    return min(results, key=lambda result: result.xi2)


def mean_field_optimum(
    atoms1: int, atoms2: int, relaxation: float = 0.0, dephasing: float = 0.0
) -> MeanFieldOptimum:
    """Best squeezing r: steady state, or least over time with dephasing alone (Mamaev Fig. 3).

    The wanted r obeys e^{2r} of order sqrt(C) or N, so it is looked for in r from 0 to
    ln(4N)/2.
    """
    transient = dephasing > 0.0 and relaxation == 0.0
    solve = mean_field_best_time if transient else mean_field_steady_state

    def at(r: float) -> MeanField:
        return solve(LocalNoise(atoms1, atoms2, r, relaxation, dephasing))

    top = min(_LARGEST_MEAN_FIELD_SQUEEZING, 0.5 * math.log(4.0 * (atoms1 + atoms2)))
    found = minimize_scalar(
        lambda r: at(float(r)).xi2, bounds=(0.0, top), method="bounded", options={"xatol": 1e-6}
    )
    best = at(float(found.x))
    return MeanFieldOptimum(float(found.x), best.xi2, best.time)


def squeezing_from_relaxation(cooperativity: float) -> float:
    """xi^2 = 1/(1 + C/2), C = N gamma/gamma_-, for N -> infinity and the best r.

    There is no threshold at C = 1, and the power -0.9 of Mamaev Fig. 3 is the local slope of
    this curve before it meets its finite-N floor. It holds gamma fixed although Gamma_a grows
    as cosh r; see `squeezing_at_fixed_power`.
    """
    return 1.0 / (1.0 + 0.5 * not_negative(cooperativity, "cooperativity"))


def squeezing_from_dephasing(cooperativity: float) -> float:
    """xi^2 = 1/(1 + C/8), C = N gamma/gamma_z, for N -> infinity, best r and best time."""
    return 1.0 / (1.0 + 0.125 * not_negative(cooperativity, "cooperativity"))


def squeezing_at_fixed_power(cooperativity: float) -> float:
    """xi^2 = sqrt(2/(2 + C0)), C0 = N gamma_0/gamma_-, when gamma = gamma_0/cosh^2 r.

    This is what a station with a given laser power reaches with relaxation: a C^{-1/2} law.
    """
    return math.sqrt(2.0 / (2.0 + not_negative(cooperativity, "cooperativity")))


def collective_cooperativity(atoms: int, collective_rate: float, local_rate: float) -> float:
    """C = N gamma / gamma_local, rates in one unit."""
    return (
        whole(atoms, "atoms", least=1)
        * positive(collective_rate, "collective_rate")
        / positive(local_rate, "local_rate")
    )


def root_between(function: Callable[[float], float], low: float, high: float) -> float:
    """The root of a function that changes sign between two points."""
    found: Any = brentq(function, low, high, xtol=1e-14)  # a float; its stubs say otherwise
    return float(found)


def _steady_length(noise: LocalNoise, atoms: int) -> float:
    """s of one ensemble: a and z are linear in s, and s is a root between -n/2 and 0."""
    ch, g = math.cosh(2.0 * noise.squeezing), noise.relaxation
    k, n = g + 4.0 * noise.dephasing, float(atoms)
    if k == 0.0:
        j = 0.5 * n
        beta = 0.5 * (3.0 * ch - 1.0 / ch)
        return -2.0 * j * (j + 1.0) / (beta + math.sqrt(beta**2 + 4.0 * j * (j + 1.0)))

    def balance(s: float) -> float:
        a = -0.5 * (g * (s + 0.5 * n) + ch * s)
        z = (g * (0.5 * n + s) + 2.0 * ch * a + s) / (2.0 * (g + ch))
        return k * (0.25 * n - a) + ch * (z - a + s * s) - 0.5 * s + 2.0 * a * s

    return root_between(balance, -0.5 * n * (1.0 + 1e-12), 0.0)


def _steady_variances(noise: LocalNoise, s1: float, s2: float) -> tuple[float, float]:
    """<X+^2> and <X-^2> from the last two equations, without subtracting large numbers."""
    r, g = noise.squeezing, noise.relaxation
    k = g + 4.0 * noise.dephasing
    ch, sh = math.cosh(2.0 * r), math.sinh(2.0 * r)
    drag = k + (ch * g + 1.0) / (g + ch)  # k + ch - sh^2/(g + ch)
    total, unequal = -(s1 + s2), (s1 - s2) ** 2
    lost = 0.5 * g * (0.5 * noise.atoms - total)
    flow = ch * total * drag
    plus = flow + math.exp(-2.0 * r) * total**2 + sh * unequal
    minus = flow + math.exp(2.0 * r) * total**2 - sh * unequal
    scale = 0.5 / (drag + total)
    return scale * plus - lost, scale * minus - lost


def _start(noise: LocalNoise) -> Array:
    """(s1, s2, a1, a2, z1, z2, b, d) of all atoms down."""
    n1, n2 = float(noise.atoms1), float(noise.atoms2)
    return np.array([-0.5 * n1, -0.5 * n2, 0.25 * n1, 0.25 * n2, 0.0, 0.0, 0.0, 0.0])


def _integrate(noise: LocalNoise, end: float, grid: Array) -> Array:
    """The eight moments on a grid of times, implicit and tight, shape (8, len(grid))."""
    ch, sh = math.cosh(2.0 * noise.squeezing), math.sinh(2.0 * noise.squeezing)
    g, k = noise.relaxation, noise.relaxation + 4.0 * noise.dephasing
    n = np.array([noise.atoms1, noise.atoms2], dtype=np.float64)

    def slope(_: float, y: Array) -> Array:
        s, a, z, b, d = y[0:2], y[2:4], y[4:6], y[6], y[7]
        out = np.empty(8)
        out[0:2] = -g * (s + 0.5 * n) - 2.0 * a - ch * s
        out[2:4] = k * (0.25 * n - a) + ch * (z - a + s * s) - 0.5 * s + 2.0 * a * s
        out[4:6] = g * (0.5 * n - 2.0 * z + s) + 2.0 * ch * (a - z) + s
        out[6] = b * (s[0] + s[1] - k - ch) - sh * s[0] * s[1] - sh * d
        out[7] = -2.0 * (g + ch) * d - 2.0 * sh * b
        return out

    def jacobian(_: float, y: Array) -> Array:
        s, a, b = y[0:2], y[2:4], y[6]
        table = np.zeros((8, 8))
        for i in (0, 1):
            table[i, [i, 2 + i]] = -g - ch, -2.0
            table[2 + i, [i, 2 + i, 4 + i]] = (
                2.0 * ch * s[i] - 0.5 + 2.0 * a[i],
                2.0 * s[i] - k - ch,
                ch,
            )
            table[4 + i, [i, 2 + i, 4 + i]] = g + 1.0, 2.0 * ch, -2.0 * (g + ch)
            table[6, i] = b - sh * s[1 - i]
        table[6, [6, 7]] = s[0] + s[1] - k - ch, -sh
        table[7, [6, 7]] = -2.0 * sh, -2.0 * (g + ch)
        return table

    solution = solve_ivp(
        slope,
        (0.0, end),
        _start(noise),
        method="Radau",
        t_eval=grid,
        jac=jacobian,
        rtol=1e-9,
        atol=1e-11 * noise.atoms,
    )
    if not solution.success:
        raise ArithmeticError(f"The mean-field equations did not integrate: {solution.message}")
    return np.asarray(solution.y, dtype=np.float64)


def _moments(noise: LocalNoise, time: float, y: Array) -> MeanField:
    """The figures of merit of a state of the eight equations."""
    spread, pair = float(y[2] + y[3]), float(y[6])
    return MeanField(
        time=finite(time, "time"),
        x_plus_square=spread + 2.0 * pair,
        x_minus_square=spread - 2.0 * pair,
        z1=float(y[0]),
        z2=float(y[1]),
        atoms=noise.atoms,
    )
