"""Shimshi & Shahmoon, Fig. 3: freezing, thawing and the loop of a fast scan, N = 100, r = 16 gamma.

(a) Relaxation rate (Eq. 7, and the exact gap) and scanning rate (dw/dt)/|w - gamma|; they meet at
w+-, dotted. (b) <Jz> in scans up and down about the steady state. Both agree. To be added: w+-
bound the frozen region only roughly. Their distance, the published estimate of the width
(Eq. 8, s = 5.6), is well below the width of the loop (s = 9.01): the distribution leaves the
edge by an amplification that goes on after w+ is passed. With the exact gap w+- lie farther out
(s = 7.1 apart), still inside the loop.

    python examples/figures/shimshi_fig3.py [folder]
"""

import math
import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import brentq

from cavitylab.models.pumped_superradiance import PumpedEnsemble, pumped_steady_state
from cavitylab.models.pumped_superradiance_hysteresis import hysteresis
from cavitylab.models.pumped_superradiance_modes import relaxation_gap
from cavitylab.models.pumped_superradiance_scans import pump_sweep

ATOMS, RATE, REACH, SHOWN = 100, 16.0, 32.0, 12.0
SCALED_PUMPS = np.linspace(-SHOWN, SHOWN, 193)


def data() -> dict:
    """Rates in units of gamma and <Jz> over w/gamma; bounds of the frozen region in s."""
    s = SCALED_PUMPS
    away = np.where(s == 0.0, 1.0, s)
    ensembles = [PumpedEnsemble.at(ATOMS, float(value)) for value in s]

    def mismatch(value: float) -> float:
        return RATE / value - relaxation_gap(PumpedEnsemble.at(ATOMS, value))

    return {
        "s": s,
        "w": 1.0 + 2.0 * s / ATOMS,
        "Eq. 7": np.where(s == 0.0, 2.0, 2.0 * away / np.tanh(away)),
        "gap": np.array([relaxation_gap(e) for e in ensembles]),
        "scanning rate": np.where(s == 0.0, np.inf, RATE / np.abs(away)),
        "bound": brentq(lambda v: RATE / v - 2.0 * v / math.tanh(v), 0.1, 30.0),
        "bound of the gap": brentq(mismatch, 0.1, 30.0),
        "steady": np.array([pumped_steady_state(e).mean for e in ensembles]),
        "up": pump_sweep(ATOMS, -REACH, REACH, RATE).mean(s),
        "down": pump_sweep(ATOMS, REACH, -REACH, RATE).mean(s),
        "loop": hysteresis(ATOMS, RATE),
    }


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    loop = found["loop"]
    figure = Figure(figsize=(9.4, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(found["w"], found["Eq. 7"], color="tab:red", lw=1.8, label=r"$\lambda$, Eq. 7")
    left.plot(found["w"], found["gap"], color="tab:red", lw=1.0, ls=":", label="exact gap")
    left.plot(
        found["w"],
        found["scanning rate"],
        color="tab:blue",
        lw=1.8,
        ls="--",
        label=r"$\dot w/|w-\gamma|$",
    )
    left.set_ylim(0.0, 34.0)
    left.set_ylabel(r"rate / $\gamma$")
    left.set_title(r"(a) where the scan outruns the atoms", fontsize=10)
    left.legend(frameon=False, fontsize=9, loc="upper right")
    right.plot(found["w"], found["up"], color="tab:red", lw=1.8, label="scan up")
    right.plot(found["w"], found["down"], color="tab:orange", lw=1.8, label="scan down")
    right.plot(found["w"], found["steady"], color="tab:blue", lw=1.4, ls="--", label="steady")
    ends = [1.0 + 2.0 * s / ATOMS for s in (loop.down, loop.up)]
    right.annotate("", (ends[0], 0.0), (ends[1], 0.0), arrowprops={"arrowstyle": "<->"})
    right.set_ylabel(r"$\langle J_z\rangle$")
    width = rf"$\Delta w_H$ = {loop.pump_width:.3f} $\gamma$"
    right.set_title(rf"(b) N = {ATOMS}, r = {RATE:g} $\gamma$: {width}", fontsize=10)
    right.legend(frameon=False, fontsize=9, loc="lower right")
    for axes in (left, right):
        axes.set_xlabel(r"$w/\gamma$")
        axes.set_xlim(found["w"][0], found["w"][-1])
        for sign in (-1.0, 1.0):
            edge = 1.0 + 2.0 * sign * found["bound"] / ATOMS
            axes.axvline(edge, color="k", lw=0.9, ls=":")
    path = folder / "shimshi_fig3.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
