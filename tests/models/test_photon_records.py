"""Photons of relaxing pairs: moments on each outcome against runs, slopes against differences."""

import math

import numpy as np
import pytest

from cavitylab.models import photon_records
from cavitylab.models.photon_records import PhotonRecords
from cavitylab.models.relaxation_outcomes import emission_in, relaxing_outcomes
from cavitylab.models.two_ensembles import TwoEnsembles

PAIR = TwoEnsembles(1.0, 4.0, 3.0, 0.4, 1.0)
TIMES = (0.5, 2.0)


@pytest.mark.parametrize("compiled", [True, False])
def test_runs_have_the_exact_moments_of_photons_and_atoms(monkeypatch, compiled):
    """Populations, E[K; n] and E[K(K-1); n] of 1500 runs within 4.9 errors (1e-4 for 54 values).

    Compiled runs, and runs side by side where numba is missing.
    """
    if not compiled:
        monkeypatch.setattr(photon_records, "compiled_runs", lambda system, times: None)
    runs = 1500 if compiled else 600
    amplitudes, photons = PhotonRecords(PAIR, TIMES).follow(np.arange(runs))
    law = np.abs(amplitudes) ** 2
    solved = relaxing_outcomes(PAIR, TIMES, photons=True)
    assert solved.photons is not None
    k = photons[:, 1]
    exact = (solved.probability, solved.photons.mean, solved.photons.pairs)
    for weight, table in zip((np.ones(runs), k, k * (k - 1)), exact, strict=True):
        seen = law * weight[:, None]
        error = seen.std(axis=0) / math.sqrt(runs) + 1e-9
        assert (np.abs(seen.mean(axis=0) - table[1].ravel()) < 4.9 * error).all()
    spread = photons[:, 0].std() / math.sqrt(runs)
    assert abs(photons[:, 0].mean() - solved.photons.mean[0].sum()) < 4.9 * spread


def test_a_seed_is_a_run():
    """The same seed gives the same photons and atoms among others."""
    records = PhotonRecords(PAIR, TIMES)
    whole, alone = records.follow(np.arange(5)), records.follow(np.array([3]))
    assert np.array_equal(whole[1][3:4], alone[1]) and np.array_equal(whole[0][3:4], alone[0])


def test_slopes_of_the_photons_are_those_of_the_logarithms_and_of_exchange():
    """Against central differences, 1e-6."""
    solved = relaxing_outcomes(PAIR, TIMES, derivatives=True, exchange=True, photons=True)
    assert solved.photons is not None
    rates = np.array([1.0, 4.0, 3.0, 0.4])

    def mean(at):
        pair = TwoEnsembles(1.0, at[1], at[2], at[3], at[0])
        found = relaxing_outcomes(pair, TIMES, photons=True).photons
        assert found is not None
        return found.mean

    for index in range(4):
        step = np.eye(4)[index] * 1e-4 * (1.0 if index == 3 else rates[index])
        slope = (mean(rates + step) - mean(rates - step)) / 2e-4
        assert np.abs(slope - solved.photons.slopes[index]).max() < 1e-6


def test_emission_dies_out_in_the_dark_state():
    """Bright in the burst; after 40/Gamma less than 1e-5 photons in 1/Gamma."""
    assert emission_in(PAIR, (0.5, 1.0)) > 1.0 and emission_in(PAIR, (40.0, 41.0)) < 1e-5
