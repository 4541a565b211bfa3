"""Bai & An, Fig. 1(b)-(c): 1/xi^2 on the way to the squeezed steady state.

N = 10, Delta_N = cosh(2r) A (their Delta = A), alpha = 0.5; (b) from all atoms down for several
r, with the steady states of Eq. 8 dashed, (c) for r = 0.5 from different |j, m>. Agrees: every
start ends in the same squeezed state. To be added: starting down, the squeezing on the way
exceeds the stable one (at r = 0.8 nothing of it is left in the end), and the starts that cross
<Sz> = 0 lose all of it for a while. The values of r and m are chosen here. (a) is a drawing.

    python examples/figures/bai_fig1.py [folder]
"""

import math
import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.squeezed_reservoir import SqueezedReservoir, squeezed_steady_state
from cavitylab.models.squeezed_reservoir_dynamics import squeezed_evolution

ATOMS, PHASE, SQUEEZING = 10, 0.5, 0.5
SQUEEZINGS = (0.2, 0.5, 0.8, 1.2)
STARTS = (-5, -3, 0, 3, 5)
TIMES = np.geomspace(0.003, 10.0, 90)


def reservoir(squeezing: float) -> SqueezedReservoir:
    """The published setting, rates in units of A."""
    return SqueezedReservoir(ATOMS, squeezing, math.cosh(2.0 * squeezing), PHASE)


def data() -> dict:
    """Times; 1/xi^2 by r and its steady value; 1/xi^2 by the m of the first state."""
    from_below = {
        r: np.array([s.gain for s in squeezed_evolution(reservoir(r), TIMES)]) for r in SQUEEZINGS
    }
    from_m = {
        m: np.array([s.gain for s in squeezed_evolution(reservoir(SQUEEZING), TIMES, start=m)])
        for m in STARTS
    }
    steady = {r: squeezed_steady_state(reservoir(r)).gain for r in SQUEEZINGS}
    return {"times": TIMES, "from below": from_below, "steady": steady, "from m": from_m}


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.4, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for r, gain in found["from below"].items():
        (line,) = left.semilogx(found["times"], gain, lw=1.8, label=f"r = {r:g}")
        left.axhline(found["steady"][r], color=line.get_color(), lw=0.9, ls="--")
    for m, gain in found["from m"].items():
        right.semilogx(found["times"], gain, lw=1.8, label=f"m = {m:g}")
    for axes in (left, right):
        axes.axhline(1.0, color="0.5", lw=0.8, ls=":")
        axes.set_xlabel("A t")
        axes.set_xlim(TIMES[0], TIMES[-1])
    left.legend(frameon=False, fontsize=9, loc=(0.03, 0.1))
    right.legend(frameon=False, fontsize=9, loc="upper left")
    left.set_ylabel(r"$1/\xi_R^2$")
    left.set_title(f"(b) N = {ATOMS}, from all atoms down", fontsize=10)
    right.set_title(f"(c) r = {SQUEEZING:g}, from |j, m>", fontsize=10)
    left.set_ylim(0.0, 2.25)
    path = folder / "bai_fig1.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
