"""Shen et al., Fig. 4: what unequal couplings cost, two ensembles, n = (1/2, 1/2).

(a) xi2 of couplings of one size, K, over xi2 along n, for eta = (1, r) and p = (1/2, 1/2), large N;
open squares, the exact master equation with N = 1000, r = 0.7, at 10/kappa_r after the pulse. (b)
N Var(n.phi)/K when the fractions are chosen for the least variance instead.
(a) agrees: below one, falling with imbalance and towards small K; below some K even xi2 itself
rises again. Qualified: the state is a long-lived plateau, not the steady state. And with better
fractions mildly unequal couplings (r = 0.7 to 0.95) beat the uniform ones at equal K below about
0.4, by up to 5 % ((b) below one), so "uniform coupling remains globally optimal" holds at equal
xi2, not at equal curvature.

    python examples/figures/shen_fig4.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.multi_ensemble_superradiance import CoupledEnsembles, operating_point
from cavitylab.models.multi_ensemble_superradiance_exact import evolve_exact
from cavitylab.models.multi_ensemble_superradiance_sensing import (
    best_fractions,
    sensing_figures,
    squeezing_coefficient,
)

RATIOS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
DIRECTION = (0.5, 0.5)
EQUAL = (0.5, 0.5)
EXACT_RATIO = 0.7
EXACT = (0.65, 0.75, 0.9)


def _exact(curvature: float, atoms: int = 1000, levels: int = 10) -> float:
    """K/xi2 from the master equation in ladders of a few excitations."""
    ensembles = CoupledEnsembles(EQUAL, (1.0, EXACT_RATIO), atoms)
    point = operating_point(ensembles, curvature)
    (moments,) = evolve_exact(
        ensembles,
        point.theta,
        [10.0 / point.relaxation_rate],
        levels=[levels, levels],
        leakage_limit=1e-4,
    )
    return curvature / squeezing_coefficient(DIRECTION, EQUAL, moments.squeezing_matrix)


def data(points: int = 40, exact: tuple[float, ...] = EXACT) -> dict:
    """Ratios K/xi2 and the least N Var/K against K for each coupling ratio; exact points."""
    curvatures = np.linspace(0.01, 1.0, 200)
    few = np.linspace(0.03, 1.0, points)
    ratio, variance, fraction = {}, {}, {}
    for r in RATIOS:
        ensembles = CoupledEnsembles(EQUAL, (1.0, r), 1000)
        ratio[r] = np.array([k / sensing_figures(ensembles, k, DIRECTION).mssc for k in curvatures])
        best = [best_fractions((1.0, r), DIRECTION, k) for k in few]
        variance[r] = np.array([b.variance_per_atom for b in best]) / few
        fraction[r] = np.array([b.fractions[0] for b in best])
    return {
        "K": curvatures,
        "ratio": ratio,
        "few": few,
        "variance": variance,
        "fraction": fraction,
        "exact_K": np.array(exact),
        "exact": np.array([_exact(k) for k in exact]),
    }


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, r in enumerate(RATIOS):
        left.plot(found["K"], found["ratio"][r], color=f"C{i}", lw=1.7, label=f"r = {r:g}")
        right.plot(found["few"], found["variance"][r], color=f"C{i}", lw=1.7, label=f"r = {r:g}")
    left.plot(
        found["exact_K"],
        found["exact"],
        "s",
        mfc="w",
        ms=6,
        color=f"C{RATIOS.index(EXACT_RATIO)}",
        label=f"exact, N = 1000, r = {EXACT_RATIO:g}",
    )
    left.set(xlabel="curvature $K$", ylabel=r"$K/\xi^2$", xlim=(0.0, 1.0), ylim=(0.0, 1.05))
    left.set_title(r"(a) equal fractions, $\eta = (1, r)$", fontsize=10)
    left.legend(frameon=False, fontsize=9, loc="lower right")
    right.set(xlabel="curvature $K$", ylabel=r"least $N\,\mathrm{Var}(n\cdot\phi)/K$")
    right.set(xlim=(0.0, 1.0), ylim=(0.94, 1.19))
    right.set_title("(b) best fractions; below 1 they beat uniform coupling", fontsize=10)
    right.legend(frameon=False, fontsize=9, loc="upper center", ncols=3)
    path = folder / "shen_fig4.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
