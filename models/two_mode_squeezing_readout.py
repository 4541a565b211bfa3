r"""Reading both angles of a two-mode squeezed pair in one shot.

The signal U = exp[-i (A Y+ + B X-)] is read by a measurement of X+ of finite strength,
Kraus operator K(x) = (2 pi v)^{-1/4} exp[-(x - X+)^2 / (4 v)], followed by counting Y-
(Mamaev S10-S25). The strength is Lambda = lambda^2 T^2 sigma_q and v = 1/(4 Lambda): (S14)
takes the pointer's momentum variance as 1/(2 sigma_q), where it is 1/(4 sigma_q), and prints
twice this imprecision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ._checks import dimension_of, finite, positive, whole
from .ellipse import fisher_information
from .spins import wigner_d
from .two_mode_squeezing import (
    TwoModeSqueezedState,
    checked_squeezing,
    spin_elements,
    two_mode_amplitudes,
    two_mode_squeezed_spins,
)
from .two_mode_squeezing_mean_field import root_between

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_LARGEST_SPIN = 20.0
_REACH = 8.0  # widths of the pointer beyond the extreme values of X+
_POINTS_PER_WIDTH = 8.0
_BATCH = 512


@dataclass(frozen=True, slots=True)
class ReadoutNoise:
    """Linear readout at small angles: <x> = slope_x A, <y> = slope_y B.

    Attributes:
        variance_x: of the X+ record, <X+^2> + 1/(4 Lambda).
        variance_y: of Y- afterwards, <X+^2> e^{-Lambda} cosh Lambda.
        slope_x: <Z1+Z2>.
        slope_y: -<Z1+Z2> e^{-Lambda/2}.
        xi2_a: N Var(A) of the estimate A = x / slope_x.
        xi2_b: N Var(B) of the estimate B = y / slope_y.
    """

    variance_x: float
    variance_y: float
    slope_x: float
    slope_y: float
    xi2_a: float
    xi2_b: float


@dataclass(frozen=True, slots=True)
class ReadoutOptimum:
    """Squeezing r and strength Lambda of the best linear sequential readout, with its noise."""

    squeezing: float
    strength: float
    noise: ReadoutNoise


@dataclass(frozen=True, slots=True)
class SequentialShots:
    """Records of a sequential readout, one entry per shot.

    Attributes:
        x: pointer values, the record of X+.
        y1, y2: Y of each ensemble, -S … S in steps of 1; Y- is their difference.
    """

    x: Array = field(repr=False)
    y1: Array = field(repr=False)
    y2: Array = field(repr=False)


def sequential_noise(state: TwoModeSqueezedState, strength: float) -> ReadoutNoise:
    """Means and variances of x and y in closed form (Mamaev S14, S18-S20, corrected).

    Args:
        state: a state of spins.
        strength: Lambda, above zero. About 1 serves both angles: a projective X+ (Lambda to
            infinity) leaves no first-order signal of B.
    """
    weight = positive(strength, "strength")
    quiet, length = state.squeezed_variance, state.length
    base = state.xi2
    return ReadoutNoise(
        variance_x=quiet + 0.25 / weight,
        variance_y=0.5 * quiet * (1.0 + math.exp(-2.0 * weight)),
        slope_x=length,
        slope_y=-length * math.exp(-0.5 * weight),
        xi2_a=base * (1.0 + 0.25 / (weight * quiet)),
        xi2_b=base * math.cosh(weight),
    )


def best_sequential_readout(spin: float, *, balanced: bool = True) -> ReadoutOptimum:
    """Squeezing and strength of the best linear sequential readout of both angles.

    Args:
        spin: S of each ensemble.
        balanced: minimise the larger of the two variances (they are then equal); otherwise
            their sum.

    For large S: e^{2r} = 1.704 S, Lambda = 1.092, N xi^2 = 6.57 for both, or e^{2r} = 1.746 S,
    Lambda = 0.871, N xi^2 = 7.29 and 5.50.
    """
    dimension_of(spin)
    reach = (0.0, 0.5 * math.log(20.0 * spin + 20.0))

    def strength_for(state: TwoModeSqueezedState) -> float:
        quarter = 0.25 / state.squeezed_variance

        def excess(u: float) -> float:
            if balanced:
                return 2.0 * math.sinh(0.5 * u) ** 2 - quarter / u
            return math.sinh(u) - quarter / u**2

        return root_between(excess, 1e-9, 60.0)

    def cost(r: float) -> float:
        state = two_mode_squeezed_spins(spin, r)
        noise = sequential_noise(state, strength_for(state))
        return max(noise.xi2_a, noise.xi2_b) if balanced else noise.xi2_a + noise.xi2_b

    found = minimize_scalar(
        lambda r: cost(float(r)), bounds=reach, method="bounded", options={"xatol": 1e-9}
    )
    r = float(found.x)
    state = two_mode_squeezed_spins(spin, r)
    strength = strength_for(state)
    return ReadoutOptimum(r, strength, sequential_noise(state, strength))


class SequentialReadout:
    """Exact statistics of the sequential readout of a two-mode squeezed pair.

    Args:
        spin: S of each ensemble, at most 20.
        squeezing: r.
        strength: Lambda.

    The state is written as sum_s B_s(y1, y2) over the values s of X+, so that a record x
    leaves the amplitudes sum_s g(x - s) B_s. Memory and cost per shot: (4S+1)(2S+1)^2.
    """

    def __init__(self, spin: float, squeezing: float, strength: float) -> None:
        self._dimension = dimension_of(spin)
        if spin > _LARGEST_SPIN:
            raise ValueError(
                f"Argument `spin` must not exceed {_LARGEST_SPIN:g} here, but is {spin!r}; use "
                "sequential_noise."
            )
        self._spin = 0.5 * (self._dimension - 1)
        self._squeezing = checked_squeezing(squeezing)
        self._strength = positive(strength, "strength")
        self._width = 0.5 / math.sqrt(self._strength)
        self._start = np.diag(two_mode_amplitudes(self._dimension - 1, squeezing)).astype(complex)
        turn = wigner_d(self._spin, 0.5 * math.pi)[::-1, ::-1]  # <m|x>, ascending
        phases = np.exp(0.5j * math.pi * np.arange(self._dimension))
        self._to_x = turn.T.astype(complex)  # <x|m>
        self._x_to_y = (turn.T * phases) @ turn  # <y|x>, |y> = exp(-i pi/2 Z)|x>
        numbers = np.arange(self._dimension)
        self._sums = numbers[:, None] + numbers[None, :]  # X+ = sums - 2S
        self._values = np.arange(2 * self._dimension - 1) - 2.0 * self._spin

    @property
    def noise(self) -> ReadoutNoise:
        """Linear readout at small angles, closed form."""
        return sequential_noise(
            two_mode_squeezed_spins(self._spin, self._squeezing), self._strength
        )

    def distribution(
        self, angle_a: float = 0.0, angle_b: float = 0.0
    ) -> tuple[Array, Array, Array]:
        """(x, y, P): density in x of the record x with the outcome y of Y-.

        Returns:
            x: grid of records, evenly spaced, fine enough for sums to be exact to rounding.
            y: -2S … 2S.
            P: (len(x), len(y)) density; its sum times the spacing of x is 1.
        """
        x = self._grid()
        waves = self._pointer(x) @ self._branches(self._turned(angle_a, angle_b))
        y = np.array(self._values, dtype=np.float64)
        return x, y, self._by_difference(waves.real**2 + waves.imag**2)

    def fisher_information(self, angle_a: float = 0.0, angle_b: float = 0.0) -> Array:
        """(2, 2) classical Fisher information of (x, y) about the angles (A, B)."""
        x = self._grid()
        pointer = self._pointer(x)
        waves = pointer @ self._branches(self._turned(angle_a, angle_b))
        chance = self._by_difference(waves.real**2 + waves.imag**2)
        slopes = []
        for change in self._derivatives(angle_a, angle_b):
            moved = pointer @ self._branches(change)
            flow = 2.0 * (waves.real * moved.real + waves.imag * moved.imag)
            slopes.append(self._by_difference(flow))
        seen = chance > 1e-280
        slopes = [np.where(seen, slope, 0.0) for slope in slopes]
        information = fisher_information(np.where(seen, chance, 0.0), slopes)
        return np.asarray(information * (x[1] - x[0]))

    def sample(
        self, angle_a: float, angle_b: float, shots: int, rng: np.random.Generator
    ) -> SequentialShots:
        """Draw records of `shots` independent repetitions."""
        branches = self._branches(self._turned(angle_a, angle_b))
        chance = np.sum(branches.real**2 + branches.imag**2, axis=1)
        total = whole(shots, "shots")
        drawn = rng.choice(chance.size, size=total, p=chance / chance.sum())
        x = self._values[drawn] + self._width * rng.standard_normal(total)
        cells = np.empty(total, dtype=np.int64)
        for first in range(0, total, _BATCH):
            waves = self._pointer(x[first : first + _BATCH]) @ branches
            ladder = np.cumsum(waves.real**2 + waves.imag**2, axis=1)
            marks = rng.random(ladder.shape[0]) * ladder[:, -1]
            cells[first : first + _BATCH] = np.sum(ladder < marks[:, None], axis=1)
        y1, y2 = np.divmod(cells, self._dimension)
        return SequentialShots(x, y1 - self._spin, y2 - self._spin)

    def _grid(self) -> Array:
        """Records x that cover every value of X+ with its pointer width."""
        reach = 2.0 * self._spin + _REACH * self._width
        step = min(self._width, 1.0) / _POINTS_PER_WIDTH
        count = 2 * math.ceil(reach / step) + 1
        return np.linspace(-reach, reach, count)

    def _pointer(self, x: Array) -> Array:
        """Pointer amplitudes g(x - s), shape (len(x), 4S+1)."""
        scaled = (x[:, None] - self._values) / (2.0 * self._width)
        peak = (2.0 * math.pi * self._width**2) ** -0.25
        return np.asarray(peak * np.exp(-(scaled**2)))

    def _branches(self, state: Complex) -> Complex:
        """B_s(y1, y2) for every value s of X+, shape (4S+1, (2S+1)^2)."""
        at_x = self._to_x @ state @ self._to_x.T
        parts = [
            self._x_to_y @ np.where(self._sums == number, at_x, 0.0) @ self._x_to_y.T
            for number in range(self._values.size)
        ]
        return np.array(parts, dtype=np.complex128).reshape(self._values.size, -1)

    def _by_difference(self, table: Array) -> Array:
        """Sum over (y1, y2) of equal y1 - y2, last axis -2S … 2S."""
        numbers = np.arange(self._dimension)
        member = (numbers[:, None] - numbers[None, :] + self._dimension - 1).ravel()
        select = np.zeros((member.size, self._values.size))
        select[np.arange(member.size), member] = 1.0
        return np.asarray(table @ select)

    def _turned(self, angle_a: float, angle_b: float) -> Complex:
        """U |psi(r)>: spin 1 turns about (B, A, 0), spin 2 about (-B, A, 0)."""
        a, b = finite(angle_a, "angle_a"), finite(angle_b, "angle_b")
        return np.asarray(self._rotation(b, a) @ self._start @ self._rotation(-b, a).T)

    def _rotation(self, about_x: float, about_y: float) -> Complex:
        """exp[-i (about_x Sx + about_y Sy)], ascending."""
        angle = math.hypot(about_x, about_y)
        azimuth = math.atan2(about_y, about_x) - 0.5 * math.pi
        phases = np.exp(-1j * azimuth * np.arange(self._dimension))
        turn = wigner_d(self._spin, angle)[::-1, ::-1]
        return np.asarray(phases[:, None] * turn * phases.conj()[None, :], dtype=np.complex128)

    def _derivatives(self, angle_a: float, angle_b: float) -> tuple[Complex, Complex]:
        """d(U psi)/dA and d(U psi)/dB."""
        turned = self._turned(angle_a, angle_b)
        changes = []
        for unit1, unit2 in (((0.0, 1.0), (0.0, 1.0)), ((1.0, 0.0), (-1.0, 0.0))):
            first = self._generator((angle_b, angle_a), unit1)
            second = self._generator((-angle_b, angle_a), unit2)
            changes.append(np.asarray(-1j * (first @ turned + turned @ second.T)))
        return changes[0], changes[1]

    def _generator(self, turn: tuple[float, float], unit: tuple[float, float]) -> Complex:
        """Mean of the rotated `unit`.S along the turn: i dU/d(unit) U^dag for one spin."""
        vector = np.array([*unit, 0.0])
        angle = math.hypot(*turn)
        if angle > 0.0:
            axis = np.array([*turn, 0.0]) / angle
            along = (axis @ vector) * axis
            across = vector - along
            vector = along + np.sinc(angle / math.pi) * across
            vector = vector + 2.0 * math.sin(0.5 * angle) ** 2 / angle * np.cross(axis, across)
        steps = 0.5 * spin_elements(self._spin)[1:]
        x = np.diag(steps, 1) + np.diag(steps, -1)
        y = 1j * (np.diag(steps, 1) - np.diag(steps, -1))
        z = np.diag(np.arange(self._dimension) - self._spin)
        return np.asarray(vector[0] * x + vector[1] * y + vector[2] * z, dtype=np.complex128)
