"""Shimshi & Shahmoon, Fig. 2: inversion and relaxation rate against the pump, N = 100.

(a) <Jz> of the steady state, exact and from Eq. 4. (b) Exact gap of the populations and the
cumulant form of Eq. 7. (a) agrees; below the transition Eq. 4 is too high by up to one atom (3 %).
(b) agrees at w = gamma, where the gap is 2 gamma, and tends to agree far away. "Very good
agreement" is qualified in between: Eq. 7 is up to 58 % above the gap, where dotted, and 60 % for
N to infinity (at |s| = N|w/gamma - 1|/2 of about 3.2). The range of w is chosen here.

    python examples/figures/shimshi_fig2.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.pumped_superradiance import (
    PumpedEnsemble,
    inversion_limit,
    pumped_steady_state,
)
from cavitylab.models.pumped_superradiance_modes import relaxation_gap

ATOMS = 100
SCALED_PUMPS = np.linspace(-10.0, 10.0, 161)


def data() -> dict:
    """w/gamma, <Jz> exact and of Eq. 4, the exact gap and Eq. 7 in units of gamma."""
    s = SCALED_PUMPS
    ensembles = [PumpedEnsemble.at(ATOMS, float(value)) for value in s]
    away = np.where(s == 0.0, 1.0, s)
    return {
        "s": s,
        "w": 1.0 + 2.0 * s / ATOMS,
        "mean": np.array([pumped_steady_state(e).mean for e in ensembles]),
        "Eq. 4": np.array([0.5 * ATOMS * inversion_limit(float(value))[0] for value in s]),
        "gap": np.array([relaxation_gap(e) for e in ensembles]),
        "Eq. 7": np.where(s == 0.0, 2.0, 2.0 * away / np.tanh(away)),
    }


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.4, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(found["w"], found["mean"], color="tab:blue", lw=2.0, label="exact, Eq. 3")
    left.plot(found["w"], found["Eq. 4"], color="k", lw=1.0, ls="--", label="large N, Eq. 4")
    left.axhline(0.0, color="0.7", lw=0.7)
    left.set_ylabel(r"$\langle J_z\rangle$")
    left.set_title(f"(a) steady state, N = {ATOMS}", fontsize=10)
    right.plot(found["w"], found["Eq. 7"], color="tab:red", lw=1.6, label="cumulants, Eq. 7")
    right.plot(found["w"], found["gap"], ".", color="tab:blue", ms=4, label="exact gap")
    right.axhline(2.0, color="k", lw=1.0, ls="--")
    right.text(1.2, 1.2, r"$2\gamma$", ha="right", va="center")
    worst = int(np.argmax(found["Eq. 7"] / found["gap"]))
    for sign in (-1.0, 1.0):
        shift = 2.0 * sign * abs(found["s"][worst]) / ATOMS
        right.axvline(1.0 + shift, color="0.5", lw=0.9, ls=":")
    excess = found["Eq. 7"][worst] / found["gap"][worst] - 1.0
    right.set_title(f"(b) relaxation; Eq. 7 at most {100 * excess:.0f} % too high", fontsize=10)
    right.set_ylabel(r"$\lambda/\gamma$")
    right.set_ylim(0.0, 21.0)
    for axes in (left, right):
        axes.axvline(1.0, color="0.7", lw=0.7)
        axes.set_xlabel(r"$w/\gamma$")
        axes.legend(frameon=False, fontsize=9)
    right.legend(frameon=True, framealpha=1.0, edgecolor="none", fontsize=9, loc="upper center")
    path = folder / "shimshi_fig2.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
