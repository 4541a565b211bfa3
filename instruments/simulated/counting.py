"""From the atoms in the counted state to the counts of a gate: light, losses, detector.

Without dead time counts are Poissonian. A detector that is blind for `dead_time` behind each count
(and not longer when photons arrive meanwhile) gives a renewal process: its number of counts is
drawn from the exact law. Efficiency and background may drift and differ from shot to shot, and
atoms may decay one by one before they are counted. What is off costs nothing and draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, gammainc

from .draws import Drift, poisson_from, shot_uniforms
from .lines import ApparatusFault
from .shot_noise import ShotNoise
from .truth import DriftEntry, LightNoiseEntry

MOST_DECAY = 0.1
"""Largest gate * decay rate: an atom that decays within a gate is counted for its mean time."""


class Opening(Protocol):
    """One opening of the counter's gate."""

    @property
    def start(self) -> float:
        """Seconds after T0."""
        ...

    @property
    def stop(self) -> float:
        """Seconds after T0."""
        ...

    @property
    def lit(self) -> tuple[float, ...]:
        """Seconds for which each ensemble was lit meanwhile."""
        ...


class CountingTruth(Protocol):
    """What a laboratory's truth says of its detector."""

    @property
    def rate_per_atom(self) -> float:
        """Counts per second of an atom."""
        ...

    @property
    def background_rate(self) -> float:
        """Counts per second of no atom."""
        ...

    @property
    def dead_time(self) -> float:
        """Seconds."""
        ...

    @property
    def atom_decay(self) -> float:
        """1/s."""
        ...


class Counting:
    """The detector of one laboratory.

    Args:
        truth: What it truly is.
        seed: Keys photons, losses and noise.
        noise: Of every shot.
        detection, background: Drifts.
        step: Seconds for which drifts stay constant.
    """

    def __init__(
        self,
        truth: CountingTruth,
        seed: int,
        noise: ShotNoise | None = None,
        detection: DriftEntry | None = None,
        background: DriftEntry | None = None,
        step: float = 1.0,
    ) -> None:
        self._truth = truth
        self._seed = seed
        self._noise = noise or ShotNoise(LightNoiseEntry(), seed)
        self._step = step
        self._drifts = {
            name: Drift(entry.rms, entry.correlation_time, step, seed, f"drift.{name}")
            for name, entry in (("detection", detection), ("background", background))
            if entry is not None and entry.rms > 0.0
        }

        noisy = ("detection", "background", "laser_frequency")
        self._varies = bool(self._drifts) or any(map(self._noise.is_on, noisy))

    def approximations(self) -> Iterator[str]:
        """What is left out, or how it is meant."""
        if self._truth.dead_time > 0.0:
            yield (
                f"the detector misses what comes within {self._truth.dead_time:g} s of a count; "
                "light and background are constant within a gate"
            )
        else:
            yield "photon counts are Poissonian without dead time"
        if self._truth.atom_decay > 0.0:
            yield (
                f"single atoms leave the counted state at {self._truth.atom_decay:g} per second "
                "from the last light of the drive on; while they were prepared they did not"
            )
        else:
            yield "no decay of single atoms"

    def gains(self, shots: range, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factor on the counts of an atom in each shot, (shots,)."""
        factor = self._factors("detection", shots, times)
        off = self._noise.normal("laser_frequency", shots)
        return factor if off is None else factor / (1.0 + off**2)

    def backgrounds(self, shots: range, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factor on the background in each shot, (shots,)."""
        return self._factors("background", shots, times)

    def mean_factors(self, shots: range, times: NDArray[np.float64]) -> tuple[float, float]:
        """Mean factors on gain and background of these shots; 1.0 exactly where nothing varies."""
        if not self._varies or not len(shots):
            return 1.0, 1.0
        gains, backgrounds = self.gains(shots, times), self.backgrounds(shots, times)
        return float(gains.mean()), float(backgrounds.mean())

    def _factors(self, name: str, shots: range, times: NDArray[np.float64]) -> NDArray[np.float64]:
        factors = np.ones(len(shots))
        drift = self._drifts.get(name)
        if drift is not None:
            steps = np.floor_divide(times, self._step).astype(np.int64)
            for number in np.unique(steps).tolist():
                factors[steps == number] += drift.at_step(number)
        deviations = self._noise.normal(name, shots)
        if deviations is not None:
            factors *= 1.0 + deviations
        return np.maximum(factors, 0.0)

    def counts(
        self,
        atoms: NDArray[np.int64],
        gates: Sequence[Opening],
        shots: range,
        times: NDArray[np.float64],
        since: float = 0.0,
    ) -> NDArray[np.int64]:
        """Counts, shape (shots, gates).

        Args:
            atoms: In the counted state at `since`, (shots, ensembles).
            gates: Openings of the counter's gate, in the order of time.
            shots: Consecutive numbers.
            times: Seconds on the clock at each T0.
            since: From when on single atoms decay, seconds after T0.

        Raises:
            ApparatusFault: If so many atoms decay within a gate that it cannot be answered for.
        """
        signal = np.empty((len(shots), len(gates)))
        for column, gate in enumerate(gates):
            atoms, share = self._left(atoms, gate, since, shots)
            exposure = self._truth.rate_per_atom * np.asarray(gate.lit)
            signal[:, column] = atoms @ (exposure * share)
            since = max(since, gate.start)
        lengths = [gate.stop - gate.start for gate in gates]
        return self.drawn(signal, lengths, shots, times)

    def drawn(
        self,
        signal: NDArray[np.float64],
        lengths: Sequence[float],
        shots: range,
        times: NDArray[np.float64],
    ) -> NDArray[np.int64]:
        """Counts, shape (shots, gates), where the atoms alone would give `signal` in the mean.

        Args:
            signal: Mean counts of the atoms without noise, (shots, gates).
            lengths: Of the gates, s.
            shots, times: As for `counts`.
        """
        truth = self._truth
        dark = truth.background_rate * np.asarray(lengths)
        if self._varies:
            gains, backgrounds = self.gains(shots, times), self.backgrounds(shots, times)
            means = gains[:, None] * signal + backgrounds[:, None] * dark
        else:
            means = signal + dark
        uniforms = np.empty(signal.shape)
        for column in range(len(lengths)):
            uniforms[:, column] = shot_uniforms(self._seed, f"photons.{column}", shots)
        if truth.dead_time == 0.0:
            return poisson_from(uniforms, means)
        return renewals_from(uniforms, means, np.asarray(lengths), truth.dead_time)

    def _left(
        self, atoms: NDArray[np.int64], gate: Opening, since: float, shots: range
    ) -> tuple[NDArray[np.int64], float]:
        """Atoms still there when the gate opens, and the mean share of it that they last."""
        decay = self._truth.atom_decay
        if decay == 0.0:
            return atoms, 1.0
        length = gate.stop - gate.start
        if decay * length > MOST_DECAY:
            raise ApparatusFault(
                f"single atoms decay at {decay:g} per second, of which the counter's gate of "
                f"{length * 1e3:.6g} ms sees too much (gate * rate = {decay * length:.3g}, and up "
                f"to {MOST_DECAY:g} can be answered for): shorten the gate"
            )
        stays = float(np.exp(-decay * max(gate.start - since, 0.0)))
        left = np.empty_like(atoms)
        for ensemble in range(atoms.shape[1]):
            stream = f"atom_decay.{ensemble}.{gate.start:.9f}"
            uniforms = shot_uniforms(self._seed, stream, shots)
            left[:, ensemble] = binomial_from(uniforms, atoms[:, ensemble], stays)
        return left, float(-np.expm1(-decay * length) / (decay * length))


def binomial_from(
    uniforms: NDArray[np.float64], numbers: NDArray[np.int64], probability: float
) -> NDArray[np.int64]:
    """Binomial samples by inversion, of `numbers` each."""

    def reached(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(bdtr(counts, numbers, probability) >= uniforms)

    return _least(reached, numbers.copy())


def renewals_from(
    uniforms: NDArray[np.float64],
    means: NDArray[np.float64],
    lengths: NDArray[np.float64],
    dead_time: float,
) -> NDArray[np.int64]:
    """Counts of a detector that is blind for `dead_time` behind each, by inversion.

    P(k or more) = P(a sum of k exponential waits <= length - (k - 1) dead_time), which without
    dead time is Poissonian.

    Args:
        uniforms: One number each, (shots, gates).
        means: Photons that arrive, in the mean, (shots, gates).
        lengths: Of the gates, (gates,).
        dead_time: Seconds.
    """
    rates = means / lengths

    def reached(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        left = np.maximum(lengths - counts * dead_time, 0.0)
        more = np.where(left > 0.0, gammainc(counts + 1.0, rates * left), 0.0)
        return np.asarray(1.0 - more >= uniforms)

    most = np.ceil(lengths / dead_time).astype(np.int64) + 1
    fewest = np.minimum(poisson_from(np.full_like(means, 1.0 - 1e-15), means), most)
    return _least(reached, fewest)


def _least(reached: _Reached, highest: NDArray[np.int64]) -> NDArray[np.int64]:
    """The least k from 0 to `highest` for which `reached(k)`, by bisection."""
    low, high = np.zeros_like(highest), highest
    while np.any(low < high):
        middle = (low + high) // 2
        there = reached(middle)
        high = np.where(there, middle, high)
        low = np.where(there, low, np.minimum(middle + 1, high))
    return high


class _Reached(Protocol):
    def __call__(self, counts: NDArray[np.int64], /) -> NDArray[np.bool_]: ...
