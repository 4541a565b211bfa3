"""Random numbers and drifts that do not depend on who asks, when, or in which portions.

Everything is keyed: by the laboratory's seed, by the name of its purpose, and by the number
of the shot or by the time. The thousandth shot is the same whether it is asked for alone or
in a block of a thousand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtrik

_COSINES = 16
_CHUNK, _SHORT = 1024, 64
_PER_COUNTER = 4  # 64-bit words that Philox makes of one value of its counter


def _seed_sequence(seed: int, stream: str) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=tuple(stream.encode()))


@lru_cache(maxsize=256)
def _philox_key(seed: int, stream: str) -> NDArray[np.uint64]:
    return np.asarray(_seed_sequence(seed, stream).generate_state(2, np.uint64), dtype=np.uint64)


def keyed_generator(seed: int, stream: str) -> np.random.Generator:
    """The random numbers of one purpose: equal (seed, stream) give equal numbers, always."""
    return np.random.default_rng(_seed_sequence(seed, stream))


def shot_uniforms(seed: int, stream: str, shots: range) -> NDArray[np.float64]:
    """One number in (0, 1) for each of the consecutive `shots`, keyed by the shot's number.

    A counter-based generator is set to the first shot, so a million shots cost one call. Single
    shots are cut from a chunk that is kept for the next ones.
    """
    chunk, place = divmod(shots.start, _CHUNK)
    if 0 < len(shots) <= _CHUNK - place and len(shots) <= _SHORT:
        return _kept_chunk(seed, stream, chunk)[place : place + len(shots)].copy()
    return _drawn(seed, stream, shots)


@lru_cache(maxsize=64)
def _kept_chunk(seed: int, stream: str, chunk: int) -> NDArray[np.float64]:
    return _drawn(seed, stream, range(chunk * _CHUNK, (chunk + 1) * _CHUNK))


def _drawn(seed: int, stream: str, shots: range) -> NDArray[np.float64]:
    counter, offset = divmod(shots.start, _PER_COUNTER)
    bits = np.random.Philox(key=_philox_key(seed, stream), counter=counter)
    words = bits.random_raw(offset + len(shots))
    uniforms: NDArray[np.float64] = (np.right_shift(words[offset:], 11) + 0.5) * 2.0**-53
    return uniforms


def poisson_from(uniforms: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.int64]:
    """Poisson samples by inversion: each shot's number decides its count, whatever its block."""
    positive = means > 0.0
    counts = np.zeros(means.shape, dtype=np.int64)
    guess = np.ceil(pdtrik(uniforms[positive], means[positive]))
    guess[~(guess > 0.0)] = 0.0  # also where there is no solution, which is nan
    counts[positive] = guess.astype(np.int64)
    return counts


def one_time_each(shots: range, times: NDArray[np.float64]) -> None:
    """Refuse shots of an apparatus that are not consecutive, or times that do not match them.

    Raises:
        ValueError: They are not.
    """
    if shots.step != 1 or len(times) != len(shots):
        raise ValueError(
            f"shots must be consecutive with one time each, but are {shots!r} with "
            f"{len(times)} times"
        )


def steady_steps(times: NDArray[np.float64], step: float) -> Iterator[tuple[slice, int]]:
    """Slices of ascending times within one step of the drifts, with the step's number."""
    start = 0
    numbers = np.floor_divide(times, step).astype(np.int64).tolist()
    for number, members in groupby(numbers):
        stop = start + sum(1 for _ in members)
        yield slice(start, stop), number
        start = stop


class Drift:
    """A relative change that wanders with the time of the laboratory's clock.

    A sum of cosines of random frequency and phase: smooth, of zero mean over many seeds, and
    computable for any time without the times before it.

    Args:
        rms: Root mean square; 0 gives 0 always.
        correlation_time: Seconds; the correlation is exp(-t^2 / 2 correlation_time^2).
            0: independent from step to step.
        step: Seconds for which the value stays constant.
        seed, stream: Key of its random numbers.
    """

    def __init__(
        self, rms: float, correlation_time: float, step: float, seed: int, stream: str
    ) -> None:
        self._rms = rms
        self._step = step
        self._seed = seed
        self._stream = stream
        rng = keyed_generator(seed, stream)
        self._rates = rng.standard_normal(_COSINES) / correlation_time if correlation_time else None
        self._phases = rng.uniform(0.0, 2.0 * math.pi, _COSINES)

    def at_step(self, number: int) -> float:
        """Value in the step that begins at `number` times the step's length."""
        if self._rms == 0.0:
            return 0.0
        if self._rates is None:
            rng = keyed_generator(self._seed, f"{self._stream}.{number}")
            return self._rms * float(rng.standard_normal())
        waves = np.cos(self._rates * number * self._step + self._phases)
        return self._rms * math.sqrt(2.0 / _COSINES) * float(waves.sum())
