r"""Ramps of the pump through the transition: the inversion all along, and transients.

A scan moves w = gamma (1 + 2 s/N) at ds/dt = +-r (r = (N/2 gamma) dw/dt, above Eq. 8). The
dynamics is solved exactly in Gram polynomials (`pumped_superradiance_modes`), for any N and
in the universal limit atoms = math.inf, with time elements whose number does not grow for
slow scans. Equation numbers: Shimshi & Shahmoon, "Dissipative phase transition and
metrology in collectively pumped superradiance" (2024).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar

from ._checks import finite, positive, whole
from .pumped_superradiance import PumpedEnsemble
from .pumped_superradiance_modes import (
    apply_x,
    couplings,
    mode_ramp,
    modes_needed,
    population_ramp,
    stationary_modes,
)
from .pumped_superradiance_stepping import (
    Element,
    elements,
    tableau,
)

Array = NDArray[np.float64]

_MOST_LEVELS = 200_000


@dataclass(frozen=True, slots=True)
class PumpSweep:
    """One ramp of the pump, from s = start to s = stop.

    Attributes:
        atoms: N, or math.inf.
        start: s at its beginning.
        stop: s at its end; below `start` for a scan downward.
        rate: ds/dt without sign, in the unit of gamma times its value.
        decay: gamma.
        edges: s at the bounds of the time elements, from start to stop.
        first_moments: (elements, 9), <x> at the nodes of each element.
        second_moments: the same of x^2.
        final_modes: c_l at the end: the `initial` of a sweep that goes on.
    """

    atoms: float
    start: float
    stop: float
    rate: float
    decay: float
    edges: Array = field(repr=False)
    first_moments: Array = field(repr=False)
    second_moments: Array = field(repr=False)
    final_modes: Array = field(repr=False)

    @property
    def duration(self) -> float:
        """Time the ramp takes."""
        return abs(self.stop - self.start) / self.rate

    def scaled_mean(self, s: Sequence[float] | Array | float) -> Array:
        """<x> = 2 <Jz>/N at the moments when the ramp passes s.

        Raises:
            ValueError: when an s lies outside the ramp.
        """
        return self._at(self.first_moments, s)

    def scaled_variance(self, s: Sequence[float] | Array | float) -> Array:
        """Var x = 4 Var Jz/N^2 at the moments when the ramp passes s."""
        return self._at(self.second_moments, s) - self._at(self.first_moments, s) ** 2

    def mean(self, s: Sequence[float] | Array | float) -> Array:
        """<Jz> at the moments when the ramp passes s (Fig. 3b), for a finite N."""
        return 0.5 * self.atoms * self.scaled_mean(s)

    @property
    def crossing(self) -> float | None:
        """The s at which <Jz> = 0 for the first time, None where it stays on one side."""
        for index, moments in enumerate(self.first_moments):
            found = zero_of(moments)
            if found is not None:
                low, high = self.edges[index : index + 2]
                return float(low + found * (high - low))
        return None

    def _at(self, moments: Array, s: Sequence[float] | Array | float) -> Array:
        """Interpolate a moment at any s within."""
        wanted = np.asarray(s, dtype=np.float64)
        low, high = sorted((self.start, self.stop))
        slack = 1e-12 * max(1.0, abs(low), abs(high))
        if not np.all((wanted >= low - slack) & (wanted <= high + slack)):
            raise ValueError(f"Argument `s` must lie in [{low:g}, {high:g}], but is {s!r}.")
        ascending = math.copysign(1.0, self.stop - self.start)
        flat = np.atleast_1d(wanted).ravel()
        place = np.searchsorted(ascending * self.edges, ascending * flat, side="right") - 1
        place = np.clip(place, 0, len(moments) - 1)
        result = np.empty(flat.size)
        for index in np.unique(place):
            here = place == index
            first, last = self.edges[index : index + 2]
            result[here] = tableau().interpolate(
                moments[index], (flat[here] - first) / (last - first)
            )
        return result.reshape(wanted.shape)


def pump_sweep(
    atoms: float,
    start: float,
    stop: float,
    rate: float,
    *,
    decay: float = 1.0,
    initial: Array | None = None,
    tolerance: float = 1e-9,
) -> PumpSweep:
    """Ramp s linearly from start to stop (Fig. 3b) and keep <x> and <x^2> all along.

    Args:
        atoms: N, or math.inf.
        start: s at the beginning; at least -N/2.
        stop: s at the end; at least -N/2.
        rate: r = |ds/dt|, in the unit of `decay` (r/gamma = rate/decay).
        decay: gamma.
        initial: c_l at the beginning (`final_modes` of the sweep before); by default the
            steady state at `start`.
        tolerance: of the time elements; the default leaves crossings good to about 1e-11.

    Raises:
        ValueError: naming the argument that breaks these rules.
    """
    nu, speed = checked_rate(atoms, rate, decay)
    first, last = on_ladder(start, atoms, "start"), on_ladder(stop, atoms, "stop")
    if first == last:
        raise ValueError(f"Argument `stop` must differ from `start`, but both are {start!r}.")
    steps = list(march(nu, first, last, speed, initial, tolerance))
    b = couplings(nu, 3)
    times = np.array([step.start for step in steps] + [abs(last - first) / speed])
    edges = first + math.copysign(speed, last - first) * times
    edges[-1] = last
    return PumpSweep(
        atoms=atoms,
        start=first,
        stop=last,
        rate=float(rate),
        decay=float(decay),
        edges=edges,
        first_moments=np.stack([first_moment(b, step) for step in steps]),
        second_moments=np.stack([_second_moment(b, step) for step in steps]),
        final_modes=steps[-1].end[:, 0].copy(),
    )


def evolve_populations(
    parameters: PumpedEnsemble,
    start: Array,
    times: Sequence[float] | Array,
    *,
    tolerance: float = 1e-12,
) -> Array:
    """All p_m at the given times under constant w (Eq. B13), from any start.

    Args:
        parameters: the ensemble, N up to 2e5.
        start: (N+1,) populations at time 0, m = -N/2 … N/2 ascending.
        times: not negative, ascending, in the inverse unit of the rates.
        tolerance: of the time elements, root of the sum of squares over all p_m.

    Returns:
        (times, N+1) populations.
    """
    n = parameters.atoms + 1
    if n > _MOST_LEVELS:
        raise ValueError(
            f"Argument `parameters` must have at most {_MOST_LEVELS} atoms here, but has "
            f"{parameters.atoms!r}; use pump_sweep for larger ensembles."
        )
    state = np.asarray(start, dtype=np.float64)
    if state.shape != (n,) or not np.all(np.isfinite(state)) or abs(state.sum() - 1.0) > 1e-9:
        raise ValueError(
            f"Argument `start` must hold {n} populations that add to 1, but has shape "
            f"{state.shape} and adds to {state.sum()!r}."
        )
    stops = parameters.decay * np.asarray(times, dtype=np.float64)
    if stops.ndim != 1 or np.any(np.diff(stops) < 0.0) or np.any(stops < 0.0):
        raise ValueError(f"Argument `times` must ascend from 0 on, but is {times!r}.")
    ramp, s = population_ramp(parameters.atoms), parameters.scaled_pump
    first = 1.0 / float(np.abs(ramp.at(s)[1]).max())
    result, now = np.empty((stops.size, n)), 0.0
    for index, stop in enumerate(stops):
        if stop > now:
            for step in elements(ramp, state, s, 0.0, stop - now, tolerance=tolerance, first=first):
                state, first = step.end[:, 0], step.length
            now = float(stop)
        result[index] = state
    return result


def dicke_populations(atoms: int, m: float) -> Array:
    """(N+1,) populations of the state |m>, m = -N/2 … N/2 in whole steps."""
    number = whole(atoms, "atoms", least=1)
    index = finite(m, "m") + 0.5 * number
    if index != round(index) or not 0 <= index <= number:
        raise ValueError(
            f"Argument `m` must be one of -N/2 … N/2 in steps of 1 (N = {number}), but is {m!r}."
        )
    state = np.zeros(number + 1)
    state[round(index)] = 1.0
    return state


def checked_rate(atoms: float, rate: float, decay: float) -> tuple[float, float]:
    """1/N and r/gamma."""
    speed = positive(rate, "rate") / positive(decay, "decay")
    if atoms == math.inf:
        return 0.0, speed
    if not (math.isfinite(atoms) and atoms == round(atoms) and atoms >= 1):
        raise ValueError(
            "Argument `atoms` must be a whole number of at least 1, or math.inf for the limit "
            f"of large N, but is {atoms!r}."
        )
    return 1.0 / atoms, speed


def on_ladder(s: float, atoms: float, name: str) -> float:
    """s, unless w would be negative there."""
    value = finite(s, name)
    if 2.0 * value < -atoms:
        raise ValueError(
            f"Argument `{name}` must be no lower than -N/2 = {-0.5 * atoms:g} (w = 0), but "
            f"s = {value!r}."
        )
    return value


def march(
    nu: float,
    start: float,
    stop: float,
    speed: float,
    initial: Array | None,
    tolerance: float,
    reach: float = 0.0,
) -> Iterator[Element]:
    """The elements of one ramp, in units of gamma; modes enough for |s| up to `reach` as well."""
    atoms = math.inf if nu == 0.0 else round(1.0 / nu)
    last = modes_needed(atoms, max(abs(start), abs(stop), reach))
    if initial is None:
        state = stationary_modes(nu, start, last)
    else:
        given = np.asarray(initial, dtype=np.float64)
        if given.ndim != 1 or given.size == 0 or not np.all(np.isfinite(given)):
            raise ValueError("Argument `initial` must be a list of finite mode amplitudes.")
        last = int(min(atoms, max(last, given.size - 1)))
        state = np.zeros(last + 1)
        kept = min(given.size, last + 1)
        state[:kept] = given[:kept]
    rate = math.copysign(speed, stop - start)
    duration = abs(stop - start) / speed
    yield from elements(
        mode_ramp(nu, last),
        state,
        start,
        rate,
        duration,
        tolerance=positive(tolerance, "tolerance"),
        first=duration if abs(stop - start) <= 1.0 else None,
    )


def zero_of(moments: Array) -> float | None:
    """Fraction of an element at which its polynomial changes sign."""
    if moments[0] * moments[-1] > 0.0 or moments[0] == 0.0:
        return None
    rule = tableau()

    def at(fraction: float) -> float:
        return float(rule.interpolate(moments, np.array([fraction]))[0])

    return float(root_scalar(at, bracket=(0.0, 1.0), method="brentq", xtol=1e-15).root)


def first_moment(b: Array, step: Element) -> Array:
    """<x> at the nodes."""
    moment: Array = b[1] * step.values[1, :, 0]
    return moment


def _second_moment(b: Array, step: Element) -> Array:
    """<x^2> at the nodes."""
    moment = np.full(step.values.shape[1], b[1] ** 2)
    if step.values.shape[0] > 2:
        moment += b[1] * b[2] * step.values[2, :, 0]
    return moment


def centred_x(b: Array, values: Array) -> Array:
    """(x - <x>) p in the modes, at every node: (n, 9, 1) from (n, 9, 1)."""
    centred: Array = apply_x(b, values) - b[1] * values[1:2] * values
    return centred
