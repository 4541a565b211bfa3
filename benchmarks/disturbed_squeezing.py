"""Two-mode squeezing, the certificate, string order and drift of disturbed runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from disturbed_records import (
    BACKGROUND,
    GAIN,
    PARTS,
    SMALL,
    Array,
    Disturbance,
    Records,
    family,
    fitted,
    ramp,
)

from cavitylab.estimators import (
    Estimate,
    SqueezingBeliefs,
    SqueezingCertificate,
    StringOrder,
    TwoModeSqueezing,
)
from cavitylab.models.chain import Chain
from cavitylab.models.chain_sampling import sample_chain


def _atoms(spin: float, sums: Array, differences: Array) -> Array:
    """(shots, 2) atoms up, m1 + m2 and m1 - m2 given."""
    m = 0.5 * np.column_stack([sums + differences, sums - differences])
    return np.clip(spin + m, 0.0, 2.0 * spin)


def _turns(records: list[tuple[int, Array]], rng: np.random.Generator, fall: float) -> Records:
    """Counts of settings in turn, whose gain falls along the run."""
    atoms = np.concatenate([one for _, one in records])
    gains = np.concatenate([1.0 + ramp(-fall, len(one)) for _, one in records])
    counts = rng.poisson(GAIN * gains[:, None] * atoms + BACKGROUND)
    setting = np.concatenate([np.full(len(one), number) for number, one in records])
    return {"counts": counts, "setting": setting}


def two_modes() -> Iterator[Disturbance]:
    """S = 50, L = 90, both quadratures at xi^2 = .2, 200 shots each, 100 of L, in turn."""
    spin, length, shots = 50.0, 90.0, 200
    quiet, loud = math.sqrt(0.2 * length**2 / (4.0 * spin)), 8.0

    def clean(
        rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0, short: float = 0.0
    ) -> Records:
        moved = 20.0 * ramp(drift, shots)
        noise = rng.standard_normal((4, shots)) * np.array([[quiet], [loud], [loud], [quiet]])
        sums = np.full(100, (1.0 - short) * length)
        return _turns(
            [
                (0, _atoms(spin, noise[0] + moved, noise[1])),
                (3, _atoms(spin, noise[2], noise[3] + moved)),
                (1, _atoms(spin, sums + rng.standard_normal(100), np.zeros(100))),
            ],
            rng,
            fall,
        )

    def fit(records: Records, excess: float) -> Estimate:
        beliefs = SqueezingBeliefs(spin * (1.0 + excess), 2, GAIN, BACKGROUND)
        return fitted(TwoModeSqueezing(beliefs), records)

    full, names = 2.0 * spin * GAIN + BACKGROUND, ("xi2_a", "xi2_b")
    label, drift = "squeezing, two modes", "mean drifts within the run, of 20 atoms"
    yield from family(label, clean, fit, names, full, drift)
    short, draw = "contrast lower where L is read", lambda s, rng: clean(rng, short=s)
    yield Disturbance(label, short, SMALL, draw, fit, names)


def certificate() -> Iterator[Disturbance]:
    """S = 5, L = 9, xi^2 = .2, 2400 shots and 2400 of L: bias in units of limit less value."""
    spin, length, shots = 5.0, 9.0, 2400
    quiet = math.sqrt(0.2 * length**2 / (4.0 * spin))

    def clean(
        rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0, short: float = 0.0
    ) -> Records:
        noise = quiet * rng.standard_normal(shots) + 2.0 * ramp(drift, shots)
        lengths = np.full(shots, (1.0 - short) * length)
        return _turns(
            [
                (0, _atoms(spin, noise, np.zeros(shots))),
                (1, _atoms(spin, np.zeros(shots), lengths)),
            ],
            rng,
            fall,
        )

    def fit(records: Records, excess: float) -> Estimate:
        beliefs = SqueezingBeliefs(spin * (1.0 + excess), 2, GAIN, BACKGROUND)
        return fitted(SqueezingCertificate(beliefs), records)

    full, label = 2.0 * spin * GAIN + BACKGROUND, "certificate"
    yield from family(label, clean, fit, ("xi2",), full, "mean drifts within the run, of 2 atoms")
    short, draw = "contrast lower where L is read", lambda s, rng: clean(rng, short=s)
    yield Disturbance(label, short, SMALL, draw, fit, ("xi2",))


def strings() -> Iterator[Disturbance]:
    """Twelve ensembles of one atom, distance 2, 300 shots: readout errors, drift, a dead site."""
    chain = Chain(0.5, 0.0, math.sqrt(2.0), 1.0)

    def clean(
        rng: np.random.Generator,
        drift: float = 0.0,
        wrong: float = 0.0,
        growing: float = 0.0,
        lost: float = 0.0,
    ) -> Records:
        parts = [
            sample_chain(
                replace(chain, bulk_detuning=chain.bulk_detuning * (1.0 + d)), 12, 300 // PARTS, rng
            )
            for d in ramp(drift, PARTS)
        ]
        counts = np.concatenate(parts)
        share = np.clip(wrong + growing * np.arange(300) / 299.0, 0.0, 1.0)
        counts = np.where(rng.random(counts.shape) < share[:, None], 1 - counts, counts)
        gone = rng.random(300) < lost
        counts[gone, 5] = 0
        return {"counts": counts}

    def fit(records: Records, _: float) -> Estimate:
        return fitted(StringOrder(0.5, 12, 2, np.random.default_rng(2)), records)

    for name, draw in (
        ("readout errors grow from none", lambda s, rng: clean(rng, growing=s)),
        ("readout errors, the same throughout", lambda s, rng: clean(rng, wrong=s)),
        ("one site reads none in a share of shots", lambda s, rng: clean(rng, lost=s)),
        ("detuning drifts within the run", lambda s, rng: clean(rng, drift=s)),
    ):
        yield Disturbance("string order", name, SMALL, draw, fit, ("string_order",))


def disturbances() -> Iterator[Disturbance]:
    """Of variances and correlators, which know no law of the counts."""
    for one in (two_modes, certificate, strings):
        yield from one()
