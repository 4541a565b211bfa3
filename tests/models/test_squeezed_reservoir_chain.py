"""Atoms off their places: the two-jump form against Eq. 3, the plateau and its decay."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from cavitylab.models.squeezed_reservoir import squeezed_steady_state
from cavitylab.models.squeezed_reservoir_chain import (
    SqueezedChain,
    chain_couplings,
    chain_evolution,
    chain_plateau,
    chain_steady_state,
    displaced_phases,
)
from cavitylab.models.squeezed_reservoir_dynamics import squeezed_evolution

CASES = {
    case["id"]: case
    for case in json.loads(
        Path(__file__).with_name("oracles_squeezed_reservoir.json").read_text(encoding="utf-8")
    )["cases"]
}


def published(displacement, seed, atoms=5):
    """A chain of Bai & An Fig. 4: r = 0.5, alpha = 0.5, Delta = A."""
    phases = displaced_phases(atoms, displacement, np.random.default_rng(seed))
    return SqueezedChain(tuple(phases), 0.5, math.cosh(1.0), 0.5)


def literal_equation_3(chain):
    """Row-major generator of Eq. 3, term by term, from the couplings of Eqs. 5 and 6."""
    n_atoms, n, m = chain.atoms, chain.collective.occupation, chain.collective.correlation
    lower = np.array([[0, 1], [0, 0]])  # the first state of each atom is down
    sigma = []
    for i in range(n_atoms):
        factors = [lower if k == i else np.eye(2) for k in range(n_atoms)]
        operator = factors[0]
        for factor in factors[1:]:
            operator = np.kron(operator, factor)
        sigma.append(operator)
    one = np.eye(2**n_atoms)

    def d(a, b):
        return 2 * np.kron(a, b.T) - np.kron(one, (b @ a).T) - np.kron(b @ a, one)

    pairs = chain_couplings(chain.phases)
    h = chain.detuning * sum(s.T @ s for s in sigma)
    total = np.zeros((4**n_atoms,) * 2, dtype=complex)
    for i, a in enumerate(sigma):
        for j, b in enumerate(sigma):
            if i != j:
                h = h - 0.5 * pairs.exchange[i, j] * (a.T @ b + a @ b.T)
            minus, plus = 0.5 * pairs.gamma_minus[i, j], 0.5 * pairs.gamma_plus[i, j]
            total += minus * (n * d(a.T, b) + (n + 1) * d(a, b.T))
            total -= plus * (m * d(a.T, b.T) + m.conjugate() * d(a, b))
    return total - 1j * (np.kron(h, one) - np.kron(one, h.T)), sum(sigma)


class TestAgainstReferences:
    def test_steady_chain(self):
        """Three atoms off their places."""
        case = CASES["chain_3"]
        i = case["inputs"]
        detuning = i["Delta"] * math.cosh(2 * i["r"])
        state = chain_steady_state(SqueezedChain(tuple(i["theta"]), i["r"], detuning, i["alpha"]))
        for name, expected in case["outputs"].items():
            assert getattr(state, name) == pytest.approx(expected, rel=case["rtol"]), name

    def test_evolving_chain(self):
        """Four atoms near multiples of 2 pi, on the way."""
        case = CASES["chain_4"]
        i = case["inputs"]
        detuning = i["Delta"] * math.cosh(2 * i["r"])
        chain = SqueezedChain(tuple(i["theta"]), i["r"], detuning, i["alpha"])
        (state,) = chain_evolution(chain, [i["t"]])
        for name, expected in case["outputs"].items():
            assert getattr(state, name) == pytest.approx(expected, rel=case["rtol"]), name

    def test_couplings(self):
        """Eqs. 5 and 6 between two sites."""
        case = CASES["couplings"]
        found, expected = chain_couplings(case["inputs"]["theta"]), case["outputs"]
        assert found.exchange[0, 1] == pytest.approx(expected["Delta_01"], rel=1e-10)
        assert found.gamma_minus[0, 1] == pytest.approx(expected["gamma_minus_01"], rel=1e-10)
        assert found.gamma_plus[0, 1] == pytest.approx(expected["gamma_plus_01"], rel=1e-10)


class TestAgainstEquation3:
    @pytest.mark.parametrize("transmission", [1.0, 0.7])
    def test_null_vector(self, transmission):
        """Eq. 3 evaluated literally, three atoms anywhere, with and without loss."""
        chain = SqueezedChain((0.4, 7.0, -2.9), 0.6, -0.8, 1.1, transmission)
        generator, lowering = literal_equation_3(chain)
        _, _, vectors = np.linalg.svd(generator)
        rho = vectors[-1].conj().reshape(8, 8)
        rho /= np.trace(rho)
        state = chain_steady_state(chain)
        raising = lowering.T
        sz = (raising @ lowering - lowering @ raising) / 2
        spins = [(raising + lowering) / 2, (raising - lowering) / 2j, sz]
        means = [np.trace(rho @ s).real for s in spins]
        np.testing.assert_allclose(state.mean, means, atol=1e-9)
        for a in range(3):
            for b in range(3):
                both = spins[a] @ spins[b] + spins[b] @ spins[a]
                expected = np.trace(rho @ both).real / 2 - means[a] * means[b]
                assert state.covariance[a, b] == pytest.approx(expected, abs=1e-9)
        assert state.purity == pytest.approx(np.trace(rho @ rho).real, rel=1e-9)

    def test_on_the_way(self):
        """exp(t L) of the literal Eq. 3 at a time that is neither early nor late."""
        chain = SqueezedChain((0.1, 6.6, 12.1), 0.5, 1.2, 0.3)
        generator, lowering = literal_equation_3(chain)
        values, modes = np.linalg.eig(generator)
        start = np.zeros(64)
        start[0] = 1.0
        weights = np.linalg.solve(modes, start)
        rho = (modes @ (np.exp(0.8 * values) * weights)).reshape(8, 8)
        (state,) = chain_evolution(chain, [0.8])
        raising = lowering.T
        sz = (raising @ lowering - lowering @ raising) / 2
        assert state.sz == pytest.approx(np.trace(rho @ sz).real, rel=1e-8)
        assert state.purity == pytest.approx(np.trace(rho @ rho).real, rel=1e-8)

    @pytest.mark.parametrize("turns", [0.0, math.pi / 2])
    def test_equivalent_places_are_the_collective_spin(self, turns):
        """All at 0, or all at pi/2, where alpha becomes alpha + pi: xi2 of Eq. 7 on the way."""
        chain = SqueezedChain((turns,) * 4, 0.6, 0.9, 0.4)
        times = [0.05, 0.3, 2.0]
        expected = squeezed_evolution(chain.collective, times)
        for found, wanted in zip(chain_evolution(chain, times), expected, strict=True):
            assert found.xi2 == pytest.approx(wanted.xi2, rel=1e-7)
            assert found.sz == pytest.approx(wanted.sz, rel=1e-8)


class TestDisorder:
    def test_smallest_disorder_changes_the_steady_state(self):
        """w -> 0 does not lead to the collective state: 1/xi2 = 0.80, not 1.149 (N = 5)."""
        chain = published(0.01 * math.pi, seed=3)
        assert squeezed_steady_state(chain.collective).gain == pytest.approx(1.149, abs=5e-4)
        assert chain_steady_state(chain).gain == pytest.approx(0.80, abs=0.01)

    def test_plateau_and_its_lifetime(self):
        """The collective squeezing lasts, and lasts four times as long at half the disorder."""
        shape = np.array([0.7, -0.9, 0.2, -0.3, 1.0])
        lifetimes = []
        for w in (0.02, 0.01):
            phases = 2 * math.pi * np.arange(5) + w * math.pi * shape
            plateau = chain_plateau(SqueezedChain(tuple(phases), 0.5, math.cosh(1.0), 0.5))
            assert plateau.gain == pytest.approx(1.149, abs=5e-4)
            assert plateau.peak_gain > plateau.gain > 1 > plateau.steady_gain
            lifetimes.append(plateau.lifetime)
        assert lifetimes[1] / lifetimes[0] == pytest.approx(4.0, rel=0.1)

    def test_lifetime_is_where_the_gain_has_fallen(self):
        """The gain at the lifetime is steady + (plateau - steady)/e; rates scale together."""
        chain = published(0.05 * math.pi, seed=5, atoms=4)
        plateau = chain_plateau(chain)
        (there,) = chain_evolution(chain, [plateau.lifetime])
        expected = plateau.steady_gain + (plateau.gain - plateau.steady_gain) / math.e
        assert there.gain == pytest.approx(expected, abs=1e-3)
        (peak,) = chain_evolution(chain, [plateau.peak_time])
        assert peak.gain == pytest.approx(plateau.peak_gain, rel=1e-3)
        doubled = SqueezedChain(chain.phases, 0.5, 2 * chain.detuning, 0.5, collective_decay=2.0)
        assert chain_plateau(doubled).lifetime == pytest.approx(plateau.lifetime / 2, rel=1e-5)

    def test_phases_are_not_reduced(self):
        """The sign of the exchange depends on the order of the sites: 2 pi apart is not 0."""
        near = chain_steady_state(SqueezedChain((0.0, -0.3, 0.5), 0.5, 1.0))
        far = chain_steady_state(SqueezedChain((0.0, 2 * math.pi - 0.3, 0.5), 0.5, 1.0))
        assert abs(near.xi2 - far.xi2) > 1e-3
        drawn = displaced_phases(4, 0.2, np.random.default_rng(1))
        assert (abs(drawn - 2 * math.pi * np.arange(4)) <= 0.2).all()

    @pytest.mark.slow
    def test_averages_over_configurations(self):
        """N = 5, 16 draws against means of 50: 1/xi2 of the steady states and on the way.

        Within five errors of the difference of both means (false alarm 4e-6).
        """
        draws = 16
        errors_apart = 5 * math.sqrt(1 / draws + 1 / 50)
        late = {0.06: 0.792, 0.2: 0.718, 0.4: 0.582}
        for w, expected in late.items():
            gains = [chain_steady_state(published(w * math.pi, s)).gain for s in range(draws)]
            allowed = errors_apart * np.std(gains, ddof=1) + 1e-3
            assert np.mean(gains) == pytest.approx(expected, abs=allowed)
        on_the_way = {2.0: 1.141, 10.0: 1.126, 30.0: 1.093}
        rows = [
            [s.gain for s in chain_evolution(published(0.03 * math.pi, k), [*on_the_way])]
            for k in range(draws)
        ]
        spreads = np.std(rows, axis=0, ddof=1)
        for mean, spread, expected in zip(
            np.mean(rows, axis=0), spreads, on_the_way.values(), strict=True
        ):
            assert mean == pytest.approx(expected, abs=errors_apart * spread + 1e-3)


class TestRefusals:
    def test_chains(self):
        """Too few or many atoms, places that leave the steady state open, bad reservoirs."""
        with pytest.raises(ValueError, match="`phases` must hold 2 to 6 values, but has 7"):
            SqueezedChain((0.1,) * 7, 0.5)
        with pytest.raises(ValueError, match="`phases` must be finite"):
            SqueezedChain((0.1, math.nan), 0.5)
        with pytest.raises(ValueError, match="`squeezing`"):
            SqueezedChain((0.1, 0.2), -0.5)
        for phases in ((0.0, 0.0, 0.0), (0.3, 0.3), (0.0, 0.0, 0.7)):
            with pytest.raises(ValueError, match="depends on the start"):
                chain_steady_state(SqueezedChain(phases, 0.5, 1.0))
        with pytest.raises(ValueError, match="`squeezing` must be above zero"):
            chain_plateau(SqueezedChain((0.0, 0.4), 0.0))
        with pytest.raises(ValueError, match="`displacement`"):
            displaced_phases(3, -0.1, np.random.default_rng(0))
