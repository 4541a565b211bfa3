"""Shimshi & Shahmoon, Fig. 6: spectrum of the populations against the pump, N = 100.

The steady 0 (blue), the gap (red) and the modes above it (black), for pumps around w = gamma, and
a close-up with the slowest coherence between |m> and |m+1> (green, not drawn in the paper but
named in its Appendix C). Agrees: at w = gamma the rates are gamma l(l+1) exactly, 2 gamma the
least, and gamma for the coherence. To be added: away from the transition (|s| >> 1) the rates
merge in pairs, also the gap: one mode lives near the empty and one near the full end. The range
of w is chosen here.

    python examples/figures/shimshi_fig6.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.pumped_superradiance import PumpedEnsemble
from cavitylab.models.pumped_superradiance_modes import coherence_gap, relaxation_rates

ATOMS, COUNT, CLOSE_COUNT = 100, 21, 6
PUMPS = np.linspace(0.5, 1.5, 101)
CLOSE_PUMPS = np.linspace(0.92, 1.08, 81)


def data() -> dict:
    """w/gamma and (pumps, modes) rates in units of gamma, wide and close up; coherence gap."""
    close = [PumpedEnsemble(ATOMS, float(w)) for w in CLOSE_PUMPS]
    return {
        "w": PUMPS,
        "rates": np.array(
            [relaxation_rates(PumpedEnsemble(ATOMS, float(w)), COUNT) for w in PUMPS]
        ),
        "close w": CLOSE_PUMPS,
        "close rates": np.array([relaxation_rates(e, CLOSE_COUNT) for e in close]),
        "coherence": np.array([coherence_gap(e) for e in close]),
    }


def _draw(axes, pumps: np.ndarray, rates: np.ndarray) -> None:
    """One line a mode."""
    axes.plot(pumps, rates[:, 2:], color="k", lw=0.8)
    axes.plot(pumps, rates[:, 1], color="tab:red", lw=1.8, label="gap")
    axes.plot(pumps, rates[:, 0], color="tab:blue", lw=1.8, label="steady state")
    axes.set_xlabel(r"$w/\gamma$")
    axes.set_ylabel(r"rate / $\gamma$")


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.4, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, found["w"], found["rates"])
    left.set_title(f"populations, N = {ATOMS}, the lowest {COUNT} rates", fontsize=10)
    left.set_ylim(-8.0, 450.0)
    _draw(right, found["close w"], found["close rates"])
    right.plot(
        found["close w"],
        found["coherence"],
        color="tab:green",
        lw=1.5,
        ls="--",
        label="coherence, q = 1",
    )
    right.axhline(2.0, color="0.6", lw=0.8, ls=":")
    right.set_title(r"close-up: $2\gamma$ at $w = \gamma$", fontsize=10)
    right.set_xlim(0.92, 1.08)
    right.set_ylim(-0.6, 36.0)
    right.legend(frameon=False, fontsize=9, loc="upper center", ncols=3)
    path = folder / "shimshi_fig6.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
