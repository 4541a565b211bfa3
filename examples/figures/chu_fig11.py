"""Chu et al., Fig. 11: the dissipative gap of two ensembles, exact and perturbative.

(a) S = 5 against S Delta/Omega, in the limit Omega >> S Gamma, where the Liouvillian falls into
blocks of coherences by their frequency: the perturbative gap of Eq. F11 (line), the exact gap
of the populations (circles: states of equal spin along the turned drive) and of the coherences
that rotate once per Rabi period (squares); the gap is the lower of the two. (b) The perturbative
gap to S = 10^4, divided by (2S+1)^2 below.

(a) agrees for the populations: 0.8 % off at S Delta/Omega = 1, 9 % at 3, a factor 2 at 10. From
about 2.5 on, however, the slowest mode is a coherence and the gap itself lies lower (1/1.32 of
the perturbative one at 3). The fidelity with the steady state hardly sees it under a strong
drive. (b) agrees with a qualification: S^2 holds up to a slow logarithm, the constant falls from
0.23 at S = 5 to 0.18 at 10^4.

    python examples/figures/chu_fig11.py [folder]
"""

import math
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import sparse
from scipy.linalg import eigvals

from cavitylab.models.dissipative_gap import perturbative_gap
from cavitylab.models.spins import ladder_elements, magnetic_numbers
from cavitylab.models.two_ensembles import TwoEnsembles

SPIN = 5.0
STRENGTHS = np.geomspace(0.2, 10.0, 14)
SPINS = np.unique(np.round(np.geomspace(1.0, 1e4, 25)))


def exact_gap(spin: float, ratio: float, order: int) -> float:
    """Slowest decay rate of the coherences between spins m and m + order, Omega >> S Gamma.

    The spins count along the turned drive. In units of Gamma; `order` 0 are the populations,
    with the steady state's zero left out.
    """
    numbers = magnetic_numbers(spin)
    raising = sparse.diags_array(ladder_elements(spin), offsets=1)
    one = sparse.eye_array(numbers.size)
    first, second = sparse.kron(raising, one), sparse.kron(one, raising)
    sine = math.sin(math.atan(0.5 * ratio))
    up = (0.5 * (1.0 + sine) * first + 0.5 * (1.0 - sine) * second).tocsr()
    down = (0.5 * (1.0 - sine) * first + 0.5 * (1.0 + sine) * second).T.tocsr()
    losses = 0.5 * (up.T @ up + down.T @ down)
    total = np.add.outer(numbers, numbers).ravel()
    whole = sparse.eye_array(total.size)
    liouvillian: Any = sparse.kron(up, up) + sparse.kron(down, down)
    liouvillian = (liouvillian - sparse.kron(losses, whole) - sparse.kron(whole, losses)).tocsr()
    kept = np.flatnonzero(np.rint(np.subtract.outer(total, total).ravel()) == order)
    rates = -eigvals(liouvillian[kept][:, kept].toarray()).real
    # the part of the jump along the drive only blurs the phase between different m
    rates = np.sort(rates) + 0.5 * (1.0 - sine**2) * order**2
    return float(rates[1] if order == 0 else rates[0])


def data(spin: float = SPIN, strengths: np.ndarray = STRENGTHS, spins: np.ndarray = SPINS) -> dict:
    """Gaps in units of Gamma: (a) against S Delta/Omega, (b) against S over sin^2(theta)."""
    pairs = [TwoEnsembles(spin, 1.0, strength / spin) for strength in strengths]
    ratio = 2.0  # sin^2(theta) = 1/2
    return {
        "strengths": strengths,
        "perturbative": np.array([perturbative_gap(pair) for pair in pairs]),
        "populations": np.array([exact_gap(spin, pair.detuning_ratio, 0) for pair in pairs]),
        "coherences": np.array([exact_gap(spin, pair.detuning_ratio, 1) for pair in pairs]),
        "spins": spins,
        "scaled": np.array([2.0 * perturbative_gap(TwoEnsembles(s, 1.0, ratio)) for s in spins]),
    }


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    halves: Any = figure.subfigures(1, 2)
    left, column = halves
    panel = left.subplots()
    strengths = found["strengths"]
    panel.loglog(strengths, found["perturbative"], color="0.4", lw=1.4, label="perturbative, F11")
    panel.loglog(strengths, found["populations"], "o", ms=5, mfc="none", label="exact, populations")
    panel.loglog(strengths, found["coherences"], "s", ms=4, mfc="none", label="exact, coherences")
    panel.set(xlabel=r"$S\Delta/\Omega$", ylabel=r"$E_{\rm gap}/\Gamma$")
    panel.set_title(rf"S = {SPIN:g}, $\Omega \gg S\Gamma$", fontsize=10)
    panel.legend(frameon=False, fontsize=9)
    upper, lower = column.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    spins = found["spins"]
    upper.loglog(spins, found["scaled"], "o", ms=4, mfc="none", label="perturbative")
    upper.loglog(spins, 0.2 * (2.0 * spins + 1.0) ** 2, "--", color="0.5", lw=1.1)
    upper.text(200.0, 3e3, "$0.2\\,(2S+1)^2$", color="0.4", fontsize=9)
    upper.set_ylabel(r"$E_{\rm gap}/\Gamma\sin^2\theta$")
    upper.legend(frameon=False, fontsize=9)
    lower.semilogx(spins, found["scaled"] / (2.0 * spins + 1.0) ** 2, "o", ms=4, mfc="none")
    lower.set(xlabel="spin of each ensemble S", ylabel=r"over $(2S+1)^2$")
    path = folder / "chu_fig11.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
