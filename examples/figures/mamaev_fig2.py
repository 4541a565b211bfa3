"""Mamaev et al., Fig. 2: Wineland parameter of the steady state, and amplitudes of three states.

(a) xi^2 of |psi(r)> against r for several N = 4S; thin lines e^{-2r} (S infinite) and 3/(N+4)
(r infinite). (b) Sizes of the amplitudes a_m of |m, m> for S = 15: |psi(r)> at r infinite, the
two-axis twisted state at its first best time, and the paired state of most information. Agrees
with the publication; Eq. 8 is evaluated in a form that does not cancel. The state of most
information has <Z1+Z2> = 0: linear readout sees none of it.

    python examples/figures/mamaev_fig2.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.two_mode_squeezing import two_mode_amplitudes, two_mode_squeezed_spins
from cavitylab.models.two_mode_squeezing_comparison import (
    TwoAxisTwisting,
    optimum_paired_amplitudes,
)

ATOMS = (20, 100, 1000, 10_000)
SPIN = 15.0
FLAT = 20.0
"""A squeezing at which all amplitudes are equal to rounding."""


def data() -> dict:
    """xi^2 by N, over r; sizes of the amplitudes by state, over m."""
    squeezing = np.linspace(0.0, 6.0, 241)
    twisting = TwoAxisTwisting(SPIN)
    return {
        "squeezing": squeezing,
        "xi2": {
            n: np.array([two_mode_squeezed_spins(n / 4, float(r)).xi2 for r in squeezing])
            for n in ATOMS
        },
        "m": np.arange(round(2 * SPIN) + 1),
        "amplitudes": {
            "squeezed": np.abs(two_mode_amplitudes(round(2 * SPIN), FLAT)),
            "twisted": np.abs(twisting.amplitudes(twisting.optimum().tau)),
            "optimum": np.abs(optimum_paired_amplitudes(SPIN)),
        },
    }


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, (n, xi2) in enumerate(found["xi2"].items()):
        left.semilogy(found["squeezing"], xi2, color=f"C{index}", label=f"N = {n}")
        left.axhline(3.0 / (n + 4), color=f"C{index}", lw=0.8, ls=":")
    left.plot(found["squeezing"], np.exp(-2.0 * found["squeezing"]), "k--", lw=1.0)
    left.plot([], [], "k--", lw=1.0, label="$e^{-2r}$")
    left.plot([], [], "k:", lw=0.8, label="3/(N+4)")
    left.set(xlabel="r", ylabel=r"$\xi^2$", xlim=(0.0, 6.0), ylim=(2e-5, 1.3))
    left.legend(frameon=False, fontsize=8, loc="lower left")
    names = {
        "squeezed": r"$|\psi(r\to\infty)\rangle$",
        "twisted": "two-axis twisted, best time",
        "optimum": "most information",
    }
    for (name, sizes), marker in zip(found["amplitudes"].items(), "os^", strict=True):
        right.plot(found["m"], sizes, marker=marker, ms=4, lw=1.0, label=names[name])
    right.set(xlabel="m", ylabel="$|a_m|$", ylim=(0.0, 0.6))
    right.set_title("S = 15", fontsize=10)
    right.legend(frameon=False, fontsize=9, loc="upper right")
    path = folder / "mamaev_fig2.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
