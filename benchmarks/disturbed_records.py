"""Records with something wrong: the kinds that every measurement can have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cavitylab.estimators import Estimate

SMALL = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
GAIN, BACKGROUND = 100.0, 50.0  # counts for each atom, and without any
PARTS = 10  # of a run, between which a state, a rate or a phase changes
CLIPS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
Array = np.ndarray
Records = dict[str, Array]
Draw = Callable[[float, np.random.Generator], Records]


@dataclass(frozen=True)
class Disturbance:
    """Records with something wrong of a given size, and the fit that believes `excess` in N."""

    estimator: str
    name: str
    sizes: tuple[float, ...]
    draw: Draw
    fit: Callable[[Records, float], Estimate]
    quantities: tuple[str, ...]
    atoms: bool = False  # the size is that of N's error


def ramp(size: float, shots: int) -> Array:
    """From -size/2 to size/2 along the run: its mean is what is estimated."""
    return size * (np.arange(shots) / (shots - 1.0) - 0.5)


def dead(counts: Array, size: float, full: float, rng: np.random.Generator) -> Array:
    """Counts left by a dead time that takes the share `size` of a full port."""
    return rng.binomial(np.asarray(counts, dtype=int), 1.0 / (1.0 + size * counts / full))


def family(
    label: str,
    clean: Callable[..., Records],
    fit: Callable[[Records, float], Estimate],
    quantities: tuple[str, ...],
    full: float,
    drift: str,
    excess: tuple[float, ...] = SMALL,
    clips: tuple[float, ...] = CLIPS,
    all_ports: bool = False,
) -> Iterator[Disturbance]:
    """The five disturbances; `clean(rng, fall=…, drift=…)` draws, port 0 (or all) saturates."""

    def lost(size: float, rng: np.random.Generator) -> Records:
        found = clean(rng)
        return {**found, "counts": dead(found["counts"], size, full, rng)}

    def clipped(size: float, rng: np.random.Generator) -> Records:
        found = clean(rng)
        counts = np.array(found["counts"])
        port = counts if counts.ndim == 1 or all_ports else counts[:, 0]
        port[:] = np.minimum(port, round((1.0 - size) * full))
        return {**found, "counts": counts}

    cases: list[tuple[str, tuple[float, ...], Draw]] = [
        ("gain falls within the run", SMALL, lambda s, rng: clean(rng, fall=s)),
        (drift, SMALL, lambda s, rng: clean(rng, drift=s)),
        ("dead time, of a full port", SMALL, lost),
        ("one detector saturates, below full", clips, clipped),
    ]
    for name, sizes, draw in cases:
        yield Disturbance(label, name, sizes, draw, fit, quantities)
    yield Disturbance(
        label, "believed N too large", excess, lambda _, rng: clean(rng), fit, quantities, True
    )


def fitted(estimator: Any, records: Records) -> Estimate:
    """The answer to these records."""
    estimator.update(records)
    found: Estimate = estimator.estimate()
    return found


def read_out(atoms: Array, fall: float, rng: np.random.Generator) -> Array:
    """Counts of atom numbers (shots, detectors), with a gain that falls within the run."""
    return rng.poisson(GAIN * (1.0 + ramp(-fall, len(atoms)))[:, None] * atoms + BACKGROUND)
