"""Mamaev et al., Fig. S6: squeezing that dephasing takes away only slowly.

Second-order mean field, xi^2 against time from all atoms down for r = 0.2, gamma_z = 0.001
gamma and N = 20, 200, 2000. After a time of order 1/(N gamma) the squeezing stands at a plateau,
near that of the exact state without dephasing (dashed; at N = 20 the mean field itself is 6 %
high); only after a time that grows as N/gamma_z does it settle at a worse value. Agrees. The
plateau is what Fig. 3(b) counts. (The caption says "collective dephasing"; it is that of
every atom.)

    python examples/figures/mamaev_figS6.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.two_mode_squeezing import two_mode_squeezed_spins
from cavitylab.models.two_mode_squeezing_mean_field import LocalNoise, mean_field_evolution

SQUEEZING, DEPHASING = 0.2, 1e-3
ATOMS = (20, 200, 2000)


def data() -> dict:
    """Times in 1/gamma, xi^2 by N, and the values without dephasing."""
    times = np.geomspace(1e-5, 1e8, 261)
    curves = {}
    for n in ATOMS:
        noise = LocalNoise(n // 2, n // 2, SQUEEZING, 0.0, DEPHASING)
        curves[n] = np.array([state.xi2 for state in mean_field_evolution(noise, times.tolist())])
    clean = {n: two_mode_squeezed_spins(n / 4, SQUEEZING).xi2 for n in ATOMS}
    return {"times": times, "xi2": curves, "clean": clean}


def main(folder: Path) -> Path:
    """Draw into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for index, (n, xi2) in enumerate(found["xi2"].items()):
        axes.semilogx(found["times"], xi2, color=f"C{index}", label=f"N = {n}")
        axes.axhline(found["clean"][n], color=f"C{index}", lw=0.9, ls="--")
    axes.set(xlabel=r"$\gamma t$", ylabel=r"$\xi^2$", xlim=(1e-5, 1e8))
    axes.set_title(r"r = 0.2, $\gamma_z = 0.001\,\gamma$", fontsize=10)
    axes.legend(frameon=False, fontsize=9)
    path = folder / "mamaev_figS6.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
