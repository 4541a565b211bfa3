"""The peers of benchmarks/models.py: each computation written for plain QuTiP, or for scipy.

One computation a process, so that each can be given a limit of time and memory:

    python benchmarks/models_peers.py NAME

prints one line of JSON: {"seconds": median of up to three, "values": [numbers]}. Importing
and building operators is not timed, the solver is.
"""

from __future__ import annotations

import json
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is fixed)
import qutip  # noqa: E402
import qutip.piqs as piqs  # noqa: E402
from scipy.integrate import solve_ivp  # noqa: E402
from scipy.optimize import brentq  # noqa: E402
from scipy.sparse.linalg import eigsh  # noqa: E402

MEMORY = 8 * 2**30
ACCURATE = {"atol": 1e-10, "rtol": 1e-8, "nsteps": 10_000_000, "progress_bar": ""}
LOOSE = {"nsteps": 10_000_000, "progress_bar": ""}  # QuTiP's own tolerances, 1e-8 and 1e-6
TUNED = {"norm_tol": 1e-2, "norm_t_tol": 1e-10, "norm_steps": 200, "atol": 1e-10, "rtol": 1e-8}

Numbers = list[float]
Solve = Callable[[], Numbers]


class Pair:
    """Two ensembles in the product basis (Chu Eq. 2)."""

    def __init__(self, spin: float, drive: float, detuning: float) -> None:
        d = round(2 * spin) + 1
        one = qutip.qeye(d)
        self.s = {
            axis: (
                qutip.tensor(qutip.jmat(spin, axis), one),
                qutip.tensor(one, qutip.jmat(spin, axis)),
            )
            for axis in "xyz-"
        }
        z1, z2 = self.s["z"]
        self.hamiltonian = drive * sum(self.s["x"]) + 0.5 * detuning * (z1 - z2)
        self.jump = sum(self.s["-"])
        self.length = self.s["x"][0] - self.s["x"][1]
        self.total_y = sum(self.s["y"])
        self.down = qutip.tensor(qutip.basis(d, d - 1), qutip.basis(d, d - 1))

    def dark(self) -> qutip.Qobj:
        """The pure state with H psi = 0 and J- psi = 0."""
        both = self.hamiltonian.dag() * self.hamiltonian + self.jump.dag() * self.jump
        matrix = both.to("csr").data_as("csr_matrix").tocsc()
        _, vectors = eigsh(matrix, k=1, sigma=-1e-6)
        return qutip.Qobj(vectors[:, 0], dims=self.down.dims)


def steady(spin: float, drive: float, detuning: float) -> Solve:
    """<S1x - S2x> and Var(S1y + S2y) from the null vector of the Liouvillian."""
    pair = Pair(spin, drive, detuning)

    def solve() -> Numbers:
        rho = qutip.steadystate(qutip.liouvillian(pair.hamiltonian, [pair.jump]), method="direct")
        mean = qutip.expect(pair.total_y, rho)
        return [qutip.expect(pair.length, rho), qutip.expect(pair.total_y**2, rho) - mean**2]

    return solve


def relaxation(spin: float, drive: float, detuning: float, stop: float) -> Solve:
    """t_ss at 1 - F = 1e-3 from mesolve, all atoms down at first."""
    pair = Pair(spin, drive, detuning)
    target = qutip.ket2dm(pair.dark())

    def solve() -> Numbers:
        times = np.linspace(0.0, stop, 201)
        found = qutip.mesolve(
            pair.hamiltonian, pair.down, times, [pair.jump], e_ops=[target], options=ACCURATE
        )
        # ln(1 - F) is smooth near the crossing
        logs = np.log(np.clip(1.0 - np.real(found.expect[0]), 1e-15, None)) - math.log(1e-3)
        near = int(np.argmax(logs < 0.0))
        span = slice(near - 4, near + 4)
        centre = times[near]
        curve = np.polynomial.Polynomial.fit(times[span] - centre, logs[span], 7)
        return [centre + brentq(curve, times[near - 1] - centre, 0.0)]

    return solve


def single_runs(spin: float, drive: float, detuning: float, time_: float, runs: int) -> Solve:
    """Seconds are per run; values: mean of <S1x - S2x> and its standard error."""
    pair = Pair(spin, drive, detuning)

    def solve() -> Numbers:
        found = qutip.mcsolve(
            pair.hamiltonian,
            pair.down,
            [0.0, 0.5 * time_, time_],
            [pair.jump],
            e_ops=[pair.length],
            ntraj=runs,
            seeds=11,
            options={**TUNED, "nsteps": 10_000_000, "keep_runs_results": True, "progress_bar": ""},
        )
        ends = np.array([run[1] for run in found.runs_expect[0]]).real
        return [float(ends.mean()), float(ends.std(ddof=1) / math.sqrt(runs))]

    return solve


def hysteresis(atoms: int, rate: float) -> Solve:
    """Crossings of <Jz> = 0 in both directions, mesolve with a pump that moves in time."""
    lower = qutip.jmat(atoms / 2, "-")
    jz = qutip.jmat(atoms / 2, "z")
    reach = min(max(15.0, 8.0 * math.sqrt(rate)), 0.5 * atoms)

    def crossing(direction: int) -> float:
        def pump(t: float) -> float:
            return 1.0 + 2.0 * direction * (rate * t - reach) / atoms

        start = pump(0.0)
        levels = start ** np.arange(atoms, -1, -1.0)  # the first basis state is m = +J
        rho = qutip.qdiags(levels / levels.sum(), 0)
        # a jump operator A with rate w: D[sqrt(w) A]
        grow = qutip.QobjEvo([lower.dag(), lambda t: math.sqrt(max(pump(t), 0.0))])
        times = np.linspace(0.0, 2.0 * reach / rate, 801)
        options = {**ACCURATE, "method": "bdf"}
        mean = qutip.mesolve(0 * jz, rho, times, [lower, grow], e_ops=[jz], options=options)
        values = direction * np.real(mean.expect[0])
        k = int(np.argmax(values > 0.0))
        curve = np.polynomial.Polynomial.fit(times[k - 4 : k + 4], values[k - 4 : k + 4], 7)
        return direction * (rate * brentq(curve, times[k - 1], times[k]) - reach)

    return lambda: [crossing(1), crossing(-1)]


def squeezed(atoms: int, squeezing: float, detuning: float) -> Solve:
    """<Sz> and the smallest variance in the x-y plane (Bai Eq. 7, no loss)."""
    j = atoms / 2
    down, z = qutip.jmat(j, "-"), qutip.jmat(j, "z")
    jump = math.cosh(squeezing) * down - math.sinh(squeezing) * down.dag()

    def solve() -> Numbers:
        rho = qutip.steadystate(detuning * z, [jump], method="direct")
        planar = j * (j + 1) - qutip.expect(z * z, rho)
        pair = complex((rho * down * down).tr())
        return [qutip.expect(z, rho), 0.5 * (planar - abs(pair))]

    return solve


def two_mode(spin: float, squeezing: float, times: list[float]) -> Solve:
    """<X+^2> and <Z1 + Z2> on the way from all atoms down (Mamaev Eq. 10)."""
    pair = Pair(spin, 1.0, 0.0)
    o1, o2 = pair.s["-"]
    c, s = math.cosh(squeezing), math.sinh(squeezing)
    jumps = [c * o1 + s * o2.dag(), c * o2 + s * o1.dag()]
    x = sum(pair.s["x"])
    z = 0.5 * sum(o.dag() * o - o * o.dag() for o in (o1, o2))

    def solve() -> Numbers:
        found = qutip.mesolve(
            0 * x, pair.down, [0.0, *times], jumps, e_ops=[x * x, z], options=ACCURATE
        )
        return [float(v) for row in found.expect for v in np.real(row[1:])]

    return solve


def cumulants(
    spin: float, drive: float, detuning: float, single: float, times: list[float]
) -> Solve:
    """27 moments by scipy's Runge-Kutta pair over the equations written on arrays."""
    from cavitylab.models.cumulants import DecayingEnsembles, all_down, moment_rates

    pair = DecayingEnsembles(spin, drive, detuning, single)

    def solve() -> Numbers:
        found = solve_ivp(
            lambda t, y: moment_rates(y, pair),
            (0.0, times[-1]),
            all_down(),
            t_eval=times,
            rtol=1e-8,
            atol=1e-10,
        )
        return [float(v) for v in np.concatenate([found.y[0], found.y[2]])]

    return solve


def local(atoms: int, drive: float, rates: dict[str, float], times: list[float]) -> Solve:
    """<Jz> and <J+ J-> of one ensemble by PIQS and mesolve, all atoms down at first."""
    x, _, z = piqs.jspin(atoms)
    number = piqs.jspin(atoms, "+") * piqs.jspin(atoms, "-")
    liouvillian = piqs.Dicke(
        atoms,
        hamiltonian=drive * x,
        emission=rates["decay"],
        pumping=rates["pumping"],
        dephasing=4.0 * rates["dephasing"],  # PIQS: of sigma_z / 2
        collective_emission=rates["collective_decay"],
    ).liouvillian()
    start = piqs.ground(atoms)

    def solve() -> Numbers:
        found = qutip.mesolve(
            liouvillian, start, [0.0, *times], [], e_ops=[z, number], options=LOOSE
        )
        return [float(v) for row in found.expect for v in np.real(row[1:])]

    return solve


def one_shot(spin: float, ratio: float, phase: float, common: float) -> Solve:
    """One shot: imprint, pulse and projection of the state vector; values: its outcome table."""
    pair = Pair(spin, 1.0, ratio)
    dark = pair.dark()
    z1, z2 = pair.s["z"]
    rng = np.random.default_rng(3)

    def solve() -> Numbers:
        imprint = (-1j * (phase * (z1 - z2) + common * (z1 + z2))).expm()
        pulse = (-0.5j * math.pi * sum(pair.s["x"])).expm()
        after = (pulse * imprint * dark).full().ravel()
        table = np.abs(after) ** 2
        rng.choice(table.size, p=table / table.sum())
        d = round(2 * spin) + 1
        return [float(v) for v in table.reshape(d, d)[::-1, ::-1].ravel()]

    return solve


def uniform(atoms: int, curvature: float) -> Solve:
    """<Sy>, <Sz> and Var Sx of N equivalent atoms (Shen Eq. 7) from the null vector."""
    x, y, z, down = (qutip.jmat(atoms / 2, axis) for axis in "xyz-")
    drive = 0.5 * atoms * math.sqrt(1.0 - curvature**2)

    def solve() -> Numbers:
        rho = qutip.steadystate(drive * x, [down], method="direct")
        return [qutip.expect(y, rho), qutip.expect(z, rho), qutip.expect(x * x, rho)]

    return solve


KINDS: dict[str, Callable[..., Solve]] = {
    "steady": steady,
    "relaxation": relaxation,
    "single_runs": single_runs,
    "hysteresis": hysteresis,
    "squeezed": squeezed,
    "two_mode": two_mode,
    "cumulants": cumulants,
    "local": local,
    "one_shot": one_shot,
    "uniform": uniform,
}


def main() -> None:
    """Run the computation named by the first argument on the JSON list of the second."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    solve = KINDS[sys.argv[1]](*json.loads(sys.argv[2]))
    taken: list[float] = []
    values: Numbers = []
    while len(taken) < 3 and sum(taken) < 4.0:
        begun = time.perf_counter()
        values = solve()
        taken.append(time.perf_counter() - begun)
    print(json.dumps({"seconds": statistics.median(taken), "values": values}))


if __name__ == "__main__":
    main()
