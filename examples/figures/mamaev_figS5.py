"""Mamaev et al., Fig. S5: second-order mean field against the exact state, no local noise.

(a) -<Z_1>/S, (b) <X+^2> and (c) xi^2 against r for 1000 atoms in each ensemble, exact (lines) and
mean field (points); (d) least xi^2 of both against N. Agrees: good for e^{2r} << N, then
<X+^2> settles at 1/2 instead of falling. The least xi^2 of the mean field is 9.90/(N+4), 3.30
times the exact 3/(N+4); the publication says "a factor of 3".

    python examples/figures/mamaev_figS5.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.two_mode_squeezing import two_mode_squeezed_spins
from cavitylab.models.two_mode_squeezing_mean_field import (
    LocalNoise,
    mean_field_optimum,
    mean_field_steady_state,
)

EACH = 1000
ATOMS = (20, 60, 200, 600, 2000, 6000, 20_000)


def data() -> dict:
    """Moments over r from both, and the least xi^2 over N from both."""
    squeezing = np.linspace(0.0, 6.0, 61)
    exact = [two_mode_squeezed_spins(EACH / 2, float(r)) for r in squeezing]
    mean = [mean_field_steady_state(LocalNoise(EACH, EACH, float(r))) for r in squeezing]
    return {
        "squeezing": squeezing,
        "polarisation": (
            np.array([-state.length / EACH for state in exact]),
            np.array([-2.0 * state.z1 / EACH for state in mean]),
        ),
        "variance": (
            np.array([state.squeezed_variance for state in exact]),
            np.array([state.x_plus_square for state in mean]),
        ),
        "xi2": (np.array([s.xi2 for s in exact]), np.array([s.xi2 for s in mean])),
        "atoms": np.array(ATOMS),
        "least": (
            3.0 / (np.array(ATOMS) + 4.0),
            np.array([mean_field_optimum(n // 2, n // 2).xi2 for n in ATOMS]),
        ),
    }


def main(folder: Path) -> Path:
    """Draw the four panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(8.6, 6.4), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    rows = (
        ("polarisation", r"$-\langle Z_i\rangle / S$", "squeezing"),
        ("variance", r"$\langle X_+^2\rangle$", "squeezing"),
        ("xi2", r"$\xi^2$", "squeezing"),
        ("least", r"least $\xi^2$", "atoms"),
    )
    for axes, (name, label, over) in zip(panels, rows, strict=True):
        exact, mean = found[name]
        axes.semilogy(found[over], exact, "k-", lw=1.3, label="exact")
        axes.semilogy(found[over], mean, "o", color="tab:red", ms=3, label="mean field")
        axes.set(xlabel="r" if over == "squeezing" else "N", ylabel=label)
    panels[1].axhline(0.5, color="0.6", lw=0.8, ls=":")
    panels[2].set_ylim(1e-3, 1.3)
    panels[3].set_xscale("log")
    panels[0].legend(frameon=False, fontsize=9)
    path = folder / "mamaev_figS5.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
