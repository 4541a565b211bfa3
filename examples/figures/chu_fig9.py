"""Chu et al., Fig. 9(a)-(b): length of the string order at a finite drive, AKLT detunings.

S = 1/2, Delta_e = 0, Delta_b = sqrt(2) chi, string angle pi. (a) L_string against the drive, with
the law (2/3)(Omega/chi)^2 that it follows from Omega = 3 chi on. (b) Fidelity with the AKLT
state against L/L_string for several L, drives from 3 chi on: one curve,
90 % near L/L_string = 0.2 (0.22 at L = 58, 0.21 at L = 354). Agrees with the publication,
which gives the power but not the prefactor 2/3.

    python examples/figures/chu_fig9.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.chain import aklt_chain
from cavitylab.models.chain_order import aklt_fidelity, string_length

DRIVES = np.geomspace(1.0, 100.0, 41)
LENGTHS = (10, 20, 58, 100, 354)


def data(drives: np.ndarray = DRIVES, lengths: tuple = LENGTHS) -> dict:
    """Omega/chi, L_string, and for each L the fidelity at every drive."""
    chains = [aklt_chain(1.0, float(drive)) for drive in drives]
    found: dict = {"drives": drives, "string": np.array([string_length(one) for one in chains])}
    for length in lengths:
        found[length] = np.array([aklt_fidelity(one, length) for one in chains])
    return found


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.0, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog(found["drives"], found["string"], "o", ms=4, mfc="none", label="transfer matrix")
    left.loglog(
        DRIVES, 2.0 / 3.0 * DRIVES**2, "--", color="0.4", lw=1.2, label=r"$(2/3)(\Omega/\chi)^2$"
    )
    left.set(xlabel=r"$\Omega/\chi$", ylabel=r"$L_{\rm string}$ (ensembles)")
    left.legend(frameon=False, fontsize=9)
    for length, mark in zip(LENGTHS, "os^vD", strict=True):
        strong = DRIVES >= 3.0
        ratio = length / found["string"][strong]
        right.semilogx(ratio, found[length][strong], mark, ms=4, mfc="none", label=f"L = {length}")
    right.axhline(0.9, color="0.8", lw=0.8, zorder=0)
    right.axvline(0.2, color="0.8", lw=0.8, zorder=0)
    right.set(xlabel=r"$L/L_{\rm string}$", ylabel="fidelity with the AKLT state")
    right.set(xlim=(1e-3, 30.0), ylim=(-0.03, 1.03))
    right.legend(frameon=False, fontsize=9)
    path = folder / "chu_fig9.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
