"""Sequential readout and the laboratory's knobs: references, simulations, refusals."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from cavitylab.models.two_mode_squeezing import two_mode_amplitudes, two_mode_squeezed_spins
from cavitylab.models.two_mode_squeezing_cavity import (
    RamanSettings,
    raman_settings_for,
    squeezing_error,
)
from cavitylab.models.two_mode_squeezing_dynamics import prepare
from cavitylab.models.two_mode_squeezing_readout import (
    SequentialReadout,
    best_sequential_readout,
    sequential_noise,
)

ORACLES = json.loads(Path(__file__).with_name("oracles_two_mode.json").read_text(encoding="utf-8"))[
    "cases"
]


def cases(function):
    return [
        pytest.param(case, id=f"{case['id']}_{number}")
        for number, case in enumerate(ORACLES)
        if case["function"] == function
    ]


def check(case, **values):
    for name, expected in case["outputs"].items():
        np.testing.assert_allclose(
            values[name], expected, rtol=case["rtol"], atol=case.get("atol", 0.0), err_msg=name
        )


def kraus_distribution(spin, r, strength, a, b, records):
    """P(x, y) from matrices alone: rotate, apply K(x), project on the values of Y-."""
    d = round(2 * spin) + 1
    sx, sy = (qutip.jmat(spin, axis).full()[::-1, ::-1] for axis in "xy")
    one = np.eye(d)
    x1, x2, y1, y2 = np.kron(sx, one), np.kron(one, sx), np.kron(sy, one), np.kron(one, sy)
    psi = np.diag(two_mode_amplitudes(d - 1, r)).ravel()
    psi = expm(-1j * (a * (y1 + y2) + b * (x1 - x2))) @ psi
    values, vectors = np.linalg.eigh(x1 + x2)
    ys, y_vectors = np.linalg.eigh(y1 - y2)
    v = 0.25 / strength
    table = np.zeros((len(records), 2 * d - 1))
    for row, x in enumerate(records):
        k = (2 * math.pi * v) ** -0.25 * np.exp(-((x - values) ** 2) / (4 * v))
        after = vectors @ (k * (vectors.conj().T @ psi))
        chances = np.abs(y_vectors.conj().T @ after) ** 2
        np.add.at(table[row], np.round(ys + 2 * spin).astype(int), chances)
    return table


class TestReadout:
    @pytest.mark.parametrize("case", cases("sequential_readout"))
    def test_references(self, case):
        """Variances and slopes in closed form, and the Fisher information."""
        i = case["inputs"]
        readout = SequentialReadout(i["S"], i["r"], i["Lambda"])
        n, f = readout.noise, readout.fisher_information()
        check(
            case,
            var_x=n.variance_x,
            var_y=n.variance_y,
            dx_dA=n.slope_x,
            dy_dB=n.slope_y,
            F_AA=f[0, 0],
            F_BB=f[1, 1],
            F_AB=f[0, 1],
        )

    @pytest.mark.parametrize("spin", [0.5, 1, 2])
    def test_distribution_against_kraus_operators(self, spin):
        """The whole table P(x, y) equals the one from explicit matrices."""
        x, y, table = SequentialReadout(spin, 0.6, 0.8).distribution(0.3, -0.2)
        picked = np.linspace(0, x.size - 1, 15).astype(int)
        expected = kraus_distribution(spin, 0.6, 0.8, 0.3, -0.2, x[picked])
        np.testing.assert_allclose(table[picked], expected, atol=1e-12)
        np.testing.assert_allclose(y, np.arange(-2 * spin, 2 * spin + 1))

    @settings(max_examples=15, deadline=None)
    @given(
        st.integers(1, 8).map(lambda n: n / 2),
        st.floats(0.1, 1.5),
        st.floats(0.2, 3.0),
        st.floats(-0.3, 0.3),
        st.floats(-0.3, 0.3),
    )
    def test_fisher_information_is_the_curvature(self, spin, r, strength, a, b):
        """The table adds to 1, and the information is the one of its finite differences."""
        readout = SequentialReadout(spin, r, strength)
        x, _, table = readout.distribution(a, b)
        width = x[1] - x[0]
        assert table.sum() * width == pytest.approx(1.0, abs=1e-10)
        h = 1e-3

        def change(u, v):
            near = [readout.distribution(a + k * h * u, b + k * h * v)[2] for k in (-2, -1, 1, 2)]
            return (near[0] - 8 * near[1] + 8 * near[2] - near[3]) / (12 * h)

        moved = [change(1, 0), change(0, 1)]
        seen = table > 1e-9
        expected = [[np.sum(p[seen] * q[seen] / table[seen]) * width for p in moved] for q in moved]
        found = readout.fisher_information(a, b)
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3 * np.trace(found))

    @settings(max_examples=25, deadline=None)
    @given(st.integers(1, 8).map(lambda n: n / 2), st.floats(0.0, 2.0), st.floats(0.05, 5.0))
    def test_below_the_quantum_information(self, spin, r, strength):
        """No more than Q for either angle, and at least what the linear estimates have."""
        readout = SequentialReadout(spin, r, strength)
        found, noise = np.diag(readout.fisher_information()), readout.noise
        assert np.max(found) <= two_mode_squeezed_spins(spin, r).qfi_large * (1 + 1e-9)
        linear = 4 * spin / np.array([noise.xi2_a, noise.xi2_b])
        assert np.all(found >= linear * (1 - 1e-9))

    def test_linear_estimates_at_small_angles(self):
        """Means, variances and slopes of the exact table equal the closed forms."""
        readout = SequentialReadout(4, 0.8, 0.9)
        n = readout.noise
        x, y, still = readout.distribution()
        width = x[1] - x[0]
        assert (x**2) @ still.sum(axis=1) * width == pytest.approx(n.variance_x, rel=1e-10)
        assert np.sum(still @ y**2) * width == pytest.approx(n.variance_y, rel=1e-10)
        a, b = 1e-4, 2e-4
        _, _, table = readout.distribution(a, b)
        assert x @ table.sum(axis=1) * width / a == pytest.approx(n.slope_x, rel=1e-6)
        assert np.sum(table @ y) * width / b == pytest.approx(n.slope_y, rel=1e-6)

    def test_likelihood_beats_the_linear_estimate(self):
        """S = 6: fractions (0.54, 0.67) and (0.56, 0.91) of Q_max at theta sqrt(Q) = 0.1."""
        top = 4 / 3 * 12 * 14
        for factor, expected in ((1.7, (0.54, 0.67)), (4.0, (0.56, 0.91))):
            r = 0.5 * math.log(6 * factor)
            angle = 0.1 / math.sqrt(two_mode_squeezed_spins(6, r).qfi_large)
            found = SequentialReadout(6, r, 1.1).fisher_information(angle, angle)
            np.testing.assert_allclose(np.diag(found) / top, expected, atol=6e-3)

    def test_samples(self):
        """20 000 shots reproduce means and variances within 4.5 standard errors (1e-5 each)."""
        readout = SequentialReadout(4, 0.7, 0.8)
        x, y, table = readout.distribution(0.1, 0.15)
        p_x, p_y = table.sum(axis=1) * (x[1] - x[0]), table.sum(axis=0) * (x[1] - x[0])
        shots = readout.sample(0.1, 0.15, 20_000, np.random.default_rng(5))
        joint = (x @ table @ y) * (x[1] - x[0])
        drawn_y = shots.y1 - shots.y2
        for drawn, values, p in ((shots.x, x, p_x), (drawn_y, y, p_y)):
            mean, square = values @ p, values**2 @ p
            fourth = values**4 @ p
            error = math.sqrt((square - mean**2) / 20_000)
            assert abs(drawn.mean() - mean) < 4.5 * error
            spread = math.sqrt((fourth - square**2) / 20_000)
            assert abs(np.mean(drawn**2) - square) < 4.5 * spread
        both = np.outer(x**2, y**2) * table
        error = math.sqrt((both.sum() * (x[1] - x[0]) - joint**2) / 20_000)
        assert abs(np.mean(shots.x * drawn_y) - joint) < 4.5 * error

    def test_the_published_working_point(self):
        """e^{2r} = N/4: <X+^2> = 0.7507, N xi^2 = 5.33; Lambda = 0.667 costs 1.50 and 1.23."""
        spin = 250_000.0
        state = two_mode_squeezed_spins(spin, 0.5 * math.log(spin))
        assert state.squeezed_variance == pytest.approx(0.7507, abs=1e-4)
        assert 4 * spin * state.xi2 == pytest.approx(5.33, abs=5e-3)
        noise = sequential_noise(state, 0.667)
        assert noise.xi2_a / state.xi2 == pytest.approx(1.50, abs=5e-3)
        assert noise.xi2_b / state.xi2 == pytest.approx(1.23, abs=5e-3)

    def test_best_linear_readout(self):
        """Large S: the balanced and the least-sum working points of the reference."""
        spin = 1e5
        best = best_sequential_readout(spin)
        assert math.exp(2 * best.squeezing) / spin == pytest.approx(1.704, abs=1e-3)
        assert best.strength == pytest.approx(1.092, abs=1e-3)
        assert 4 * spin * best.noise.xi2_a == pytest.approx(6.57, abs=5e-3)
        assert best.noise.xi2_b == pytest.approx(best.noise.xi2_a, rel=1e-9)
        least = best_sequential_readout(spin, balanced=False)
        assert math.exp(2 * least.squeezing) / spin == pytest.approx(1.746, abs=1e-3)
        assert least.strength == pytest.approx(0.871, abs=1e-3)
        found = (4 * spin * least.noise.xi2_a, 4 * spin * least.noise.xi2_b)
        np.testing.assert_allclose(found, (7.29, 5.50), atol=1e-2)


def settings_of(case):
    i = case["inputs"]
    return RamanSettings(
        coupling=i["g"],
        loss=i["kappa"],
        rabi_minus=i["Om_minus"],
        detuning_minus=i["De_minus"],
        rabi_plus=i["Om_plus"],
        detuning_plus=i["De_plus"],
    )


class TestKnobs:
    @pytest.mark.parametrize("case", cases("lab_map"))
    def test_references(self, case):
        """Rate and squeezing from drives; the other convention is four times faster."""
        half = settings_of(case)
        check(case, gamma=half.collective_rate, r=half.squeezing)
        i = case["inputs"]
        full = RamanSettings(
            i["g"], i["kappa"], i["Om_minus"], i["De_minus"], i["Om_plus"], i["De_plus"], "full"
        )
        assert full.collective_rate == pytest.approx(4 * half.collective_rate)
        assert full.squeezing == pytest.approx(half.squeezing)

    @settings(max_examples=40, deadline=None)
    @given(st.floats(0.0, 6.0), st.floats(1e-3, 1e3), st.sampled_from(["half", "full"]))
    def test_there_and_back(self, r, rate, convention):
        """Settings for a wanted r and gamma_0 give them back."""
        found = raman_settings_for(
            r,
            rate,
            coupling=3.0,
            loss=50.0,
            detuning_minus=-900.0,
            detuning_plus=-1100.0,
            convention=convention,
        )
        assert found.squeezing == pytest.approx(r, rel=1e-8, abs=1e-12)
        assert found.bare_rate == pytest.approx(rate)
        expected = rate / math.cosh(r) ** 2
        assert found.collective_rate == pytest.approx(expected, rel=1e-8)

    def test_ratio_errors(self):
        """r = 2 asks for G_+/G_- = 0.964, and 1 % of it costs 0.14 in r."""
        assert math.tanh(2.0) == pytest.approx(0.964, abs=1e-4)
        assert squeezing_error(2.0, 0.01) == pytest.approx(0.14, abs=5e-3)
        slope = (math.atanh(math.tanh(2.0) * (1 + 1e-6)) - 2.0) / 1e-6
        assert squeezing_error(2.0, 1.0) == pytest.approx(slope, rel=1e-3)

    def test_scattering_and_ratios(self):
        """Off-resonant scattering and the small numbers of the elimination."""
        s = RamanSettings(2.0, 400.0, 10.0, 1000.0, 6.0, 1000.0)
        assert s.scattering_rate(6.0) == pytest.approx(6.0 * (0.005**2 + 0.003**2))
        ratios = s.elimination_ratios(100)
        assert ratios["raman"] == pytest.approx(0.01 / 400)
        assert ratios["excited"] == pytest.approx(0.005)
        assert ratios["collective"] == pytest.approx(100 * s.bare_rate / 400)

    @pytest.mark.slow
    def test_against_the_full_cavity(self):
        """Two atoms and two lossy modes follow the eliminated dynamics to 1e-3."""
        g_minus, r, kappa = 1.0, 0.6, 100.0
        g_plus = g_minus * math.tanh(r)
        gamma = 4 * (g_minus**2 - g_plus**2) / kappa
        qubit, mode = qutip.qeye(2), qutip.qeye(3)
        o1 = qutip.tensor(qutip.sigmam(), qubit, mode, mode)
        o2 = qutip.tensor(qubit, qutip.sigmam(), mode, mode)
        a = qutip.tensor(qubit, qubit, qutip.destroy(3), mode)
        b = qutip.tensor(qubit, qubit, mode, qutip.destroy(3))
        h = a.dag() * (g_minus * o1 + g_plus * o2.dag())
        h += b.dag() * (g_minus * o2 + g_plus * o1.dag())
        start = qutip.tensor(
            qutip.basis(2, 1), qutip.basis(2, 1), qutip.basis(3, 0), qutip.basis(3, 0)
        )
        z = o1.dag() * o1 - 0.5
        x = 0.5 * (o1 + o1.dag() + o2 + o2.dag())
        t = 0.7 / gamma
        jumps = [math.sqrt(kappa) * a, math.sqrt(kappa) * b]
        options = {"nsteps": 100_000, "method": "bdf", "rtol": 1e-8, "atol": 1e-10}
        full = qutip.mesolve(
            h + h.dag(), start, [0, t], c_ops=jumps, e_ops=[z, x * x], options=options
        )
        ours = prepare(1, 1, r, [gamma * t])
        assert full.expect[0][-1] == pytest.approx(ours.z1[0], abs=1e-3)
        assert full.expect[1][-1] == pytest.approx(ours.x_plus_square[0], abs=1e-3)


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: SequentialReadout(21, 1.0, 1.0), "`spin` must not exceed 20.*21"),
            (lambda: SequentialReadout(2, 1.0, 0.0), "`strength` must be above zero"),
            (lambda: SequentialReadout(2, -1.0, 1.0), "`squeezing` must not be negative"),
            (
                lambda: SequentialReadout(2, 1.0, 1.0).distribution(math.nan, 0),
                "`angle_a` must be finite",
            ),
            (lambda: RamanSettings(1, 1, 1, 10, 1, 10), "`rabi_plus` must keep G_. below G_-"),
            (lambda: RamanSettings(1, 1, 1, 10, 0.5, -10), "must have the same sign"),
            (lambda: RamanSettings(0, 1, 1, 10, 0.5, 10), "`coupling` must be above zero"),
            (lambda: RamanSettings(1, 1, 1, 10, 0.5, 10, "third"), "`convention` must be"),
        ],
    )
    def test_bad_input(self, call, message):
        """Each refusal names the argument, the rule and the value."""
        with pytest.raises(ValueError, match=message):
            call()
