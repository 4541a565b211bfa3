"""Mamaev et al., Fig. 1(b): variances while the dissipation prepares a two-mode squeezed state.

<X+^2> = <Y-^2> (squeezed) and <X-^2> = <Y+^2> (anti-squeezed) of two spins S = 9/2 against
time, from all atoms down, r = 0.75; exact, in the charge sector. Dashed: the closed form of
the steady state. Agrees with the publication.

    python examples/figures/mamaev_fig1.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.two_mode_squeezing import two_mode_squeezed_spins
from cavitylab.models.two_mode_squeezing_dynamics import prepare

SPIN, SQUEEZING = 4.5, 0.75


def data(points: int = 80) -> dict:
    """Times in 1/gamma, both variances, and their steady values."""
    times = np.concatenate([[0.0], np.geomspace(3e-3, 3.0, points)])
    atoms = round(2 * SPIN)
    found = prepare(atoms, atoms, SQUEEZING, times)
    steady = two_mode_squeezed_spins(SPIN, SQUEEZING)
    return {
        "times": times,
        "squeezed": found.x_plus_square,
        "antisqueezed": found.x_minus_square,
        "steady": (steady.squeezed_variance, steady.antisqueezed_variance),
    }


def main(folder: Path) -> Path:
    """Draw into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(4.8, 3.7), layout="constrained")
    axes = figure.subplots()
    rows = (
        ("antisqueezed", r"$\langle X_-^2\rangle = \langle Y_+^2\rangle$", "tab:red", 1),
        ("squeezed", r"$\langle X_+^2\rangle = \langle Y_-^2\rangle$", "tab:blue", 0),
    )
    for name, label, colour, index in rows:
        axes.semilogy(found["times"], found[name], color=colour, label=label)
        axes.axhline(found["steady"][index], color=colour, lw=1.0, ls="--")
    axes.plot([], [], "--", color="0.4", lw=1.0, label="steady state, closed form")
    axes.set(xlabel=r"$\gamma t$", ylabel="variance", xlim=(0.0, 1.5), ylim=(0.5, 40.0))
    axes.set_title(f"S = 9/2, r = {SQUEEZING:g}", fontsize=10)
    axes.legend(frameon=False, fontsize=9, loc="center right")
    path = folder / "mamaev_fig1.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
