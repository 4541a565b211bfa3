"""Single shots of the chain and the string correlator they give."""

import math

import numpy as np
import pytest

from cavitylab.models import wigner_d
from cavitylab.models.chain import Chain, aklt_chain, chain_amplitudes
from cavitylab.models.chain_order import finite_string_correlation
from cavitylab.models.chain_sampling import sample_chain, string_correlator


def probabilities(chain, ensembles, tilt=0.0):
    psi = chain_amplitudes(chain, ensembles)
    turn = wigner_d(chain.spin, tilt)
    for axis in range(ensembles):
        psi = np.moveaxis(np.tensordot(turn, psi, (1, axis)), 0, axis)
    return np.flip(np.abs(psi) ** 2)


class TestSampleChain:
    @pytest.mark.parametrize("tilt", [0.0, math.pi / 2, 0.6])
    @pytest.mark.parametrize(("spin", "ensembles"), [(0.5, 6), (1.0, 4), (0.5, 2)])
    def test_follows_the_state(self, spin, ensembles, tilt):
        """Every outcome as often as the dense state says: 5.5 sigma in each cell (alarm 3e-5)."""
        chain = Chain(spin, 0.4, 1.9, 1.1, 2.0)
        shots = 20_000
        outcomes = sample_chain(chain, ensembles, shots, np.random.default_rng(1), tilt)
        expected = probabilities(chain, ensembles, tilt)
        cells = np.ravel_multi_index(outcomes.T, expected.shape)
        seen = np.bincount(cells, minlength=expected.size)
        mean = shots * expected.ravel()
        common = mean > 20.0
        spread = np.sqrt(mean[common])
        assert np.max(np.abs(seen[common] - mean[common]) / spread) < 5.5
        rare = mean[~common].sum()
        assert abs(seen[~common].sum() - rare) <= 5.5 * math.sqrt(rare) + 3.0

    def test_aklt_shots_have_hidden_order(self):
        """Cells show +1, 0, -1; without the zeros the signs alternate in every shot."""
        outcomes = sample_chain(aklt_chain(1.0), 24, 500, np.random.default_rng(2))
        z = outcomes[:, 1:-1:2] + outcomes[:, 2:-1:2] - 1
        for shot in z:
            signs = shot[shot != 0]
            assert np.all(signs[1:] == -signs[:-1])

    def test_chunks_do_not_change_the_shots(self, monkeypatch):
        """The same generator gives the same shots however they are cut."""
        chain = aklt_chain(1.0, 5.0)
        whole = sample_chain(chain, 10, 40, np.random.default_rng(3))
        monkeypatch.setattr("cavitylab.models.chain_sampling._CHUNK", 50)
        assert np.array_equal(whole, sample_chain(chain, 10, 40, np.random.default_rng(3)))


class TestStringCorrelator:
    @pytest.mark.parametrize("angle", [math.pi, 1.3])
    @pytest.mark.parametrize("spin", [0.5, 1.5])
    def test_averages_to_the_model(self, spin, angle):
        """Mean over 20000 shots within 4.5 standard errors (false alarm 7e-6)."""
        chain = Chain(spin, 0.4, 1.9, 1.1, 12.0)
        outcomes = sample_chain(chain, 16, 20_000, np.random.default_rng(4))
        values = string_correlator(outcomes, spin, 2, 6, angle)
        error = values.std() / math.sqrt(values.size)
        assert abs(values.mean() - finite_string_correlation(chain, 16, 2, 6, angle)) < 4.5 * error

    def test_of_one_shot_by_hand(self):
        """Z = (+1, 0, -1): the string holds the first two, so cos(pi) * 1 * (-1) = 1."""
        shot = [[0, 1, 1, 0, 1, 0, 0, 1]]
        assert string_correlator(shot, 0.5, 1, 3) == pytest.approx([1.0])
        assert string_correlator(shot, 0.5, 1, 2) == pytest.approx([0.0])

    def test_refuses_outcomes_of_the_wrong_shape(self):
        """Two axes, an even number of ensembles."""
        with pytest.raises(ValueError, match=r"`outcomes` must have shape \(shots, L\)"):
            string_correlator([0, 1, 1, 0], 0.5, 1, 2)
        with pytest.raises(ValueError, match="`ensembles` must be even"):
            string_correlator(np.zeros((3, 7)), 0.5, 1, 2)
