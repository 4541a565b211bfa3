"""Chu et al., Fig. 7(c): time to prepare the AKLT state, and how well it is met.

Spin-1/2 chains with Delta_e = 0, Delta_b = sqrt(2) chi. Left: time from all atoms down to an
infidelity of 1e-3 with the chain's own steady state, from exact density matrices at the best
chi/Gamma (L = 8 at chi = 1.1 Gamma). Right: fidelity of the steady state with the AKLT state
against the drive, by matrix product states. Agrees: the best chi is near Gamma (0.76 to 0.94 for
L = 4, 1.07 to 1.18 for L = 6) and from 2 chi on the time grows as (Omega/chi)^2. "Roughly
constant with L" is a slow growth: 31, 35 and 40 at Omega = chi for L = 4, 6, 8, and 81, 99 and
115 at 2 chi.

    python examples/figures/chu_fig7.py [folder]
"""

import sys
from functools import reduce
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import sparse
from scipy.linalg import eig, solve
from scipy.optimize import brentq, minimize_scalar

from cavitylab.models.chain import aklt_chain, chain_amplitudes
from cavitylab.models.chain_order import aklt_fidelity

INFIDELITY = 1e-3
RATIOS = {4: (1.0, 1.5, 2.0, 3.0, 4.0), 6: (1.0, 1.5, 2.0, 3.0), 8: (1.0,)}
LONGEST_EXCHANGE = 1.1  # chi/Gamma of L = 8
LENGTHS = (4, 6, 8, 10, 20)
DRIVES = np.geomspace(0.7, 40.0, 40)


def operators(ensembles: int, ratio: float, exchange: float) -> tuple[Any, Any]:
    """Hamiltonian of Chu Eq. 2 for spins 1/2 and the jump sum_l S_l^-, sparse, Gamma = 1."""
    lower = [
        reduce(
            sparse.kron,
            (
                sparse.identity(2**place),
                sparse.csr_matrix([[0.0, 0.0], [1.0, 0.0]]),
                sparse.identity(2 ** (ensembles - place - 1)),
            ),
        ).tocsr()
        for place in range(ensembles)
    ]
    drive = ratio * exchange
    detunings = aklt_chain(exchange, drive).detunings(ensembles)
    half = 0.5 * sparse.identity(2**ensembles)
    hamiltonian = sum(
        0.5 * drive * (one + one.T) + detuning * (one.T @ one - half)
        for one, detuning in zip(lower, detunings, strict=True)
    )
    for place, one in enumerate(lower):
        for before in lower[:place]:
            hamiltonian = hamiltonian + 0.5j * exchange * (before.T @ one - before @ one.T)
    return sparse.csr_matrix(hamiltonian), sparse.csr_matrix(sum(lower))


def time_by_modes(ensembles: int, ratio: float, exchange: float) -> float:
    """Gamma t_ss from all eigenmodes of the Liouvillian: for 4 ensembles."""
    hamiltonian, jump = (part.toarray() for part in operators(ensembles, ratio, exchange))
    drift = -1j * hamiltonian - 0.5 * jump.T @ jump
    one = np.eye(len(drift))
    liouvillian = np.kron(drift, one) + np.kron(one, drift.conj()) + np.kron(jump, jump)
    rates, modes = eig(liouvillian)
    start = np.zeros(len(rates), dtype=complex)
    start[-1] = 1.0  # all down
    psi = chain_amplitudes(aklt_chain(exchange, ratio * exchange), ensembles).ravel()
    weights = (np.outer(psi.conj(), psi).ravel() @ modes) * solve(modes, start)

    def excess(time: float) -> float:
        return 1.0 - float((weights @ np.exp(rates * time)).real) - INFIDELITY

    end = 1.0
    while excess(end) > 0.0:
        end *= 1.5
    return float(brentq(excess, 0.0, end))


def time_by_steps(ensembles: int, ratio: float, exchange: float) -> float:
    """Gamma t_ss by Runge-Kutta steps of the density matrix: for 6 ensembles and more."""
    hamiltonian, jump = operators(ensembles, ratio, exchange)
    drift = (-1j * hamiltonian - 0.5 * jump.T @ jump).tocsr()
    psi = chain_amplitudes(aklt_chain(exchange, ratio * exchange), ensembles).ravel()
    spread = float(np.ptp(np.linalg.eigvalsh(hamiltonian.toarray())))
    decay = 0.5 * ensembles * (0.5 * ensembles + 1.0)
    step = 2.3 / np.hypot(spread, 1.9 * decay)

    def rate(rho: np.ndarray) -> np.ndarray:
        left = drift @ rho
        return left + left.conj().T + jump @ (jump @ rho).conj().T

    rho = np.zeros((psi.size, psi.size), dtype=complex)
    rho[-1, -1] = 1.0
    time, before, after = 0.0, 1.0, 1.0
    while after > INFIDELITY:
        term = rho
        for order in range(1, 5):
            term = (step / order) * rate(term)
            rho = rho + term
        time, before = time + step, after
        after = 1.0 - float((psi.conj() @ rho @ psi).real)
    # the infidelity falls exponentially within a step
    return float(time - step * np.log(INFIDELITY / after) / np.log(before / after))


def times(ratios: dict = RATIOS) -> dict:
    """For each L and Omega/chi: Gamma t_ss at the best chi/Gamma, and that chi/Gamma."""
    found: dict = {}
    for ensembles, row in ratios.items():
        solve_for = time_by_modes if ensembles == 4 else time_by_steps
        for ratio in row:
            if ensembles > 6:
                time = time_by_steps(ensembles, ratio, LONGEST_EXCHANGE)
                found[ensembles, ratio] = (time, LONGEST_EXCHANGE)
                continue
            best: Any = minimize_scalar(
                lambda chi, ratio=ratio, solve_for=solve_for, ensembles=ensembles: solve_for(
                    ensembles, ratio, chi
                ),
                bounds=(0.7, 1.4),
                method="bounded",
                options={"xatol": 0.05},
            )
            found[ensembles, ratio] = (float(best.fun), float(best.x))
    return found


def fidelities(lengths: tuple = LENGTHS, drives: np.ndarray = DRIVES) -> dict:
    """Fidelity of the steady state with the AKLT state for each L, against Omega/chi."""
    found: dict = {"drives": drives}
    for length in lengths:
        found[length] = np.array([aklt_fidelity(aklt_chain(1.0, w), length) for w in drives])
    return found


def data(ratios: dict = RATIOS) -> dict:
    """Both panels."""
    return {"times": times(ratios), "fidelities": fidelities()}


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for length, mark in zip(RATIOS, ("o", "s", "^"), strict=True):
        heights = [found["times"][length, ratio][0] for ratio in RATIOS[length]]
        left.loglog(RATIOS[length], heights, mark, ms=6, mfc="none", mew=1.6, label=f"L = {length}")
    guide = np.array([0.9, 4.5])
    scale = found["times"][4, 4.0][0] / 16.0
    left.loglog(guide, scale * guide**2, "--", color="0.6", lw=1.0, label=r"$(\Omega/\chi)^2$")
    left.set(xlabel=r"$\Omega/\chi$", ylabel=r"$\Gamma t_{\rm ss}$")
    left.set_xticks([], minor=True)
    left.set_xticks([1, 2, 3, 4], labels=["1", "2", "3", "4"])
    left.set_yticks([], minor=True)
    left.set_yticks([20, 50, 100, 200, 400], labels=["20", "50", "100", "200", "400"])
    left.set_title("from all atoms down to an infidelity of 0.001", fontsize=10)
    left.legend(frameon=False, fontsize=9)
    for length in LENGTHS:
        right.semilogx(DRIVES, found["fidelities"][length], lw=1.7, label=f"L = {length}")
    right.set(xlabel=r"$\Omega/\chi$", ylabel="fidelity with the AKLT state", ylim=(0.0, 1.02))
    right.legend(frameon=False, fontsize=9)
    path = folder / "chu_fig7.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
