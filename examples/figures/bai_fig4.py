"""Bai & An, Fig. 4: atoms displaced from their places, on the way and in the end.

N = 5, r = 0.5, alpha = 0.5, Delta_N = cosh(2r) A (their Delta = A), displacements uniform in
[-w, w]. (a)-(c) Mean and standard deviation of 1/xi^2 against time, the ideal chain in red,
zeta/(A w) dotted. (d) The true steady state, the value at A t = 10, and the ideal chain.
(a)-(c) agree in kind, but zeta/(A w) is too short by far at small w: there the decay goes with
w^2. (d) does not agree with the publication: the steady state is not squeezed at any w > 0,
however small, since any disorder mixes total spins. The squeezing of a displaced chain is a
plateau in time, of which something is left at A t = 10 below w = 0.1 pi zeta. With Delta = 0 and
r = 0.3 (grey) the steady state itself stays squeezed to 0.4 pi zeta, which resembles the
published curve. 20 configurations each (10 for the grey ones) instead of 100 and 200.

    python examples/figures/bai_fig4.py [folder]
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.squeezed_reservoir import SqueezedReservoir, squeezed_steady_state
from cavitylab.models.squeezed_reservoir_chain import (
    SqueezedChain,
    chain_evolution,
    chain_steady_state,
    displaced_phases,
)
from cavitylab.models.squeezed_reservoir_dynamics import squeezed_evolution

ATOMS, SQUEEZING, PHASE = 5, 0.5, 0.5
DETUNING = math.cosh(2.0 * SQUEEZING)
TUNED_SQUEEZING = 0.3
SHOWN = (0.03, 0.06, 0.3)
DISPLACEMENTS = (0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.4, 0.5)
"""w in units of pi zeta."""
TIMES = np.geomspace(0.1, 1000.0, 33)
PLATEAU_TIME = 10.0
TOLERANCE = 1e-6


def data(
    configurations: int = 20, displacements: Sequence[float] = DISPLACEMENTS, seed: int = 4
) -> dict:
    """1/xi^2 by w: evolution (configuration, time), plateau and steady (configuration); ideal."""
    rng = np.random.default_rng(seed)
    evolution, plateau, steady, tuned = {}, {}, {}, {}
    for w in displacements:
        places = [tuple(displaced_phases(ATOMS, math.pi * w, rng)) for _ in range(configurations)]
        chains = [SqueezedChain(phases, SQUEEZING, DETUNING, PHASE) for phases in places]
        if w in SHOWN:
            evolution[w] = np.array([_gains(chain, TIMES) for chain in chains])
        plateau[w] = np.array([_gains(chain, [PLATEAU_TIME])[0] for chain in chains])
        steady[w] = np.array([chain_steady_state(chain).gain for chain in chains])
        others = [SqueezedChain(phases, TUNED_SQUEEZING) for phases in places[::2]]
        tuned[w] = np.array([chain_steady_state(chain).gain for chain in others])
    ideal = SqueezedReservoir(ATOMS, SQUEEZING, DETUNING, PHASE)
    return {
        "times": TIMES,
        "evolution": evolution,
        "plateau": plateau,
        "steady": steady,
        "tuned": tuned,
        "ideal": np.array([state.gain for state in squeezed_evolution(ideal, TIMES)]),
        "collective": squeezed_steady_state(ideal).gain,
        "collective tuned": squeezed_steady_state(SqueezedReservoir(ATOMS, TUNED_SQUEEZING)).gain,
    }


def _gains(chain: SqueezedChain, times: Sequence[float]) -> list[float]:
    """1/xi^2 of one chain at these times."""
    return [state.gain for state in chain_evolution(chain, times, TOLERANCE)]


def main(folder: Path) -> Path:
    """Draw the four panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.4, 7.2), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    for axes, w, letter in zip(panels, SHOWN, "abc", strict=False):
        gains = found["evolution"][w]
        mean, spread = gains.mean(axis=0), gains.std(axis=0)
        axes.fill_between(TIMES, mean - spread, mean + spread, color="tab:orange", alpha=0.4, lw=0)
        axes.semilogx(TIMES, found["ideal"], color="tab:red", label="ideal")
        axes.semilogx(TIMES, mean, "--", color="tab:blue", label="displaced")
        axes.axvline(1.0 / (math.pi * w), color="0.4", lw=0.9, ls=":", label=r"$\zeta/(A w)$")
        axes.set(xlabel="A t", ylabel=r"$1/\xi_R^2$", ylim=(0.4, 1.6), xlim=(0.1, 1000.0))
        axes.set_title(rf"({letter}) w = {w:g} $\pi\zeta$", fontsize=10)
    _steady(panels[3], found)
    for axes in panels:
        axes.axhline(1.0, color="0.6", lw=0.8, ls=":")
    panels[0].legend(frameon=False, fontsize=9, loc="lower left")
    path = folder / "bai_fig4.png"
    figure.savefig(path, dpi=150)
    return path


def _steady(axes, found: dict) -> None:
    """Panel (d)."""
    for name, colour, label in (
        ("plateau", "tab:green", f"at A t = {PLATEAU_TIME:g}"),
        ("steady", "tab:blue", "steady state"),
        ("tuned", "0.5", rf"steady, $\Delta$ = 0, r = {TUNED_SQUEEZING:g}"),
    ):
        means = [values.mean() for values in found[name].values()]
        errors = [values.std() / math.sqrt(values.size) for values in found[name].values()]
        axes.errorbar(
            list(found[name]), means, errors, fmt="o-", ms=4, color=colour, lw=1.2, label=label
        )
    axes.plot(0.0, found["collective"], "D", color="tab:red", ms=6, label="ideal", clip_on=False)
    axes.plot(0.0, found["collective tuned"], "D", color="0.5", ms=6, clip_on=False)
    axes.set(xlabel=r"w ($\pi\zeta$)", ylabel=r"$1/\xi_R^2$", ylim=(0.4, 1.8), xlim=(0.0, 0.52))
    axes.set_title("(d) in the end", fontsize=10)
    axes.legend(frameon=False, fontsize=9, loc="upper right")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
