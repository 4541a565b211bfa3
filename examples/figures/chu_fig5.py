"""Chu et al., Fig. 5(c)-(d): entanglement entropies of four ensembles against the drive.

S = 10, detunings (2, -2, 3, -3) chi on top and (2, 3, -3, -2) chi below, exact states.
Agrees with the publication: pairs on top (S_12 = 0), entanglement of all four below. The
figure's caption prints delta_2 = -delta_4 for the lower panel; delta_2 = -delta_3 is drawn.
Its "product state, all down" below Omega = S chi is a product of tilted spins: the all-down
population is 0.47 at Omega = 2 chi and 0.008 at 5 chi (dotted).

    python examples/figures/chu_fig5.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.many_ensembles import ManyEnsembles, many_ensemble_state
from cavitylab.models.many_ensembles_metrology import entanglement_entropy

SPIN = 10.0
PATTERNS = {"paired": (2.0, -2.0, 3.0, -3.0), "crossed": (2.0, 3.0, -3.0, -2.0)}
PAIRS = ((1, 2), (1, 3), (1, 4))
DRIVES = np.concatenate(
    [[0.5, 1.5, 2.5, 3.5], np.arange(5.0, 16.0, 1.25), np.arange(18.0, 31.0, 3.0)]
)


def data(spin: float = SPIN, drives: np.ndarray = DRIVES) -> dict:
    """Omega/chi, and for each pattern the entropies (drives, 3) and all-down populations."""
    found: dict = {"drives": np.asarray(drives)}
    for name, detunings in PATTERNS.items():
        states = [many_ensemble_state(ManyEnsembles(spin, w, detunings, 1.0)) for w in drives]
        found[name] = np.array([[entanglement_entropy(s, p) for p in PAIRS] for s in states])
        found[f"{name} all down"] = np.array([s.all_down_population for s in states])
    return found


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(5.0, 6.4), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    for panel, (name, detunings) in zip(panels, PATTERNS.items(), strict=True):
        for column, pair in enumerate(PAIRS):
            style = "--" if name == "paired" and pair == (1, 4) else "-"
            label = rf"$S_{{\rm vn}}(\rho_{{{pair[0]}{pair[1]}}})$"
            panel.plot(found["drives"], found[name][:, column], style, lw=1.8, label=label)
        down = found[f"{name} all down"]
        panel.plot(found["drives"], down, ":", color="0.4", lw=1.4, label="all-down population")
        panel.axvline(SPIN, color="0.8", lw=0.8, zorder=0)
        panel.text(SPIN, 4.3, r" $\Omega = S\chi$", color="0.5", fontsize=9)
        shown = ", ".join(f"{value:g}" for value in detunings).replace("-", "\N{MINUS SIGN}")
        panel.set_title(rf"$\delta/\chi$ = ({shown}),  S = {SPIN:g}", fontsize=10)
        panel.set_ylabel("entropy (nat)")
        panel.set_ylim(-0.15, 5.0)
        panel.legend(frameon=False, fontsize=9, loc="upper left")
    panels[1].set_xlabel(r"drive  $\Omega/\chi$")
    path = folder / "chu_fig5.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
