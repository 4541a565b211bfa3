"""Shen et al., Fig. 3: couplings of one size, squeezing at finite N and its best value.

(a) xi2 along n_k = p_k in the exact steady state against the curvature K, for N = 10 to 10^4
(lines) and the large-N value K (dashed); crosses, the same for the fractions (0.3, 0.7) instead of
(0.5, 0.5). Dotted: the least eigenvalue of the squeezing matrix where it is another one. Open
circles: N = 50 held for the best finite time. (b) Least xi2 over K against N up to 10^6, with the
large-N expansion and N^(-1/3).
(a) agrees: no dependence on the fractions, K reached above a curvature that falls with N.
Qualified: the rise at small K is slow escape from the well, which a finite hold avoids; where it
passes 1 the least eigenvalue (what the paper plots) belongs to another direction than n_k = p_k.
(b) is not one power law: the local exponent goes from -0.19 at N = 10 to -0.31 at N = 10^6, and a
fit over 10 <= N <= 100 gives -0.22.

    python examples/figures/shen_fig3.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.multi_ensemble_superradiance_preparation import best_hold
from cavitylab.models.multi_ensemble_superradiance_sensing import squeezing_coefficient
from cavitylab.models.multi_ensemble_superradiance_uniform import (
    best_uniform_curvature,
    uniform_dark_state_at_curvature,
    uniform_expansion,
    uniform_squeezing_matrix,
)

ATOMS = (10, 20, 50, 100, 1000, 10_000)
SCALED = tuple(int(round(n)) for n in np.geomspace(10, 1e6, 21))
HELD_ATOMS = 50
HELD = (0.2, 0.3, 0.4, 0.55)


def _scan(atoms: int, curvatures: np.ndarray, fractions: tuple[float, ...]) -> np.ndarray:
    """Two rows: xi2 along n_k = p_k, and the least eigenvalue, of this split."""
    found = []
    for k in curvatures:
        state = uniform_dark_state_at_curvature(atoms, float(k))
        matrix = uniform_squeezing_matrix(state, fractions)
        along = squeezing_coefficient(fractions, fractions, matrix)
        found.append((along, float(np.linalg.eigvalsh(matrix)[0])))
    return np.array(found).reshape(-1, 2).T


def data(
    held_atoms: int = HELD_ATOMS,
    held: tuple[float, ...] = HELD,
    scaled: tuple[int, ...] = SCALED,
) -> dict:
    """Curves of (a) by N, held points, and the optimum of (b) with its local exponent."""
    curvatures = np.geomspace(0.05, 0.999, 120)
    few = curvatures[5::12]
    best = [best_uniform_curvature(n) for n in scaled]
    least = np.array([b.xi2 for b in best])
    # the expansion at the exact best curvature; it holds from 20 atoms on
    expanded = np.array(
        [uniform_expansion(b.atoms, b.curvature).xi2 if b.atoms >= 20 else np.nan for b in best]
    )
    return {
        "K": curvatures,
        "equal": {n: _scan(n, curvatures, (0.5, 0.5)) for n in ATOMS},
        "few": few,
        "unequal": {n: _scan(n, few, (0.3, 0.7)) for n in ATOMS},
        "held_K": np.array(held),
        "held": np.array([best_hold(held_atoms, k).xi2 for k in held]),
        "held_steady": _scan(held_atoms, np.array(held), (1.0,))[0],
        "N": np.array(scaled, dtype=float),
        "best_K": np.array([b.curvature for b in best]),
        "best": least,
        "expanded": expanded,
        "exponent": np.gradient(np.log(least), np.log(scaled)),
    }


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(10.0, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog(found["K"], found["K"], "--", color="k", lw=1.0, label="large N: K")
    for i, n in enumerate(ATOMS):
        colour = f"C{i}"
        along, least = found["equal"][n]
        left.loglog(found["K"], along, color=colour, lw=1.6, label=f"N = {n}")
        apart = least < 0.999 * along
        left.loglog(found["K"][apart], least[apart], ":", color=colour, lw=1.2)
        left.loglog(found["few"], found["unequal"][n][0], "x", color=colour, ms=5)
    left.plot(
        found["held_K"],
        found["held"],
        "o",
        mfc="w",
        color=f"C{ATOMS.index(HELD_ATOMS)}",
        ms=6,
        label=f"N = {HELD_ATOMS}, best hold",
    )
    left.plot([], [], "x", color="0.3", ms=5, label="p = (0.3, 0.7)")
    left.plot([], [], ":", color="0.3", lw=1.2, label="least eigenvalue")
    left.set(xlabel="curvature $K$", ylabel=r"$\xi^2$", xlim=(0.05, 1.0), ylim=(0.05, 60.0))
    left.set_title("(a) exact steady state", fontsize=10)
    left.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    atoms = found["N"]
    right.loglog(atoms, found["best"], "o", color="tab:blue", ms=5, label="exact")
    right.loglog(atoms, found["expanded"], color="tab:blue", lw=1.2, label="expansion in 1/N")
    guide = found["best"][-1] * (atoms / atoms[-1]) ** (-1.0 / 3.0)
    right.loglog(atoms, guide, "--", color="0.5", lw=1.0, label="$N^{-1/3}$ from the last point")
    right.set(xlabel="atoms $N$", ylabel=r"least $\xi^2$ over all $K$")
    right.set_title("(b) best curvature", fontsize=10)
    right.legend(frameon=False, fontsize=9, loc="lower left")
    inset = right.inset_axes((0.6, 0.56, 0.37, 0.34))
    inset.semilogx(atoms, found["exponent"], color="tab:red", lw=1.4)
    inset.axhline(-1.0 / 3.0, color="0.5", ls="--", lw=1.0)
    inset.set_title("local exponent", fontsize=8)
    inset.tick_params(labelsize=7)
    path = folder / "shen_fig3.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
