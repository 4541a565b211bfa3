"""The way to the squeezed state and its Husimi function, against references and QuTiP."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import qutip

from cavitylab.models.squeezed_reservoir import SqueezedReservoir, squeezed_steady_state
from cavitylab.models.squeezed_reservoir_dynamics import (
    evolved_density_matrices,
    husimi,
    squeezed_evolution,
    steady_density_matrix,
)

CASES = json.loads(
    Path(__file__).with_name("oracles_squeezed_reservoir.json").read_text(encoding="utf-8")
)["cases"]
FIELDS = {"sz": "sz", "vmin": "v_min", "vmax": "v_max", "xi2": "xi2", "angle": "angle"}


def cases(*functions):
    chosen = [c for c in CASES if c["function"] in functions]
    return [pytest.param(c, id=f"{c['id']}-{n}") for n, c in enumerate(chosen)]


def parameters(i):
    return SqueezedReservoir(i["N"], i["r"], i["delta"], i["alpha"])


def terms(p):
    """QuTiP's Hamiltonian and jumps of Eq. 7, rows m descending."""
    j = p.atoms / 2
    up, down = qutip.jmat(j, "+"), qutip.jmat(j, "-")
    m = p.correlation
    rates, vectors = np.linalg.eigh(
        np.array([[p.occupation + 1, -m.conjugate()], [-m, p.occupation]])
    )
    jumps = [
        math.sqrt(p.collective_decay * max(rate, 0)) * (v[0] * down + v[1] * up)
        for rate, v in zip(rates, vectors.T, strict=True)
    ]
    return p.detuning * qutip.jmat(j, "z"), jumps


class TestEvolution:
    @pytest.mark.parametrize("case", cases("evolve"))
    def test_references(self, case):
        """Moments on the way, from the bottom and from m = 0."""
        i = case["inputs"]
        (state,) = squeezed_evolution(parameters(i), [i["t"]], start=i["m0"])
        for name, expected in case["outputs"].items():
            value = getattr(state, FIELDS[name])
            assert value == pytest.approx(expected, rel=case["rtol"]), name

    @pytest.mark.parametrize("transmission", [1.0, 0.6])
    @pytest.mark.parametrize("start", [None, 1.5])
    def test_density_matrices_of_qutip(self, transmission, start):
        """Every element, detuned and turned, with and without loss, in units where A is not 1."""
        p = SqueezedReservoir(7, 0.6, -2.0, 0.8, transmission, collective_decay=2.0)
        times = [0.0, 0.03, 0.4]
        first = qutip.basis(8, 7 if start is None else 2)
        generator = qutip.liouvillian(*terms(p)).full()
        vector = qutip.operator_to_vector(qutip.ket2dm(first)).full()
        found = evolved_density_matrices(p, times, start=start)
        values, modes = np.linalg.eig(generator)
        weights = np.linalg.solve(modes, vector)
        for t, rho in zip(times, found, strict=True):
            expected = (modes @ (np.exp(values * t)[:, None] * weights)).reshape(8, 8, order="F")
            np.testing.assert_allclose(rho, expected, atol=1e-9)

    def test_ends_in_the_steady_state(self):
        """Unique steady state (Fig. 1c): two starts meet it, N = 40."""
        p = SqueezedReservoir(40, 0.8, math.cosh(1.6), 0.5)
        expected = squeezed_steady_state(p)
        for start in (None, 0.0):
            (late,) = squeezed_evolution(p, [40.0], start=start)
            assert late.xi2 == pytest.approx(expected.xi2, rel=1e-8)
            assert late.angle == pytest.approx(expected.angle, abs=1e-8)

    def test_best_transient_is_below_the_steady_state(self):
        """N = 10 at delta = cosh(2r): least xi2 0.4614 at N A t = 3.46, r = 0.566."""
        p = SqueezedReservoir(10, 0.566, math.cosh(1.132))
        times = np.linspace(0.2, 0.5, 121)
        values = [s.xi2 for s in squeezed_evolution(p, times)]
        assert min(values) == pytest.approx(0.4614, abs=2e-4)
        assert 10 * times[int(np.argmin(values))] == pytest.approx(3.46, abs=0.1)

    def test_cut_basis_is_wide_enough(self):
        """N = 300 keeps few levels from below and still ends in the exact steady state."""
        p = SqueezedReservoir(300, 0.5, 3.0)
        (late,) = squeezed_evolution(p, [5.0])
        assert late.xi2 == pytest.approx(squeezed_steady_state(p).xi2, rel=1e-8)

    def test_times_together_or_alone(self):
        """The group of times does not matter; equal times and no times are allowed."""
        p = SqueezedReservoir(12, 0.7, 1.0)
        together = squeezed_evolution(p, [0.0, 1e-3, 0.1, 0.1, 7.0])
        for t, state in zip([0.0, 1e-3, 0.1, 0.1, 7.0], together, strict=True):
            (alone,) = squeezed_evolution(p, [t])
            assert state.v_min == pytest.approx(alone.v_min, rel=1e-8)
        assert together[0].sz == -6.0
        assert squeezed_evolution(p, []) == []


class TestDensityAndHusimi:
    @pytest.mark.parametrize("case", cases("husimi"))
    def test_reference(self, case):
        """Q of the steady state at one direction."""
        i = case["inputs"]
        value = husimi(steady_density_matrix(parameters(i)), i["theta"], i["phi"])
        assert value == pytest.approx(case["outputs"]["Q"], rel=case["rtol"])

    @pytest.mark.parametrize("transmission", [1.0, 0.8])
    @pytest.mark.parametrize("atoms", [5, 6])
    def test_steady_density_matrix(self, atoms, transmission):
        """QuTiP's null vector, element by element."""
        p = SqueezedReservoir(atoms, 0.7, 0.9, 1.3, transmission)
        h, jumps = terms(p)
        expected = qutip.steadystate(h, jumps, method="direct").full()
        np.testing.assert_allclose(steady_density_matrix(p), expected, atol=1e-10)

    @pytest.mark.parametrize(("atoms", "r", "delta"), [(150, 1.3, 7.0), (151, 2.5, 0.0)])
    def test_residual_at_larger_numbers(self, atoms, r, delta):
        """The factorised state (Eq. 8) satisfies Eq. 7, has trace 1 and is positive."""
        rho = steady_density_matrix(SqueezedReservoir(atoms, r, delta))
        down = qutip.jmat(atoms / 2, "-").full().real
        m = np.arange(atoms, -1, -1.0)
        jump = math.cosh(r) * down - math.sinh(r) * down.T
        decay = jump.T @ jump
        residual = jump @ rho @ jump.T - 0.5 * (decay @ rho + rho @ decay)
        residual -= 1j * delta * (m[:, None] - m) * rho
        assert abs(residual).max() < 1e-14 * abs(decay).max()
        assert np.trace(rho) == pytest.approx(1.0, rel=1e-12)
        assert np.linalg.eigvalsh(rho).min() > -1e-14

    def test_husimi_of_qutip_and_its_norm(self):
        """Coherent states, the poles and the integral over the sphere."""
        rho = steady_density_matrix(SqueezedReservoir(9, 0.7, 1.2, 0.4))
        theta, phi = np.array([0.3, 1.7, 2.9, 4.0]), np.array([-1.0, 0.4, 2.0, 1.0])
        for a, b, q in zip(theta, phi, husimi(rho, theta, phi), strict=True):
            state = qutip.spin_coherent(4.5, a, b).full().ravel()
            expected = 10 / (4 * math.pi) * (state.conj() @ rho @ state).real
            assert q == pytest.approx(expected, rel=1e-10)
        poles = husimi(rho, np.array([0.0, math.pi]), 0.0)
        scale = 10 / (4 * math.pi)
        assert poles == pytest.approx(scale * rho.diagonal().real[[0, -1]], rel=1e-9)
        nodes, weights = np.polynomial.legendre.leggauss(12)
        azimuths = np.arange(24) * 2 * math.pi / 24
        q = husimi(rho, np.arccos(nodes)[:, None], azimuths[None, :])
        assert q.shape == (12, 24)
        assert weights @ q.sum(axis=1) * 2 * math.pi / 24 == pytest.approx(1.0, rel=1e-12)


class TestRefusals:
    def test_times_starts_and_sizes(self):
        """Each refusal names the argument and what it was."""
        p = SqueezedReservoir(5, 0.5)
        for times in ([1.0, 0.5], [-0.1], [math.nan]):
            with pytest.raises(ValueError, match="`times`"):
                squeezed_evolution(p, times)
        with pytest.raises(ValueError, match="`start` must be one of -2.5 … 2.5.*but is 1.0"):
            squeezed_evolution(p, [1.0], start=1.0)
        with pytest.raises(ValueError, match="`tolerance`"):
            squeezed_evolution(p, [1.0], tolerance=0.0)
        with pytest.raises(ValueError, match="at most 400"):
            squeezed_evolution(SqueezedReservoir(1000, 0.5), [1.0], start=0.0)
        with pytest.raises(ValueError, match="at most 2000 atoms"):
            steady_density_matrix(SqueezedReservoir(2001, 0.5))
        with pytest.raises(ValueError, match="`density` must be a square matrix"):
            husimi(np.ones((2, 3)), 0.1, 0.2)
