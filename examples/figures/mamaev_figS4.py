"""Mamaev et al., Fig. S4: how long the preparation takes.

From all atoms down, infidelity 1 - <psi(r)|rho|psi(r)> against time, (a) S = 5/2 for several r
and (c) r = 1.5 for several S; dashed lines decay at the gap. (b) Gap against r for S = 5/2,
(d) gap against S for several r. The gap is that of the sector which the start reaches: the
published figure's "higher branch"; its smaller eigenvalues at small r belong to coherences that
never appear. Agrees in rates (the publication draws a norm of rho - rho_G instead of 1 - F).
"S^1.8" (grey) is a fit to S of 5 to 12; the exponent is still rising towards 2.

    python examples/figures/mamaev_figS4.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.two_mode_squeezing import spin_elements, two_mode_amplitudes
from cavitylab.models.two_mode_squeezing_dynamics import (
    ChargeSector,
    preparation_gap,
    squeezing_jumps,
)
from cavitylab.models.two_mode_squeezing_propagation import evolve_vector

SPIN, SQUEEZING = 2.5, 1.5
SQUEEZINGS = (0.5, 1.0, 1.5, 2.0)
SPINS = (0.5, 1.5, 2.5, 4.0)
GAP_SPINS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
FLOOR = 1e-9
"""Infidelity below which rounding at large r shows."""


def infidelity(spin: float, squeezing: float, times: np.ndarray) -> np.ndarray:
    """1 - <psi(r)|rho(t)|psi(r)> from all atoms down."""
    elements = spin_elements(spin)
    sector = ChargeSector(squeezing_jumps(elements, elements, squeezing))
    states = evolve_vector(sector.liouvillian, sector.start, times)
    states = states / (states @ sector.trace)[:, None]
    return 1.0 - sector.fidelity(states, two_mode_amplitudes(elements.size - 1, squeezing))


def _gap(spin: float, squeezing: float) -> float:
    return preparation_gap(round(2 * spin), round(2 * spin), squeezing)


def _decays(pairs: list) -> list:
    """Per (S, r): times up to 13 over the gap, infidelities, gap."""
    found = []
    for spin, squeezing in pairs:
        gap = _gap(spin, squeezing)
        times = np.concatenate([[0.0], np.geomspace(0.02, 13.0, 80) / gap])
        found.append((times, infidelity(spin, squeezing, times), gap))
    return found


def data() -> dict:
    """Decays by r and by S, and the gap over r and over S."""
    strengths = np.linspace(0.1, 3.0, 30)
    return {
        "by r": dict(zip(SQUEEZINGS, _decays([(SPIN, r) for r in SQUEEZINGS]), strict=True)),
        "by S": dict(zip(SPINS, _decays([(s, SQUEEZING) for s in SPINS]), strict=True)),
        "squeezing": strengths,
        "gap over r": np.array([_gap(SPIN, float(r)) for r in strengths]),
        "spins": np.array(GAP_SPINS),
        "gap over S": {r: np.array([_gap(s, r) for s in GAP_SPINS]) for r in (1.0, 1.5, 2.5)},
    }


def _draw_decays(axes, curves: dict, label: str) -> None:
    """Infidelities, and exponentials at the gap through their last good points."""
    for index, (value, (times, lost, gap)) in enumerate(curves.items()):
        good = lost > FLOOR
        axes.semilogy(times[good], lost[good], color=f"C{index}", label=f"{label} = {value:g}")
        last = np.flatnonzero(good)[-1]
        line = lost[last] * np.exp(-gap * (times - times[last]))
        axes.semilogy(times, line, "k--", lw=0.7)
    axes.set(xlabel=r"$\gamma t$", ylabel="infidelity", xscale="log", ylim=(1e-5, 2.0))
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def main(folder: Path) -> Path:
    """Draw the four panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.4, 7.0), layout="constrained")
    (top, gaps), (bottom, sizes) = figure.subplots(2, 2)
    _draw_decays(top, found["by r"], "r")
    top.set_title("S = 5/2", fontsize=10)
    _draw_decays(bottom, found["by S"], "S")
    bottom.set_title("r = 1.5", fontsize=10)
    r = found["squeezing"]
    gaps.semilogy(r, found["gap over r"], label="gap, S = 5/2")
    gaps.semilogy(r, 9.21 * np.exp(-2.0 * r), "k--", lw=1.0, label=r"$9.21\,e^{-2r}$")
    gaps.set(xlabel="r", ylabel=r"gap / $\gamma$", ylim=(0.01, 20.0))
    gaps.legend(frameon=False, fontsize=9)
    for strength, gap in found["gap over S"].items():
        sizes.loglog(found["spins"], gap, "o-", ms=4, label=f"r = {strength:g}")
    guide = found["gap over S"][2.5][-1] * (found["spins"] / found["spins"][-1]) ** 1.8
    sizes.loglog(found["spins"], guide, color="0.6", lw=1.0, label=r"$S^{1.8}$")
    sizes.set(xlabel="S", ylabel=r"gap / $\gamma$")
    sizes.set_xticks([0.5, 1.0, 2.0, 4.0, 8.0], ["1/2", "1", "2", "4", "8"])
    sizes.minorticks_off()
    sizes.legend(frameon=False, fontsize=9)
    path = folder / "mamaev_figS4.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
