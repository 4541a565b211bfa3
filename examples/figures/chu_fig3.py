"""Chu et al., Fig. 3(b)-(c): time to the steady state, and the best squeezing with decay.

(b) Gamma t_ss from all atoms down to an infidelity of 1e-3 against S Delta/Omega: S = 30 under a
strong drive (exact for Omega >> S Gamma), S = 5 at the best of five drives (exact), with the
paper's 1/Var and the rigorous bound ln(1000)/(4 Var) for S = 30; Gamma t_ss Var beside it.
(c) Least xi^2 over Delta, Omega and t with single-spin decay gamma = Gamma/C against S C, from
the second-order cumulant expansion; seconds with compiled trajectories, minutes without.

(b) agrees in the law t_ss ~ 1/Var, not in its constant: "Gamma t_ss near 1/Var" would violate
the bound; it is 4 to 8 over Var from S Delta/Omega = 2 on, and up to 12 at 1. The best drive is
1.5 to 3 S Gamma. (The caption's quantum jumps at S = 30 are replaced by the density matrix; its
points at small S Delta/Omega take minutes and are kept as numbers.) (c) agrees: 1/sqrt(SC) at
fixed C, with 2.1 to 2.7 in front for C = 0.1 and 1, and 3.2 to 3.5 for C = 10, where the cumulant
equations relax too slowly (and the search in time goes further). (The text calls this panel 3(d).)

    python examples/figures/chu_fig3.py [folder]
"""

import math
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.cumulants_optimum import cumulant_optimum
from cavitylab.models.relaxation import relaxation_time
from cavitylab.models.relaxation_secular import secular_relaxation_time
from cavitylab.models.two_ensembles import TwoEnsembles, relaxation_time_bound, steady_state

SPIN, SMALL_SPIN = 30.0, 5.0
STRENGTHS = (15.0, 20.0, 40.0)
KEPT = {1.0: 45.2125, 5.0: 3.09893, 10.0: 1.38503}
"""Gamma t_ss of S = 30 where secular_relaxation_time takes 10 s to 10 minutes."""
SMALL_STRENGTHS = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
DRIVES = (0.75, 1.0, 1.5, 2.0, 3.0)
CASES = {
    0.1: (100.0, 300.0, 1000.0, 3000.0, 10000.0),
    1.0: (30.0, 100.0, 300.0, 1000.0, 3000.0),
    10.0: (30.0, 100.0, 300.0, 1000.0),
}


def pair(spin: float, strength: float, drive: float = 2.0) -> TwoEnsembles:
    """Two ensembles with S Delta/Omega = strength and Omega = drive S Gamma, Gamma = 1."""
    return TwoEnsembles(spin, drive * spin, drive * strength)


def strong_drive(spin: float = SPIN, strengths: tuple = STRENGTHS) -> dict:
    """S Delta/Omega -> Gamma t_ss in the limit Omega >> S Gamma."""
    return {one: secular_relaxation_time(pair(spin, one)) for one in strengths}


def best_drive(
    spin: float = SMALL_SPIN, strengths: tuple = SMALL_STRENGTHS, drives: tuple = DRIVES
) -> dict:
    """S Delta/Omega -> (Gamma t_ss, Omega/(S Gamma)) at the best of the drives."""
    return {
        one: min((relaxation_time(pair(spin, one, drive)), drive) for drive in drives)
        for one in strengths
    }


def optima(cases: dict = CASES) -> dict:
    """C -> (S, least xi^2), both arrays."""
    found = {}
    for cooperativity, spins in cases.items():
        # the cumulants creep to their least value late when C is large
        longest = 250.0 if cooperativity > 1.0 else None
        least = [cumulant_optimum(spin, cooperativity, longest=longest).xi2 for spin in spins]
        found[cooperativity] = (np.array(spins), np.array(least))
    return found


def data(strengths: tuple = STRENGTHS, cases: dict = CASES) -> dict:
    """Times of (b) by S Delta/Omega, their guides for S = 30, and the optima of (c)."""
    shown = np.geomspace(0.9, 45.0, 60)
    states = [steady_state(pair(SPIN, one)) for one in shown]
    return {
        "strong drive": dict(sorted({**KEPT, **strong_drive(SPIN, strengths)}.items())),
        "best drive": best_drive(),
        "shown": shown,
        "one over variance": np.array([1.0 / state.variance for state in states]),
        "bound": np.array([relaxation_time_bound(state) for state in states]),
        "optima": optima(cases),
    }


def _draw_times(panel: Any, product: Any, found: dict) -> None:
    small = {one: time for one, (time, _) in found["best drive"].items()}
    for spin, times, mark, label in (
        (SPIN, found["strong drive"], "o", r"S = 30, $\Omega \gg S\Gamma$"),
        (SMALL_SPIN, small, "s", r"S = 5, best $\Omega$"),
    ):
        strengths, heights = np.array(list(times)), np.array(list(times.values()))
        variances = np.array([steady_state(pair(spin, one)).variance for one in strengths])
        panel.loglog(strengths, heights, mark, ms=5, mfc="none", mew=1.4, label=label)
        product.semilogx(strengths, heights * variances, mark, ms=5, mfc="none", mew=1.4)
    panel.loglog(found["shown"], found["one over variance"], "--", color="0.4", label="1/Var")
    panel.loglog(
        found["shown"], found["bound"], color="0.4", lw=1.2, label=r"bound, $\ln(10^3)$/4Var"
    )
    product.axhline(1.0, ls="--", color="0.4")
    product.axhline(0.25 * math.log(1e3), color="0.4", lw=1.2)
    panel.set(xlabel=r"$S\Delta/\Omega$", ylabel=r"$\Gamma t_{\rm ss}$")
    panel.legend(frameon=False, fontsize=9)
    product.set(
        xlabel=r"$S\Delta/\Omega$",
        ylabel=r"$\Gamma t_{\rm ss}\,{\rm Var}(S_1^y+S_2^y)$",
        ylim=(0.0, 13.5),
    )


def main(folder: Path) -> Path:
    """Draw the panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(11.5, 3.9), layout="constrained")
    times, product, right = figure.subplots(1, 3)
    _draw_times(times, product, found)
    for (cooperativity, (spins, least)), mark in zip(found["optima"].items(), "os^", strict=True):
        label = f"C = {cooperativity:g}"
        right.loglog(spins * cooperativity, least, mark, ms=5, mfc="none", mew=1.4, label=label)
    guide = np.array([8.0, 1.3e4])
    right.loglog(guide, 2.6 / np.sqrt(guide), "--", color="0.4", lw=1.2, label=r"$2.6/\sqrt{SC}$")
    right.set(xlabel="S C", ylabel=r"$\xi^2_{\rm opt}$")
    right.legend(frameon=False, fontsize=9)
    path = folder / "chu_fig3.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
