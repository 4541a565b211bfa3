"""Mamaev et al., Fig. S1: two-axis twisting of two ensembles beside the dissipative state.

(a) xi^2 of the best quadrature pair against tau = J t for S = 15. (b) |a_m| at half, at and at
1.4 times the best time. (c) Best xi^2 against N of one-axis and two-axis twisting (points), and
3/(N+4) of |psi(r)> at r infinite (line). Agrees, with two qualifications. For J > 0 the
squeezed pair is (X+ - Y+)/sqrt2, (X- + Y-)/sqrt2; the printed signs hold for J < 0. And
"2.1/N^(2/3)" and "5.1/N" are values near N = 60 and N = 200: large N gives 1.65 and about 5.3.

    python examples/figures/mamaev_figS1.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.two_mode_squeezing_comparison import TwoAxisTwisting, one_axis_optimum

SPIN = 15.0
MOMENTS = (0.5, 1.0, 1.4)
ATOMS = (8, 20, 60, 200, 600, 2000)


def data() -> dict:
    """The twisting of S = 15 over tau, its amplitudes, and the best xi^2 over N."""
    twisting = TwoAxisTwisting(SPIN)
    best = twisting.optimum()
    tau = np.linspace(0.0, 2.0 * best.tau, 161)
    return {
        "tau": tau,
        "xi2": np.array([twisting.xi2(float(t)) for t in tau]),
        "best": (best.tau, best.xi2),
        "amplitudes": {k: np.abs(twisting.amplitudes(k * best.tau)) for k in MOMENTS},
        "atoms": np.array(ATOMS),
        "one axis": np.array([one_axis_optimum(n / 4).xi2 for n in ATOMS]),
        "two axes": np.array([TwoAxisTwisting(n / 4).optimum().xi2 for n in ATOMS]),
        "dissipative": 3.0 / (np.array(ATOMS) + 4.0),
    }


def main(folder: Path) -> Path:
    """Draw the three panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(11.5, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.semilogy(found["tau"], found["xi2"], color="tab:orange")
    left.plot(*found["best"], "ko", ms=5)
    left.axhline(1.0, color="0.7", lw=0.8)
    left.set(xlabel=r"$\tau = Jt$", ylabel=r"$\xi^2$", ylim=(0.05, 5.0))
    left.set_title("two-axis twisting, S = 15", fontsize=10)
    names = {0.5: "half the best time", 1.0: "best time", 1.4: "1.4 times it"}
    for k, sizes in found["amplitudes"].items():
        middle.plot(sizes, "o-", ms=3, lw=1.0, label=names[k])
    middle.set(xlabel="m", ylabel="$|a_m|$", ylim=(0.0, None))
    middle.legend(frameon=False, fontsize=9)
    right.loglog(found["atoms"], found["one axis"], "s", color="tab:blue", label="one axis")
    right.loglog(found["atoms"], found["two axes"], "o", color="tab:orange", label="two axes")
    right.loglog(found["atoms"], found["dissipative"], "k-", lw=1.2, label="3/(N+4)")
    right.loglog(found["atoms"], 1.651 * found["atoms"] ** (-2 / 3), ":", color="tab:blue", lw=1.0)
    right.loglog(found["atoms"], 5.3 / found["atoms"], ":", color="tab:orange", lw=1.0)
    right.set(xlabel="N", ylabel=r"least $\xi^2$")
    right.set_title("dotted: large N", fontsize=10)
    right.legend(frameon=False, fontsize=9)
    path = folder / "mamaev_figS1.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
