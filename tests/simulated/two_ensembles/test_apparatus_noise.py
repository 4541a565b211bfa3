"""Noise, drifts and losses that a laboratory file may switch on; off, nothing changes at all.

Statistical limits: 4.6 standard errors, a false alarm of 4e-6 each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erfc
from scipy.stats import chisquare, norm

from cavitylab.instruments.simulated.counting import Counting, binomial_from, renewals_from
from cavitylab.instruments.simulated.draws import Drift
from cavitylab.instruments.simulated.lines import ApparatusFault
from cavitylab.instruments.simulated.shot_noise import NODES, ShotNoise
from cavitylab.instruments.simulated.truth import DriftEntry, DriftsEntry, ShotNoiseEntry
from cavitylab.models.pulses import detuned_pulse

SHOTS = 40_000
LIMIT = 4.6
GOLDEN = [[8857, 2390], [144, 9182], [1172, 9636], [5945, 5460]]


@dataclass(frozen=True)
class Gate:
    """5 ms from `start` on, both ensembles lit unless told otherwise."""

    start: float = 13e-3
    lit: tuple[float, ...] = (5e-3, 5e-3)

    @property
    def stop(self) -> float:
        return self.start + 5e-3


def times(shots: int = SHOTS, period: float = 50e-3) -> NDArray[np.float64]:
    return period * np.arange(shots)


def check_mean(values: NDArray[Any], expected: float) -> None:
    assert abs(values.mean() - expected) < LIMIT * values.std() / math.sqrt(values.size)


def check_variance(values: NDArray[Any], expected: float) -> None:
    """The sample's variance, with the standard error that its own fourth moment gives."""
    squares = (values - values.mean()) ** 2
    assert abs(squares.mean() - expected) < LIMIT * squares.std() / math.sqrt(values.size)


class TestOff:
    """Defaults are the apparatus of before, bit for bit."""

    def test_counts_of_before(self, bench: Any) -> None:
        """The first shots of the demo's truth, as they were before there was any noise."""
        counts, _ = bench.take(bench.wires(), shots=4)
        assert counts.tolist() == GOLDEN

    def test_zeros_are_nothing(self, bench: Any) -> None:
        """A section full of zeros draws no number."""
        wires, shots = bench.wires(), range(50)
        zeros = DriftsEntry.model_validate(
            {
                "detection": {"rms": 0.0},
                "background": {"rms": 0.0},
                "shot_to_shot": dict.fromkeys(ShotNoiseEntry.model_fields, 0.0),
            }
        )
        plain = bench.apparatus().counts(wires.timeline, shots, times(50))
        assert np.array_equal(
            plain, bench.apparatus(drifts=zeros).counts(wires.timeline, shots, times(50))
        )

    @pytest.mark.parametrize(
        "wrong", [{"laser_power": -0.1}, {"atom_number": 0.5}, {"laser_powr": 0.1}]
    )
    def test_what_is_no_noise_is_refused(self, wrong: dict[str, float]) -> None:
        """Negative, absurdly large, or unknown."""
        with pytest.raises(ValueError):
            DriftsEntry.model_validate({"shot_to_shot": wrong})


class TestDetector:
    """Dead time, efficiency, background."""

    def test_dead_time_is_a_renewal_process(self) -> None:
        """The law of the counts is that of waiting times drawn one by one (chi square, 1e-5)."""
        mean, length, dead, shots = 12.0, 1e-3, 40e-6, 20_000
        rng = np.random.default_rng(5)
        waits = rng.exponential(length / mean, (shots, 60))
        waits[:, 1:] += dead
        brute = np.sum(np.cumsum(waits, axis=1) <= length, axis=1)
        ours = renewals_from(
            rng.random((shots, 1)), np.full((shots, 1), mean), np.array([length]), dead
        )[:, 0]
        seen = np.stack([np.bincount(one, minlength=30) for one in (brute, ours)])
        kept = seen.sum(axis=0) > 40
        both = np.column_stack([seen[:, kept], seen[:, ~kept].sum(axis=1)])
        expected = both.sum(axis=0) / 2.0
        statistic = float(np.sum((both - expected) ** 2 / expected))
        assert statistic < 2.0 * kept.sum() + 40.0

    def test_dead_time_squeezes_counts(self, bench: Any) -> None:
        """Mean m/(1 + m d/T), variance m/(1 + m d/T)^3, up to 1/m (Mueller 1973)."""
        truth = replace(bench.truth, background_rate=400e3, dead_time=0.5e-6)
        detector = Counting(truth, 3)
        none = np.zeros((SHOTS, 2), dtype=np.int64)
        counts = detector.counts(none, [Gate()], range(SHOTS), times())[:, 0]
        factor = 1.0 + 400e3 * 0.5e-6
        assert counts.mean() == pytest.approx(2000.0 / factor, rel=1e-3)
        assert counts.var() == pytest.approx(2000.0 / factor**3, rel=0.04)
        assert any("5e-07 s of a count" in line for line in detector.approximations())

    def test_a_short_dead_time_is_none(self) -> None:
        """Towards 0 the samples become those of the Poisson law."""
        uniforms = np.random.default_rng(1).random((2000, 1))
        means = np.full((2000, 1), 80.0)
        blind = renewals_from(uniforms, means, np.array([5e-3]), 1e-15)
        check_mean(blind, 80.0)
        check_variance(blind, 80.0)

    @pytest.mark.parametrize("name", ["detection", "background"])
    def test_noise_adds_its_share_of_variance(self, bench: Any, name: str) -> None:
        """Var = m + (rms m)^2, shared by all gates of a shot."""
        rms, mean = 0.05, 2000.0
        truth = replace(bench.truth, rate_per_atom=4e3, background_rate=0.0)
        if name == "background":
            truth = replace(bench.truth, rate_per_atom=0.0, background_rate=400e3)
        noise = ShotNoise(ShotNoiseEntry.model_validate({name: rms}), 11)
        atoms = np.full((SHOTS, 2), 50, dtype=np.int64)
        gates = [Gate(), Gate(20e-3)]
        counts = Counting(truth, 11, noise).counts(atoms, gates, range(SHOTS), times())
        check_mean(counts[:, 0], mean)
        check_variance(counts[:, 0], mean + (rms * mean) ** 2)
        check_variance(counts[:, 0] - counts[:, 1], 2.0 * mean)

    def test_frequency_noise_loses_photons(self, bench: Any) -> None:
        """The mean of 1/(1 + x^2) over a normal x of rms s: sqrt(pi/2) exp(1/2s^2) erfc(..)/s."""
        s = 0.4
        noise = ShotNoise(ShotNoiseEntry(laser_frequency=s), 2)
        gains = Counting(bench.truth, 2, noise).gains(range(SHOTS), times())
        kept = math.sqrt(math.pi / 2) / s * math.exp(0.5 / s**2) * erfc(1 / (s * math.sqrt(2)))
        check_mean(gains, kept)
        assert gains.max() <= 1.0

    def test_drifts_have_their_spectrum(self, bench: Any) -> None:
        """Variance rms^2 and correlation exp(-t^2 / 2 tau^2), 2000 seeds; steps stand still."""
        drift = DriftEntry(rms=0.02, correlation_time=30.0)
        at = np.array([0.0, 0.9, 10.0, 30.0, 60.0])
        rows = np.array(
            [
                Counting(bench.truth, seed, None, drift, None, 1.0).gains(range(5), at)
                for seed in range(2000)
            ]
        )
        assert np.array_equal(rows[:, 0], rows[:, 1])
        deviations = rows - 1.0
        check_variance(deviations[:, 0], 0.02**2)
        for column, lag in ((2, 10.0), (3, 30.0), (4, 60.0)):
            expected = 0.02**2 * math.exp(-0.5 * (lag / 30.0) ** 2)
            check_mean(deviations[:, 0] * deviations[:, column], expected)
        wanted = Drift(0.02, 30.0, 1.0, 0, "drift.detection").at_step(10)
        assert deviations[0, 2] == pytest.approx(wanted)

    def test_the_revealed_gain_follows(self, bench: Any) -> None:
        """What is revealed is what the shots had in the mean."""
        drifts = DriftsEntry(detection=DriftEntry(rms=0.05, correlation_time=1e4), step=10.0)
        cavity = bench.apparatus(seed=4, drifts=drifts)
        shots = range(100)
        cavity.counts(bench.wires().timeline, shots, times(100))
        factor = cavity._counting.gains(shots, times(100)).mean()
        assert factor != 1.0
        assert cavity.reveal()["gain"] == pytest.approx(20e3 * 5e-3 * factor)


class TestDecay:
    """Atoms that leave the counted state one by one."""

    def test_the_second_gate_sees_fewer(self, bench: Any) -> None:
        """Binomial thinning by exp(-rate t) until each gate opens, then the mean over the gate."""
        truth = replace(bench.truth, atom_decay=15.0, rate_per_atom=4e4, background_rate=0.0)
        shots = 10_000
        atoms = np.full((shots, 1), 60, dtype=np.int64)
        gates = [Gate(lit=(5e-3,)), Gate(23e-3, (5e-3,))]
        counts = Counting(truth, 6).counts(atoms, gates, range(shots), times(shots), since=12e-3)
        gain = 4e4 * -math.expm1(-15.0 * 5e-3) / 15.0
        for column, waited in ((0, 1e-3), (1, 11e-3)):
            stays = math.exp(-15.0 * waited)
            check_mean(counts[:, column] / gain, 60 * stays)
            spread = 60 * stays * (1 - stays) + 60 * stays / gain
            check_variance(counts[:, column] / gain, spread)

    def test_samples_are_binomial(self) -> None:
        """Inversion gives the law itself (chi square, 1e-5)."""
        uniforms = np.random.default_rng(8).random(SHOTS)
        drawn = binomial_from(uniforms, np.full(SHOTS, 4), 0.3)
        law = [math.comb(4, k) * 0.3**k * 0.7 ** (4 - k) for k in range(5)]
        assert chisquare(np.bincount(drawn, minlength=5), SHOTS * np.array(law)).pvalue > 1e-5

    def test_a_gate_in_which_many_decay_is_refused(self, bench: Any) -> None:
        """The mean over the gate is then no honest answer."""
        cavity = bench.apparatus(atom_decay=40.0)
        with pytest.raises(ApparatusFault, match="single atoms decay at 40 per second"):
            cavity.counts(bench.wires().timeline, range(5), times(5))


ANGULAR = 2.0 * math.pi


def probability(scale: float = 1.0, rf: float = 0.0, current: float = 0.0) -> float:
    """One atom up after the bench's pulse of 5 us alone, 2500 Hz/A and 40 A."""
    law = math.sin(0.5 * math.pi * (1.0 + rf) * 2.0 / math.pi * math.asin(50 / 60))
    rabi = ANGULAR * 60e3 * law * scale
    detuning = ANGULAR * 2500.0 * 40.0 * (1.0 + current)
    return math.sin(0.5 * detuned_pulse(rabi, 0.5 * detuning, 5e-6).area) ** 2


class Looker:
    """In the detector's place: keeps the atoms."""

    atoms: NDArray[np.int64]

    def mean_factors(self, shots: range, times: NDArray[np.float64]) -> tuple[float, float]:
        return 1.0, 1.0

    def counts(self, atoms: NDArray[np.int64], *rest: Any) -> NDArray[np.int64]:
        self.atoms = atoms
        return atoms


class TestState:
    """What differs from shot to shot in how the atoms are prepared."""

    @staticmethod
    def take(bench: Any, **noise: float) -> NDArray[np.float64]:
        """Atoms found after one pulse without coupling, where the law is binomial."""
        wires = bench.wires(current=40.0).instead(coupling_switch=())
        wires = wires.instead(drive_switch=bench.windows(wires.pulse))
        drifts = DriftsEntry(shot_to_shot=ShotNoiseEntry(**noise))
        cavity = bench.apparatus(seed=3, drifts=drifts, slope=2500.0)
        assert any("is new in every shot" in line for line in cavity._approximations())
        detector = Looker()
        cavity._counting = detector
        cavity.counts(wires.timeline, range(SHOTS), times())
        return detector.atoms[:, 0].astype(float)

    @pytest.mark.parametrize(
        ("name", "rms", "law"),
        [
            ("laser_power", 0.1, lambda x: probability(scale=math.sqrt(1.0 + x))),
            ("rf_amplitude", 0.05, lambda x: probability(rf=x)),
            ("coil_current", 0.1, lambda x: probability(current=x)),
        ],
    )
    def test_variance_of_the_atoms(
        self, bench: Any, name: str, rms: float, law: Callable[[float], float]
    ) -> None:
        """Var n = N E[p(1-p)] + N^2 Var p, p averaged over a normal deviation."""
        found = self.take(bench, **{name: rms})
        at, weights = np.polynomial.hermite_e.hermegauss(15)
        weights = weights / weights.sum()
        p = np.array([law(rms * float(x)) for x in at])
        mean = float(weights @ p)
        spread = float(weights @ (p - mean) ** 2)
        check_mean(found, 100.0 * mean)
        assert 1e4 * spread > 0.1 * 25.0
        check_variance(found, 100.0 * float(weights @ (p * (1.0 - p))) + 1e4 * spread)

    def test_atom_number(self, bench: Any) -> None:
        """Var n = N p (1-p) + p^2 Var N, with a quarter of an atom at most from whole numbers."""
        found = self.take(bench, atom_number=0.1)
        p = probability()
        check_mean(found, 100.0 * p)
        check_variance(found, 100.0 * p * (1.0 - p) + p**2 * 100.2)

    def test_a_saturated_modulator_does_not_hear_the_rf(self, bench: Any) -> None:
        """At the top of the sine the amplitude noise of the RF is felt in second order only."""
        felt = []
        for fraction in (1.0, 50 / 60):
            wires = bench.wires(pulse_tone=bench.tone(fraction)).instead(coupling_switch=())
            wires = wires.instead(drive_switch=bench.windows(wires.pulse))
            found = []
            for rms in (0.0, 0.02):
                drifts = DriftsEntry(shot_to_shot=ShotNoiseEntry(rf_amplitude=rms))
                cavity = bench.apparatus(drifts=drifts)
                cavity._counting = Looker()
                found.append(cavity.counts(wires.timeline, range(2000), times(2000)))
            felt.append(np.abs(found[1] - found[0]).mean())
        assert felt[0] < 0.1 * felt[1]

    def test_prepared_states_follow_too(self, bench: Any) -> None:
        """The coil's noise spreads the phase of the ellipse: in the mean it stays where it was."""
        drifts = DriftsEntry(shot_to_shot=ShotNoiseEntry(coil_current=0.05, laser_power=0.02))
        truth = {"atoms": 20, "coupling": replace(bench.truth.coupling, full_strength=2e3)}
        cavity = bench.apparatus(seed=5, drifts=drifts, **truth)
        wires = bench.wires(current=20.0)
        cavity.counts(wires.timeline, range(3000), times(3000))
        told, plain = cavity.reveal(), bench.take(wires, shots=10, **truth)[1]
        assert told["shots"] == 3000
        assert told["bias_phase"] == pytest.approx(plain["bias_phase"], rel=0.05 * 5 / 3000**0.5)
        assert told["bias_phase"] != plain["bias_phase"]

    def test_portions_do_not_matter(self, bench: Any) -> None:
        """With everything on, a shot is the same alone and in a block."""
        entry = ShotNoiseEntry(
            laser_power=0.01, rf_amplitude=0.01, coil_current=0.01, atom_number=0.1,
            detection=0.02, background=0.02, laser_frequency=0.1,
        )  # fmt: skip
        drifts = DriftsEntry(
            shot_to_shot=entry, detection=DriftEntry(rms=0.01, correlation_time=3.0), step=1.0
        )

        def cavity() -> Any:
            return bench.apparatus(
                seed=9, drifts=drifts, atoms=10, dead_time=1e-7, atom_decay=2.0,
                coupling=replace(bench.truth.coupling, full_strength=2e3),
            )  # fmt: skip

        wires = bench.wires(current=20.0)
        whole = cavity().counts(wires.timeline, range(60), times(60))
        parts = cavity()
        pieces = [
            parts.counts(wires.timeline, range(a, b), times(60)[a:b])
            for a, b in ((0, 1), (1, 37), (37, 60))
        ]
        assert np.array_equal(whole, np.concatenate(pieces))
        assert parts.reveal()["shots"] == 60

    def test_nodes_have_the_moments_of_a_normal_law(self) -> None:
        """The rule's moments up to the ninth, and its weights in the draws."""
        noise = ShotNoise(ShotNoiseEntry(laser_power=0.1), 1)
        drawn = np.zeros(SHOTS)
        cases = list(noise.cases(range(SHOTS)))
        for places, deviations in cases:
            drawn[places] = deviations.laser_power / 0.1
        assert len(cases) == NODES
        check_mean(drawn, 0.0)
        check_mean(drawn**2, 1.0)
        check_mean(drawn**4, 3.0)
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        moments = [float(weights @ nodes**k) / math.sqrt(2 * math.pi) for k in range(10)]
        assert moments == pytest.approx([float(norm.moment(k)) for k in range(10)], abs=1e-9)
