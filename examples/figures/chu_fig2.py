"""Chu et al., Fig. 2(c)-(d): amplitudes of the steady state, and its quantum Fisher information.

Two ensembles without exchange, exact. (c) |c_J| against J for S = 50 at Delta/Omega = 1/S,
1/sqrt(S) and 1; the signs alternate, (-1)^J. (d) Quantum Fisher information of the differential
phase against S for the same three laws, with the standard quantum limit 4S and the Heisenberg
limit of 4S atoms, 16 S^2. Agrees with the publication: S^2, S^(3/2) and S. At Delta/Omega = 1/S
the information tends to 0.806 of the best of this family, 16 S(S+1)/3 at Omega -> infinity
(dotted), a third of the Heisenberg limit. The ratios of (c) beyond 1/S and the constants in
front of the two limits are not printed in the text; these are choices.

    python examples/figures/chu_fig2.py [folder]
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

SHOWN_SPIN = 50.0
SPINS = np.unique(np.round(np.geomspace(1.0, 1e4, 33)))
LAWS: dict[str, Callable[[float], float]] = {
    "1/S": lambda spin: 1.0 / spin,
    "1/sqrt(S)": lambda spin: 1.0 / math.sqrt(spin),
    "1": lambda spin: 1.0,
}
LABELS = {"1/S": "$1/S$", "1/sqrt(S)": r"$1/\sqrt{S}$", "1": "1"}


def data(shown_spin: float = SHOWN_SPIN, spins: np.ndarray = SPINS) -> dict:
    """For each law of Delta/Omega: c_J of the shown spin, and the QFI at every spin."""
    found: dict = {
        "spins": spins,
        "standard quantum limit": 4.0 * spins,
        "Heisenberg limit": 16.0 * spins**2,
        "strong drive": 16.0 * spins * (spins + 1.0) / 3.0,
    }
    for name, law in LAWS.items():
        shown = steady_state(TwoEnsembles(shown_spin, 1.0, law(shown_spin)))
        states = (steady_state(TwoEnsembles(spin, 1.0, law(spin))) for spin in spins)
        found[name] = {
            "amplitudes": shown.amplitudes,
            "qfi": np.array([state.qfi for state in states]),
        }
    return found


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.0, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, mark in zip(LAWS, "os^", strict=True):
        heights = np.abs(found[name]["amplitudes"])
        heights = np.where(heights > 1e-3, heights, np.nan)  # no marks along the axis
        left.plot(heights, mark, ls="-", lw=0.8, ms=3.5, mfc="none", label=LABELS[name])
        label = rf"$\Delta/\Omega$ = {LABELS[name]}"
        right.loglog(found["spins"], found[name]["qfi"], mark, ms=4, mfc="none", label=label)
    left.set(xlabel="total spin J", ylabel=r"$|c_{J,-J}|$", xlim=(-1.5, 68.0))
    left.set_title(f"S = {SHOWN_SPIN:g}", fontsize=10)
    left.legend(frameon=False, fontsize=9, title=r"$\Delta/\Omega$")
    for name, style, label in (
        ("Heisenberg limit", "--", "HL, $16S^2$"),
        ("strong drive", ":", r"$\Omega\to\infty$, $16S(S+1)/3$"),
        ("standard quantum limit", "-", "SQL, $4S$"),
    ):
        right.loglog(found["spins"], found[name], style, color="0.5", lw=1.1, label=label, zorder=0)
    right.set(xlabel="spin of each ensemble S", ylabel=r"$\mathcal{F}_\phi$ (rad$^{-2}$)")
    right.legend(frameon=False, fontsize=9)
    path = folder / "chu_fig2.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
