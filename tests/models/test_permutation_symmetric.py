"""One ensemble with single-atom processes: beside PIQS, single atoms and known limits."""

import math

import numpy as np
import pytest
from qutip import piqs
from scipy import sparse
from scipy.linalg import expm
from scipy.sparse.linalg import expm_multiply

from cavitylab.models import (
    ALL_UP,
    CoherentStart,
    DickeStart,
    SymmetricEnsemble,
    symmetric_evolution,
    symmetric_steady_state,
)

EVERYTHING = {
    "rabi_frequency": 1.3,
    "detuning": 0.4,
    "exchange": 0.3,
    "collective_decay": 0.7,
    "collective_pumping": 0.2,
    "decay": 0.5,
    "pumping": 0.35,
    "dephasing": 0.25,
}


def check(found, operators, rho, atol):
    """First and second moments and <J+ J-> of `found` are those of a density matrix."""
    first = [np.trace(a @ rho).real for a in operators]
    second = [[0.5 * np.trace((a @ b + b @ a) @ rho).real for b in operators] for a in operators]
    np.testing.assert_allclose(found.spin[0], first, atol=atol)
    np.testing.assert_allclose(found.second[0], second, atol=atol)
    emission = second[0][0] + second[1][1] + first[2]
    np.testing.assert_allclose(found.emission[0], emission, atol=atol)


def on_atom(operator, atom, atoms):
    """One-atom operator in the space of all atoms."""
    left, right = sparse.identity(2**atom), sparse.identity(2 ** (atoms - atom - 1))
    return sparse.csr_array(sparse.kron(sparse.kron(left, operator), right))


def atom_by_atom(p, polar, azimuth, time):
    """Spin operators and the density matrix of 2^N dimensions after a time."""
    n, size = p.atoms, 2**p.atoms
    lower, z = np.array([[0.0, 0.0], [1.0, 0.0]]), np.diag([1.0, -1.0])
    lowers = [on_atom(lower, k, n) for k in range(n)]
    flips = [on_atom(z, k, n) for k in range(n)]
    down, jz = sum(lowers), 0.5 * sum(flips)
    up = down.T
    h = 0.5 * p.rabi_frequency * (up + down) + p.detuning * jz + p.exchange * (up @ down)
    jumps = [(p.collective_decay, down), (p.collective_pumping, up)]
    for one, flip in zip(lowers, flips, strict=True):
        jumps += [(p.decay, one), (p.pumping, one.T), (p.dephasing, flip)]
    eye = sparse.identity(size)
    # rows after one another: A rho B is kron(A, B^T); every jump is real
    generator = -1j * (sparse.kron(h, eye) - sparse.kron(eye, h.T))
    for rate, jump in jumps:
        number = jump.T @ jump
        lost = sparse.kron(number, eye) + sparse.kron(eye, number.T)
        generator = generator + rate * (sparse.kron(jump, jump) - 0.5 * lost)
    atom = np.array([math.cos(0.5 * polar), np.exp(1j * azimuth) * math.sin(0.5 * polar)])
    state = np.ones(1)
    for _ in range(n):
        state = np.kron(state, atom)
    start = np.outer(state, state.conj()).ravel()
    rho = expm_multiply(time * sparse.csr_array(generator), start).reshape(size, size)
    x, y = 0.5 * (up + down).toarray(), -0.5j * (up - down).toarray()
    return (x, y, jz.toarray()), rho


class TestAtomByAtom:
    @pytest.mark.parametrize("atoms", [1, 2, 3])
    @pytest.mark.parametrize("alone", [None, *EVERYTHING])
    def test_each_process(self, atoms, alone):
        """All processes together, and each one on its own, to 1e-8 in 2^N dimensions."""
        p = SymmetricEnsemble(
            atoms, **(EVERYTHING if alone is None else {alone: EVERYTHING[alone]})
        )
        operators, rho = atom_by_atom(p, 0.8, 0.5, 0.7)
        check(symmetric_evolution(p, [0.7], CoherentStart(0.8, 0.5)), operators, rho, 1e-8)

    @pytest.mark.parametrize("drop", [(), ("rabi_frequency",), ("detuning", "exchange")])
    @pytest.mark.parametrize("polar", [0.0, math.pi])
    def test_sectors(self, drop, polar):
        """Five atoms: with and without drive, real and complex, from above and from below."""
        rates = {name: 0.0 if name in drop else value for name, value in EVERYTHING.items()}
        p = SymmetricEnsemble(5, **rates)
        operators, rho = atom_by_atom(p, polar, 0.0, 0.9)
        check(symmetric_evolution(p, [0.9], CoherentStart(polar)), operators, rho, 1e-8)

    def test_six_atoms(self):
        """Six atoms, all processes."""
        p = SymmetricEnsemble(6, **EVERYTHING)
        operators, rho = atom_by_atom(p, 1.9, -2.0, 0.5)
        check(symmetric_evolution(p, [0.5], CoherentStart(1.9, -2.0)), operators, rho, 1e-8)


class TestAgainstPiqs:
    """qutip.piqs, whose dephasing rate is four times ours.

    It keeps the elements of its Liouvillian in single precision: its own trace drifts by up
    to 1e-7 here, and that is how far the two agree.
    """

    @pytest.mark.parametrize("atoms", [2, 5, 6])
    @pytest.mark.parametrize("below", [0, 1])
    def test_from_dicke_states(self, atoms, below):
        """All processes, from |N/2, N/2> and the state below it."""
        p = SymmetricEnsemble(atoms, **EVERYTHING)
        operators = piqs.jspin(atoms)
        up, down = piqs.jspin(atoms, "+"), piqs.jspin(atoms, "-")
        liouvillian = piqs.Dicke(
            atoms,
            hamiltonian=p.rabi_frequency * operators[0]
            + p.detuning * operators[2]
            + p.exchange * up * down,
            emission=p.decay,
            pumping=p.pumping,
            dephasing=4.0 * p.dephasing,
            collective_emission=p.collective_decay,
            collective_pumping=p.collective_pumping,
        ).liouvillian()
        m = 0.5 * atoms - below
        start = piqs.dicke(atoms, 0.5 * atoms, m).full()
        matrix = sparse.csr_array(liouvillian.to("csr").data_as("csr_matrix"))
        columns = expm_multiply(0.6 * matrix, start.ravel(order="F"))
        rho = columns.reshape(start.shape, order="F")
        found = symmetric_evolution(p, [0.6], DickeStart(m))
        check(found, [operator.full() for operator in operators], rho, 1e-6)


class TestLimits:
    def test_independent_atoms(self):
        """Without collective jumps every atom follows its Bloch equations (exponential)."""
        p = SymmetricEnsemble(30, 1.2, 0.7, decay=0.4, pumping=0.1, dephasing=0.15)
        t2, t1 = 2.0 * 0.15 + 0.5 * (0.4 + 0.1), 0.4 + 0.1
        bloch = np.array(
            [[-t2, -0.7, 0, 0], [0.7, -t2, -1.2, 0], [0, 1.2, -t1, 0.1 - 0.4], [0, 0, 0, 0]]
        )
        times = [0.3, 2.0]
        found = symmetric_evolution(p, times, CoherentStart(1.1, 0.4))
        tilted = math.sin(1.1)
        start = [tilted * math.cos(0.4), tilted * math.sin(0.4), math.cos(1.1), 1.0]
        for place, time in enumerate(times):
            s = (expm(time * bloch) @ start)[:3]
            np.testing.assert_allclose(found.spin[place], 15.0 * s, atol=1e-8)
            covariance = 7.5 * (np.eye(3) - np.outer(s, s))  # atoms stay uncorrelated
            np.testing.assert_allclose(found.covariance[place], covariance, atol=1e-7)

    def test_dephasing(self):
        """A coherence of one atom decays at 2 gamma_z, a pair's at 4 gamma_z (Mamaev S59)."""
        p = SymmetricEnsemble(12, dephasing=0.3)
        found = symmetric_evolution(p, [0.5], CoherentStart(0.5 * math.pi, 0.0))
        single = math.exp(-2.0 * 0.3 * 0.5)
        assert found.spin[0, 0] == pytest.approx(6.0 * single, abs=1e-9)
        pairs = 12 * 11 / 4.0
        assert found.second[0, 0, 0] == pytest.approx(3.0 + pairs * single**2, abs=1e-9)

    def test_collective_decay_keeps_the_spin(self):
        """Collective processes alone leave <J^2> alone and end in the dark state."""
        p = SymmetricEnsemble(20, collective_decay=1.0)
        found = symmetric_evolution(p, [0.05, 0.3, 30.0], ALL_UP)
        np.testing.assert_allclose(found.total_square, 110.0, rtol=1e-9)
        assert found.spin_z[-1] == pytest.approx(-10.0, abs=1e-8)
        assert found.purity[-1] == pytest.approx(1.0, abs=1e-8)

    def test_energy_balance(self):
        """d<Jz>/dt = -Gamma <J+ J-> - gamma_- (N/2 + <Jz>), here integrated."""
        p = SymmetricEnsemble(24, collective_decay=0.5, decay=1.0)
        times = np.linspace(0.0, 0.4, 801)
        found = symmetric_evolution(p, times, ALL_UP)
        lost = 0.5 * found.emission + (12.0 + found.spin_z)
        change = np.trapezoid(lost, times)
        assert found.spin_z[0] - found.spin_z[-1] == pytest.approx(change, rel=1e-5)

    def test_coherent_states_are_not_squeezed(self):
        """Wineland's parameter of a coherent state is 1, wherever it points."""
        for angles in [(0.0, 0.0), (0.9, 2.0), (math.pi / 2, math.pi / 2)]:
            found = symmetric_evolution(SymmetricEnsemble(15), [0.0], CoherentStart(*angles))
            assert found.xi2[0] == pytest.approx(1.0, abs=1e-9)
            assert found.purity[0] == pytest.approx(1.0, abs=1e-9)

    def test_no_mean_spin_is_no_squeezing(self):
        """A Dicke state at the equator has no mean spin: the parameter is infinite."""
        found = symmetric_evolution(SymmetricEnsemble(6), [0.0], DickeStart(0.0))
        assert math.isinf(found.xi2[0])


class TestSteadyState:
    @pytest.mark.parametrize("drop", [(), ("rabi_frequency",), ("detuning", "exchange")])
    def test_end_of_a_long_evolution(self, drop):
        """The null vector is where every start ends."""
        rates = {name: 0.0 if name in drop else value for name, value in EVERYTHING.items()}
        p = SymmetricEnsemble(9, **rates)
        steady, late = symmetric_steady_state(p), symmetric_evolution(p, [60.0], ALL_UP)
        np.testing.assert_allclose(steady.second, late.second, atol=1e-8)
        np.testing.assert_allclose(steady.spin, late.spin, atol=1e-8)
        assert math.isinf(steady.times[0])

    def test_dephasing_and_drive_mix_completely(self):
        """Dephasing with a drive ends in the identity: <Ja^2> = N/4."""
        found = symmetric_steady_state(SymmetricEnsemble(8, 1.0, dephasing=0.2))
        np.testing.assert_allclose(found.second[0], 2.0 * np.eye(3), atol=1e-10)
        assert found.purity[0] == pytest.approx(2.0**-8)

    def test_driven_decay_squeezes(self):
        """Below the collective threshold the driven steady state is squeezed, above it is not."""
        below = SymmetricEnsemble(20, 6.0, collective_decay=1.0, decay=1.0)
        above = SymmetricEnsemble(20, 30.0, collective_decay=1.0, decay=1.0)
        assert symmetric_steady_state(below).xi2[0] < 0.9
        assert symmetric_steady_state(above).xi2[0] > 1.0

    def test_hundred_atoms_without_drive(self):
        """Populations alone are few: N = 100 pumped against collective decay."""
        p = SymmetricEnsemble(100, collective_decay=1.0, pumping=50.0)
        found = symmetric_steady_state(p)
        gained = 50.0 * (50.0 - found.spin_z[0])
        assert found.emission[0] == pytest.approx(gained, rel=1e-9)


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"atoms": 0}, "atoms"),
            ({"detuning": math.nan}, "detuning"),
            ({"decay": -0.1}, "decay"),
            ({"collective_pumping": math.inf}, "collective_pumping"),
        ],
    )
    def test_parameters(self, change, named):
        """Values outside the rules are refused by name."""
        with pytest.raises(ValueError, match=named):
            SymmetricEnsemble(**{"atoms": 3, **change})

    def test_starts_and_times(self):
        """An m that the atoms do not have, angles that are none, and falling times."""
        p = SymmetricEnsemble(3, decay=1.0)
        with pytest.raises(ValueError, match="projection.*-1.5.*1.5.*is 1.0"):
            symmetric_evolution(p, [1.0], DickeStart(1.0))
        with pytest.raises(ValueError, match="polar"):
            CoherentStart(math.inf)
        with pytest.raises(ValueError, match="times.*rise"):
            symmetric_evolution(p, [1.0, 0.5])

    def test_sizes(self):
        """Too many atoms, with the way out."""
        with pytest.raises(ValueError, match="atoms.*120.*is 121"):
            symmetric_evolution(SymmetricEnsemble(121, 1.0), [1.0])
        with pytest.raises(ValueError, match="atoms.*60.*symmetric_evolution"):
            symmetric_steady_state(SymmetricEnsemble(61, 1.0, decay=1.0))

    def test_steady_states_that_depend_on_the_start(self):
        """Collective jumps alone, or dephasing alone, conserve something."""
        for rates in ({"collective_decay": 1.0}, {"dephasing": 1.0, "detuning": 1.0}):
            with pytest.raises(ValueError, match="depends on the start"):
                symmetric_steady_state(SymmetricEnsemble(4, **rates))
