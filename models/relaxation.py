"""How two ensembles relax to their steady state: exact density matrix from all atoms down.

Fidelity F(t) = <psi|rho(t)|psi> with the steady state, spin length, variance and the time
to a wanted infidelity. F never falls, so that time is well defined, and it cannot be
shorter than `relaxation_time_bound`. (The estimate Gamma t = 1/Var in the paper violates
that bound; exact values lie at 5 to 8 / Var for S|Delta|/Omega >= 2 and Omega = 2 S Gamma.)

States that hold next to no weight are left out as the ensembles settle into small J; the
results are those of the normalised remainder. Memory is about 7 (2S+1)^4 numbers at the
start, 5 where numba is installed and there is no exchange: then compiled loops
(`relaxation_window`) take the place of the array code here. For larger S and strong drive
see `relaxation_secular`, for few figures `trajectories`.
Equation numbers: Chu et al., "Reconfigurable dissipative entanglement".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ._checks import between, finite, positive
from .relaxation_generator import Array, Generator, Matrix, generator
from .relaxation_generator import spectral_ellipse as spectral_ellipse
from .relaxation_propagator import Ellipse, Step, crossing, propagate, rising_times
from .relaxation_window import kernel, window_steps
from .two_ensembles import TwoEnsembles, relaxation_time_bound, steady_state

_REACH = 120.0  # length of a step in units of 1/(imaginary semi-axis)
_SHRINK = 0.95  # states are left out when at most this part of them remains
_TRACE_ERROR = 1e-7
_COMPILED_FROM = 4.0  # spin from which on loading the compiled loops pays


@dataclass(frozen=True, slots=True)
class Relaxation:
    """The relaxing pair at a few times; spins in units of hbar, times in the rates' inverse.

    Attributes:
        parameters: the pair.
        times: where the rest is given, (n,).
        fidelity: overlap F(t) with the steady state.
        spin_length_x: <S1x - S2x>.
        spin_length_y: <S1y - S2y>; zero without exchange.
        mean_y: <S1y + S2y>.
        variance: Var(S1y + S2y).
        mean_z: <S1z + S2z>.
        discarded: weight of the states left out on the way.
    """

    parameters: TwoEnsembles
    times: Array
    fidelity: Array = field(repr=False)
    spin_length_x: Array = field(repr=False)
    spin_length_y: Array = field(repr=False)
    mean_y: Array = field(repr=False)
    variance: Array = field(repr=False)
    mean_z: Array = field(repr=False)
    discarded: float

    @property
    def infidelity(self) -> Array:
        """1 - F(t)."""
        return 1.0 - self.fidelity

    @property
    def xi2(self) -> Array:
        """Wineland squeezing 4S Var / (X^2 + Y^2) at each time (Chu Eq. 12)."""
        square = self.spin_length_x**2 + self.spin_length_y**2
        with np.errstate(divide="ignore"):
            return np.asarray(4.0 * self.parameters.spin * self.variance / square)


def relaxation(
    parameters: TwoEnsembles, times: Sequence[float] | Array, *, discard: float = 1e-9
) -> Relaxation:
    """The pair at given times after starting from all atoms down (Chu Eq. 2), exchange included.

    Args:
        parameters: the pair; time counts in the inverse unit of its rates.
        times: rising, not negative.
        discard: weight that may be left out each time the basis shrinks; 0 keeps it whole.

    Raises:
        ValueError: on times that fall or are negative, on `discard` outside [0, 1e-3].
        ArithmeticError: when the propagation loses the trace (not seen in practice).
    """
    wanted = rising_times(times)
    discard = _discard(discard)
    rows = np.empty((wanted.size, 7))
    done = 0
    for step in _steps(generator(parameters), discard, float(wanted[-1])):
        inside = wanted[done:] <= step.start + step.duration * (1.0 + 1e-12)
        count = int(np.count_nonzero(inside))
        if count:
            rows[done : done + count] = step.at(wanted[done : done + count])
        done += count
        if done == wanted.size:
            break
    return _result(parameters, wanted, rows)


def relax_until(
    parameters: TwoEnsembles,
    infidelity: float = 1e-3,
    *,
    points: int = 20,
    discard: float | None = None,
    longest: float | None = None,
) -> Relaxation:
    """Follow the pair from all atoms down to the moment when 1 - F first equals `infidelity`.

    Args:
        parameters: the pair.
        infidelity: epsilon, between 0 and 1.
        points: times per step of the propagation at which the result is given; the last
            time of the result is that moment.
        discard: weight left out per shrinking of the basis; 1e-4 of the infidelity by default.
        longest: give up after this time; by default 1000 times the least possible time.

    Raises:
        ValueError: on arguments outside these rules, or when the time is not reached.
    """
    infidelity = between(infidelity, 0.0, 1.0, "infidelity")
    cut = _discard(1e-4 * infidelity if discard is None else discard)
    least = relaxation_time_bound(steady_state(parameters), infidelity)
    limit = 1000.0 * least if longest is None else positive(longest, "longest")
    times: list[Array] = [np.zeros(1)]
    rows: list[Array] = []
    for step in _steps(generator(parameters), cut, limit):
        if not rows:
            rows.append(step.at(np.zeros(1)))
        end = step.start + step.duration
        arrived = 1.0 - step.fidelity(end) <= infidelity
        if arrived:
            end = crossing(partial(_excess, step, infidelity), step.start, end)
        grid = np.linspace(step.start, end, points + 1)[1:]
        times.append(grid)
        rows.append(step.at(grid))
        if arrived:
            return _result(parameters, np.concatenate(times), np.concatenate(rows))
    raise ValueError(
        f"Argument `longest` must leave time to reach an infidelity of {infidelity:g}, but "
        f"after {limit:g} it is {1.0 - rows[-1][-1, 6] / rows[-1][-1, 0]:.3g}."
    )


def relaxation_time(
    parameters: TwoEnsembles, infidelity: float = 1e-3, *, discard: float | None = None
) -> float:
    """t_ss: the exact time from all atoms down to the infidelity, in the rates' inverse.

    Takes a second at S = 10 and S |Delta| / Omega = 5, and two to three minutes at S = 30, with
    numba; see `relax_until` for the arguments. Against all states kept the default `discard`
    changes it by some 1e-6 of itself.
    """
    return float(relax_until(parameters, infidelity, points=1, discard=discard).times[-1])


def compiles(parameters: TwoEnsembles) -> bool:
    """Whether the relaxation uses compiled loops where numba is installed.

    They need a real density matrix, and save nothing on the smallest ones.
    """
    return parameters.exchange == 0.0 and parameters.spin >= _COMPILED_FROM


def _steps(system: Generator, discard: float, stop: float) -> Iterator[Step]:
    """Propagate all atoms down step by step: compiled where that is installed and worth it."""
    loops = None
    if compiles(system.parameters):
        loops = kernel()
    if loops is None:
        yield from _array_steps(system, discard, stop)
    else:
        yield from window_steps(loops, system, discard, stop)


def _array_steps(system: Generator, discard: float, stop: float) -> Iterator[Step]:
    """The steps by array code, shrinking the basis on the way."""
    phi = system.all_down()
    rho: Matrix = np.multiply.outer(phi, phi).astype(system.drift.dtype)
    turn = (
        2.0
        * math.pi
        / math.hypot(system.parameters.rabi_frequency, 0.5 * system.parameters.detuning_difference)
    )
    ellipse = spectral_ellipse(system)
    seen: list[tuple[float, Array]] = []
    now = 0.0
    while now == 0.0 or now < stop:
        longest = _REACH / ellipse.imaginary
        duration = min(longest, stop - now) or longest  # a whole step when only t = 0 is asked
        rho, measured, ellipse = _guarded(system, rho, ellipse, duration)
        yield Step(now, duration, ellipse, measured)
        now += duration
        seen.append((now, np.real(np.diagonal(rho)).copy()))
        while len(seen) > 1 and seen[1][0] <= now - turn:
            seen.pop(0)
        if discard > 0.0 and now >= turn:
            keep = _kept(system, np.max([weights for _, weights in seen], axis=0), discard)
            if keep.size <= _SHRINK * system.size:
                system = system.restricted(keep)
                rho = np.ascontiguousarray(rho[np.ix_(keep, keep)])
                seen = [(time, weights[keep]) for time, weights in seen]
                ellipse = spectral_ellipse(system)


def _guarded(
    system: Generator, rho: Matrix, ellipse: Ellipse, duration: float
) -> tuple[Matrix, Array, Ellipse]:
    """One step; an ellipse that proves too small (the trace runs away) is enlarged."""
    trace = float(np.real(np.trace(rho)))
    for _ in range(6):
        after, measured = propagate(system.recursion, rho, ellipse, duration, system.expectations)
        lost = trace - float(np.real(np.trace(after)))
        if math.isfinite(lost) and -_TRACE_ERROR < lost < 1e-3:
            return after, measured, ellipse
        ellipse = ellipse.enlarged(1.25)
    raise ArithmeticError(
        f"The propagation of {system.parameters} lost its trace; choose a smaller `discard`."
    )


def _kept(system: Generator, weights: Array, discard: float) -> NDArray[np.int64]:
    """States that hold all but `discard` of the weight, now and in the end, and neighbours."""
    needed = np.maximum(weights, np.abs(system.target) ** 2)
    order = np.argsort(needed)
    small = np.cumsum(np.maximum(needed[order], 0.0)) <= discard
    inside = np.ones(system.size)
    inside[order[small]] = 0.0
    return np.flatnonzero(abs(system.drift) @ inside + inside)


def _excess(step: Step, infidelity: float, time: float) -> float:
    return 1.0 - step.fidelity(time) - infidelity


def _result(parameters: TwoEnsembles, times: Array, rows: Array) -> Relaxation:
    trace = rows[:, 0]
    x, y, mean_y, square, mean_z, fidelity = (rows[:, 1:] / trace[:, None]).T
    return Relaxation(
        parameters,
        times,
        fidelity,
        x,
        y,
        mean_y,
        square - mean_y**2,
        mean_z,
        max(0.0, 1.0 - float(trace[-1])),
    )


def _discard(value: float) -> float:
    number = finite(value, "discard")
    if not 0.0 <= number <= 1e-3:
        raise ValueError(f"Argument `discard` must lie in [0, 0.001], but is {value!r}.")
    return number
