"""The light that leaves the cavity while two small ensembles relax, and what a counter makes of it.

Each shot is one quantum trajectory: photons leave one by one, bunched as the master equation
says, and the atoms that are counted afterwards are those that emitted them. Its random numbers
are keyed by the shot, so that the same shot has the same photons in whatever block it is asked
for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...models.photon_records import PhotonRecords
from ...models.two_ensembles import TwoEnsembles
from .counting import binomial_from
from .draws import poisson_from, shot_uniforms
from .lines import ApparatusFault
from .relaxing_state import Step, unitary
from .relaxing_truth import OutputTruth

MOST_DEAD = 0.1
"""Largest part of a gate for which the counter may be blind: beyond, counts blind each other."""

_CACHED = 64


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


Course = tuple[int, tuple[Step, ...], float, tuple[tuple[float, float], ...]]
"""Atoms in each ensemble, what acts on them, from when on, and the gates."""


class OutputLight:
    """Photons of the cavity and the atoms that emitted them.

    Args:
        truth: The counter's.
        seed: Keys everything that is drawn.
    """

    def __init__(self, truth: OutputTruth, seed: int) -> None:
        self._truth = truth
        self._seed = seed
        self._courses: OrderedDict[Course, _Emission] = OrderedDict()

    def draw(
        self,
        number: int,
        steps: tuple[Step, ...],
        begin: float,
        gates: Sequence[Opening],
        shots: range,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Atoms in the counted state, (shots, 2), and photons in each gate, (shots, gates).

        Args:
            number: Atoms in each ensemble.
            steps: What acts on them, from all atoms down.
            begin: When the first step begins, seconds after T0.
            gates: Openings of the counter's gate while they act.
            shots: Consecutive numbers.

        Raises:
            ApparatusFault: If light of the cavity acts on atoms that are no longer all down.
        """
        spans = tuple((gate.start, gate.stop) for gate in gates)
        course = number, steps, begin, spans
        if course not in self._courses:
            self._courses[course] = _Emission(*course)
            if len(self._courses) > _CACHED:
                self._courses.popitem(last=False)
        self._courses.move_to_end(course)
        seeds = shot_uniforms(self._seed, "trajectory", shots) * 2.0**53
        amplitudes, photons = self._courses[course].follow(seeds.astype(np.int64))
        ladders = np.cumsum(np.abs(amplitudes) ** 2, axis=1)
        draws = shot_uniforms(self._seed, "projection", shots) * ladders[:, -1]
        cells = np.minimum((ladders <= draws[:, None]).sum(axis=1), ladders.shape[1] - 1)
        return np.stack(np.divmod(cells, number + 1), axis=1).astype(np.int64), photons

    def counts(
        self, photons: NDArray[np.int64], gates: Sequence[Opening], shots: range
    ) -> NDArray[np.int64]:
        """Counts of the photons and of the background, (shots, gates).

        Raises:
            ApparatusFault: If there are so many that the counter is blind for most of the gate.
        """
        truth = self._truth
        found = np.empty_like(photons)
        for column, gate in enumerate(gates):
            length = gate.stop - gate.start
            seen, dark, kept = (
                shot_uniforms(self._seed, f"output.{what}.{column}", shots)
                for what in ("seen", "dark", "kept")
            )
            counted = binomial_from(seen, photons[:, column], truth.efficiency)
            means = np.full((len(shots), 1), truth.background_rate * length)
            counted = counted + poisson_from(dark[:, None], means)[:, 0]
            if truth.dead_time > 0.0:
                counted = _with_dead_time(kept, counted, truth.dead_time / length)
            found[:, column] = counted
        return found


class _Emission:
    """Runs of one course of a shot: one stretch of decay from all atoms down, then turns."""

    def __init__(
        self,
        number: int,
        steps: tuple[Step, ...],
        begin: float,
        gates: tuple[tuple[float, float], ...],
    ) -> None:
        self._size = (number + 1) ** 2
        driven = next((k for k, step in enumerate(steps) if step.rabi), len(steps))
        begin += sum(step.duration for step in steps[:driven])  # all down until then: dark
        left = steps[driven:]
        first, rest = (left[0], left[1:]) if left else (None, ())
        if any(step.decay for step in rest):
            raise ApparatusFault(
                "the light of the cavity acts in several stretches of different strength, and "
                "where its output is counted only one, from all atoms down, can be answered for: "
                "let drive and coupling begin and end together, or take cavity_output out of the "
                "laboratory file"
            )
        decaying = first is not None and first.decay > 0.0
        self._turn = unitary(number / 2.0, rest if decaying else left)
        self._records: PhotonRecords | None = None
        self._spans = [(0, 0)] * len(gates)
        if not decaying or first is None:
            return
        if first.phase:
            m = np.add.outer(np.arange(number + 1.0), np.arange(number + 1.0)).ravel()
            self._turn = self._turn * np.exp(-1j * first.phase * m)
        ends = [min(max(time - begin, 0.0), first.duration) for gate in gates for time in gate]
        times = np.unique([*ends, first.duration])
        places = np.searchsorted(times, ends)
        self._spans = list(zip(places[::2].tolist(), places[1::2].tolist(), strict=True))
        pair = TwoEnsembles(number / 2.0, first.rabi, first.detuning, first.exchange, first.decay)
        self._records = PhotonRecords(pair, times)

    def follow(self, seeds: NDArray[np.int64]) -> tuple[NDArray[np.complex128], NDArray[np.int64]]:
        """Amplitudes (runs, states) when nothing acts any more, and photons (runs, gates)."""
        photons = np.zeros((seeds.size, len(self._spans)), dtype=np.int64)
        if self._records is None:
            return np.repeat(self._turn[:, :1].T, seeds.size, axis=0), photons
        amplitudes, until = self._records.follow(seeds)
        for column, (start, stop) in enumerate(self._spans):
            photons[:, column] = until[:, stop] - until[:, start]
        return amplitudes @ self._turn.T, photons


def _with_dead_time(
    uniforms: NDArray[np.float64], counts: NDArray[np.int64], blind: float
) -> NDArray[np.int64]:
    """Counts that are left when each blinds the counter for the part `blind` of its gate."""
    if blind * float(counts.max(initial=0)) > MOST_DEAD:
        raise ApparatusFault(
            f"the counter of the cavity's output would be blind for more than {MOST_DEAD:.0%} of "
            "its gate: lengthen the gate, or lower its dead time or efficiency in the laboratory "
            "file"
        )
    kept = np.empty_like(counts)
    for number in np.unique(counts):
        mine = counts == number
        share = 1.0 / (1.0 + blind * max(int(number) - 1, 0))
        kept[mine] = binomial_from(uniforms[mine], counts[mine], share)
    return kept
