"""Atom numbers and light of large relaxing ensembles: against the exact solution, and slopes."""

import dataclasses
import math

import numpy as np
import pytest

from cavitylab.models.cumulant_polynomials import EVERY, HALF, RATES, Polynomial, equations
from cavitylab.models.cumulant_populations import (
    SLOPES,
    RelaxingClouds,
    closure_error,
    cloud_moments,
)
from cavitylab.models.cumulants import DecayingEnsembles
from cavitylab.models.cumulants_trajectory import cumulant_trajectory
from cavitylab.models.relaxation_outcomes import relaxing_outcomes
from cavitylab.models.two_ensembles import TwoEnsembles


def exact_numbers(spin, rabi, detuning, chi, times):
    """Means (T, 3) and covariances (T, 3, 3) of n1, n2 and the photons (normal order)."""
    pair = TwoEnsembles(spin, rabi, detuning, chi, 1.0)
    found = relaxing_outcomes(pair, times, photons=True)
    n = np.arange(2 * spin + 1.0)
    tables, light = found.probability, found.photons.mean
    first = [np.einsum("tij,i->t", tables, n), np.einsum("tij,j->t", tables, n)]
    mean = np.stack([*first, light.sum(axis=(1, 2))], axis=1)
    second = np.empty((len(times), 3, 3))
    second[:, 0, 0] = np.einsum("tij,i->t", tables, n * n)
    second[:, 1, 1] = np.einsum("tij,j->t", tables, n * n)
    second[:, 0, 1] = second[:, 1, 0] = np.einsum("tij,i,j->t", tables, n, n)
    second[:, 0, 2] = second[:, 2, 0] = np.einsum("tij,i->t", light, n)
    second[:, 1, 2] = second[:, 2, 1] = np.einsum("tij,j->t", light, n)
    second[:, 2, 2] = found.photons.pairs.sum(axis=(1, 2))
    return mean, second - mean[:, :, None] * mean[:, None, :]


class TestExact:
    @pytest.mark.parametrize(("drive", "ratio", "chi"), [(4.0, 0.3, 0.0), (2.0, 0.5, 0.8)])
    def test_ten_atoms(self, drive, ratio, chi):
        """To the first swing's end: means within the closure's own error, two moments of light."""
        spin = 5.0
        rabi = drive * spin
        times = np.linspace(0.8, 4.8, 6) / rabi
        mean, covariance = exact_numbers(spin, rabi, ratio * rabi, chi, times)
        clouds = RelaxingClouds(2 * spin, rabi, ratio * rabi, chi)
        found, wrong = cloud_moments(clouds, times), closure_error(clouds, times)
        assert (np.abs(found.mean - mean) <= 3.0 * wrong.mean + 0.002).all()
        early = slice(0, 3)  # Omega t up to 2.4
        np.testing.assert_allclose(found.mean[early], mean[early], atol=0.01)
        np.testing.assert_allclose(found.covariance[early], covariance[early], atol=0.2)
        assert found.physical.all()

    def test_the_error_falls_with_the_number_of_atoms(self):
        """At N Gamma kept the closure's error of a mean per atom falls faster than 1/N."""
        parts = []
        for atoms in (50.0, 500.0, 5000.0):
            clouds = RelaxingClouds(atoms, 50.0, 20.0, 0.0, 0.0, 50.0 / atoms)
            parts.append(closure_error(clouds, [0.15]).mean[0, 0] / atoms)
        assert parts[0] > 40.0 * parts[1] > 0.0
        assert parts[1] > 40.0 * parts[2] > 0.0


class TestEquations:
    def test_no_term_grows_with_the_atoms(self):
        """In connected moments every power of N cancels, with exchange and without."""
        for exchange in (False, True):
            assert equations(exchange).powers.min() == 0
        assert set(HALF) < set(EVERY)

    def test_polynomials(self):
        """Products multiply out, and what cancels is gone."""
        a, b = Polynomial.moment(0), Polynomial.rate("rabi")
        assert (2.0 * a * b - b * (a + a)).terms == {}
        assert (1.0 - a + (-1.0)).terms == (-a).terms

    def test_same_trajectory_as_the_plain_moments(self):
        """Two integrators, plain and connected moments, with decay of single atoms."""
        times = np.linspace(0.02, 0.4, 5)
        plain = cumulant_trajectory(DecayingEnsembles(30.0, 60.0, 30.0, 0.7, 1.1), times)
        clouds = RelaxingClouds(60.0, 60.0, 30.0, 0.0, 0.7, 1.1)
        found = cloud_moments(clouds, times)
        np.testing.assert_allclose(found.mean[:, 0], 30.0 * (1.0 + plain["z1"]), rtol=1e-6)
        number = 15.0 * (1.0 + 59.0 * plain["zz1"] - 60.0 * plain["z1"] ** 2)
        np.testing.assert_allclose(found.covariance[:, 0, 0], number, rtol=1e-4)

    def test_both_paths_agree_without_exchange(self):
        """27 moments and the 15 of the mirror give the same numbers, and the same light."""
        clouds, times = RelaxingClouds(200.0, 70.0, 40.0, 0.0, 0.2, 0.5), [0.03, 0.1]
        half = cloud_moments(clouds, times)
        full = cloud_moments(clouds, times, ("exchange",))
        np.testing.assert_allclose(half.mean, full.mean, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(half.covariance, full.covariance, rtol=1e-5, atol=1e-4)

    def test_exchange_reversed_exchanges_the_ensembles(self):
        """chi -> -chi and Delta -> -Delta is the exchange of both ensembles."""
        one = cloud_moments(RelaxingClouds(80.0, 60.0, 25.0, 0.6), [0.05, 0.08])
        two = cloud_moments(RelaxingClouds(80.0, 60.0, -25.0, -0.6), [0.05, 0.08])
        swap = [1, 0, 2]
        np.testing.assert_allclose(one.mean, two.mean[:, swap], rtol=1e-6)
        assert abs(one.mean[0, 0] - one.mean[0, 1]) > 1.0


class TestSlopes:
    @pytest.mark.parametrize("name", SLOPES)
    def test_finite_differences(self, name):
        """Every slope is that of two neighbouring solutions."""
        clouds, times = RelaxingClouds(50.0, 60.0, 20.0, 0.7, 0.1, 1.3), [0.04, 0.12]
        found = cloud_moments(clouds, times, SLOPES)
        value, step, ends = getattr(clouds, name), 1e-5, []
        for side in (step, -step):
            near = value + side
            if name not in ("exchange", "single_spin_decay"):
                near = value * math.exp(side)
            ends.append(cloud_moments(dataclasses.replace(clouds, **{name: near}), times))
        place = SLOPES.index(name)
        for part, slopes in (
            ("mean", found.mean_slopes[place]),
            ("covariance", found.covariance_slopes[place]),
        ):
            change = (getattr(ends[0], part) - getattr(ends[1], part)) / (2.0 * step)
            np.testing.assert_allclose(slopes, change, rtol=1e-4, atol=1e-4 * np.abs(change).max())

    def test_a_million_atoms(self):
        """Variances of a million atoms are those of a thousand, per atom; the cost is the same."""
        spread = []
        for atoms in (1e4, 1e6):
            clouds = RelaxingClouds(atoms, 1000.0, 500.0, collective_decay=1000.0 / atoms)
            found = cloud_moments(clouds, [0.003, 0.012])
            assert found.physical.all()
            spread.append(found.covariance / atoms)
        np.testing.assert_allclose(spread[0], spread[1], rtol=0.02, atol=1e-3)


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"atoms": 1.0}, "atoms"),
            ({"rabi_frequency": 0.0}, "rabi_frequency"),
            ({"collective_decay": -1.0}, "collective_decay"),
            ({"single_spin_decay": -0.1}, "single_spin_decay"),
            ({"exchange": math.nan}, "exchange"),
        ],
    )
    def test_parameters(self, changes, word):
        """Values outside the rules are named."""
        with pytest.raises(ValueError, match=word):
            RelaxingClouds(
                **({"atoms": 50.0, "rabi_frequency": 1.0} | changes), detuning_difference=1.0
            )

    def test_times_and_names(self):
        """Times rise from zero; slopes have names."""
        clouds = RelaxingClouds(50.0, 10.0, 3.0)
        for times in ([], [-1.0], [1.0, 1.0], [math.nan]):
            with pytest.raises(ValueError, match="times"):
                cloud_moments(clouds, times)
        with pytest.raises(ValueError, match="slopes"):
            cloud_moments(clouds, [1.0], ("temperature",))
        assert RATES[0] == "share"

    def test_at_zero_all_atoms_are_down(self):
        """No length of hold: no atom up, no spread, no light."""
        found = cloud_moments(RelaxingClouds(50.0, 10.0, 3.0), [0.0, 0.01])
        assert not found.mean[0].any()
        assert not found.covariance[0].any()
