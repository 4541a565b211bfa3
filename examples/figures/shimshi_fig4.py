"""Shimshi & Shahmoon, Fig. 4: width of the hysteresis against the scanning rate.

(a) N = 100, with both lines of Eq. 8, the published power 0.61 and the law of fast scans.
(b) N = 20 to 10^9 collapse in units of 2 gamma/N. (c), not published: the local slope. (a) and (b)
agree. Qualified: sqrt(2r) is low by 1.6 at r = 16 gamma; and 0.61 is no exponent but the slope at
about r = 120 gamma. It falls on towards 1/2, with a logarithm, as one mechanism demands:
amplification from the edge where the state is frozen. Each curve ends where the scan down would
need w < 0 before it crosses.

    python examples/figures/shimshi_fig4.py [folder]
"""

import math
import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.pumped_superradiance_hysteresis import (
    hysteresis,
    hysteresis_law,
    hysteresis_width_printed,
)

ATOMS = 100
PUBLISHED_POWER = 0.61
OTHERS = (20, 1000, 10**9)
RATES = np.geomspace(0.01, 1e5, 57)


def widths(atoms: float, rates: np.ndarray) -> np.ndarray:
    """H at each rate, nan where w = 0 is met first."""
    found = np.full(rates.size, np.nan)
    for k, rate in enumerate(rates):
        try:
            found[k] = hysteresis(atoms, float(rate)).width
        except ValueError:
            break
    return found


def data(rates: np.ndarray = RATES) -> dict:
    """Rates in units of gamma; H of every N and of the limit; the laws; slope of the limit."""
    limit = widths(math.inf, rates)
    fast = rates[rates >= 8.0]
    return {
        "rates": rates,
        "widths": {n: widths(n, rates) for n in sorted((ATOMS, *OTHERS))},
        "limit": limit,
        "Eq. 8": np.array([hysteresis_width_printed(float(r)) for r in rates]),
        "fast": fast,
        "law": np.array([hysteresis_law(float(r)) for r in fast]),
        "slope": np.gradient(np.log(limit), np.log(rates)),
        "slope of the law": np.gradient(
            np.log([hysteresis_law(float(r)) for r in fast]), np.log(fast), edge_order=2
        ),
    }


def main(folder: Path) -> Path:
    """Draw the panels into the folder; returns the picture's path."""
    found = data()
    rates, fast = found["rates"], found["fast"]
    figure = Figure(figsize=(13.0, 4.0), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.loglog(rates, found["widths"][ATOMS], "o", color="tab:blue", ms=4, label=f"N = {ATOMS}")
    slow = rates <= 2.0
    left.loglog(rates[slow], found["Eq. 8"][slow], "k--", lw=1.0, label=r"Eq. 8, $r/\gamma$")
    left.loglog(
        rates[~slow], found["Eq. 8"][~slow], "k:", lw=1.2, label=r"Eq. 8, $\sqrt{2r/\gamma}$"
    )
    anchor = hysteresis(ATOMS, 100.0).width
    power = anchor * (fast / 100.0) ** PUBLISHED_POWER
    left.loglog(fast, power, color="tab:red", lw=1.0, ls="--", label=f"power {PUBLISHED_POWER}")
    left.loglog(fast, found["law"], color="tab:green", lw=1.4, label="law of fast scans")
    left.set_xlim(0.008, 2e3)
    left.set_ylim(0.008, 3e2)
    left.set_title(f"(a) N = {ATOMS}", fontsize=10)
    middle.loglog(rates, found["limit"], color="k", lw=1.0, label=r"$N\to\infty$")
    for (n, width), marker in zip(found["widths"].items(), "osv^", strict=True):
        name = f"N = {n}" if n < 10**6 else r"N = 10$^9$"
        middle.loglog(rates, width, marker, ms=4, mfc="none", label=name)
    middle.set_title("(b) collapse", fontsize=10)
    right.semilogx(rates, found["slope"], color="k", lw=1.8, label=r"$N\to\infty$")
    right.semilogx(fast, found["slope of the law"], color="tab:green", ls="--", label="law")
    right.axhline(PUBLISHED_POWER, color="tab:red", lw=1.0, ls="--")
    right.text(0.011, PUBLISHED_POWER + 0.01, "published 0.61", color="tab:red", fontsize=9)
    right.axhline(0.5, color="k", lw=0.9, ls=":")
    right.set_ylabel(r"$d\ln H/d\ln r$")
    right.set_title("(c) local slope", fontsize=10)
    right.set_ylim(0.45, 1.05)
    for axes in (left, middle):
        axes.set_ylabel(r"$H = (N/2\gamma)\,\Delta w_H$")
    for axes in (left, middle, right):
        axes.set_xlabel(r"$r/\gamma$")
        axes.legend(frameon=False, fontsize=9)
    path = folder / "shimshi_fig4.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
