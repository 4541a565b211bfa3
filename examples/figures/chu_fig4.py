"""Chu et al., Fig. 4(b)-(c): the ellipse of counted populations, and its Fisher information.

(b) Outcomes (p_1, p_2) for S = 50, Delta/Omega = 1/sqrt(S), phi = 0.1 and a common phase
that is new in every shot, with the mean ellipse of Eq. 17. (c) Classical Fisher information
of the outcomes for S = 100 against phi (solid) and quantum Fisher information (dashed).
(b) agrees, with p_j = m_j/2S + 1/2 (the text after Eq. 18 prints m_j/S). (c) agrees, with two
qualifications. "CFI close to QFI" is 99 % at Delta/Omega = 1/S and 77 % at best at
1/sqrt(S). And it lives in fringes from atom to atom: with a counting noise of one atom
(dotted) little above the standard quantum limit 4S is left near pi/4.

    python examples/figures/chu_fig4.py [folder]
"""

import math
import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from scipy.special import ndtr

from cavitylab.models.ellipse import EllipseReadout, fisher_information
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

SHOWN_SPIN, SHOWN_PHASE = 50.0, 0.1
SPIN = 100.0
PHASES = np.concatenate([np.geomspace(0.003, 0.2, 12), np.linspace(0.26, 0.78, 9)])
"""Up to pi/4, the rest is the mirror image; at pi/4 itself parity makes cells 0/0."""


def _blurred(table: np.ndarray, noise: float) -> np.ndarray:
    """Outcomes with Gaussian counting noise in each ensemble, rounded to whole atoms."""
    atoms = table.shape[0] - 1
    shown = np.arange(-6, atoms + 7)[:, None] - np.arange(atoms + 1)
    kernel = ndtr((shown + 0.5) / noise) - ndtr((shown - 0.5) / noise)
    return kernel @ table @ kernel.T


def _scan(spin: float, ratio: float, phases: np.ndarray, noise: float) -> dict:
    """Fisher information against phase, without and with counting noise."""
    state = steady_state(TwoEnsembles(spin, 1.0, ratio))
    readout = EllipseReadout(spin, len(state.weights) - 1)
    exact, blurred = [], []
    for phase in phases:
        found = readout.derivatives(state, float(phase))
        exact.append(fisher_information(found.P, [found.d_phase])[0, 0])
        tables = _blurred(found.P, noise), _blurred(found.d_phase, noise)
        blurred.append(fisher_information(tables[0], [tables[1]])[0, 0])
    return {
        "cfi": np.array(exact + exact[::-1]),
        "noisy": np.array(blurred + blurred[::-1]),
        "qfi": state.qfi,
    }


def data(spin: float = SPIN, phases: np.ndarray = PHASES, noise: float = 1.0) -> dict:
    """Outcome table and ellipse of (b); phases and information of (c) for both ratios."""
    state = steady_state(TwoEnsembles(SHOWN_SPIN, 1.0, 1.0 / math.sqrt(SHOWN_SPIN)))
    readout = EllipseReadout(SHOWN_SPIN, len(state.weights) - 1)
    theta = np.linspace(0.0, 2.0 * math.pi, 400)
    half = 0.25 * state.spin_length / SHOWN_SPIN
    return {
        "table": readout.distribution(state, SHOWN_PHASE),
        "ellipse": 0.5
        + half * np.stack([np.sin(SHOWN_PHASE + theta), np.sin(SHOWN_PHASE - theta)]),
        "phases": np.concatenate([phases, math.pi / 2.0 - np.asarray(phases)[::-1]]),
        "standard quantum limit": 4.0 * spin,
        "1/sqrt(S)": _scan(spin, 1.0 / math.sqrt(spin), phases, noise),
        "1/S": _scan(spin, 1.0 / spin, phases, noise),
    }


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.4, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    edge = 0.5 / (2.0 * SHOWN_SPIN)
    image = left.imshow(
        found["table"].T,
        origin="lower",
        extent=(-edge, 1.0 + edge, -edge, 1.0 + edge),
        cmap="Blues",
        norm=PowerNorm(0.5),
    )
    left.plot(*found["ellipse"], color="tab:red", lw=1.0, label="mean, Eq. 17")
    figure.colorbar(image, ax=left, label=r"$P(p_1, p_2\,|\,\phi)$", shrink=0.9)
    left.set(xlabel="$p_1$", ylabel="$p_2$")
    left.set_title(
        rf"S = 50, $\Delta/\Omega = 1/\sqrt{{S}}$, $\phi$ = {SHOWN_PHASE:g}", fontsize=10
    )
    left.legend(frameon=False, fontsize=9, loc="upper right")
    for name, label, colour in (
        ("1/sqrt(S)", r"$\Delta/\Omega = 1/\sqrt{S}$", "tab:blue"),
        ("1/S", r"$\Delta/\Omega = 1/S$", "tab:orange"),
    ):
        curve = found[name]
        right.semilogy(found["phases"], curve["cfi"], color=colour, lw=1.8, label=f"CFI, {label}")
        right.axhline(curve["qfi"], color=colour, lw=1.2, ls="--")
        right.semilogy(found["phases"], curve["noisy"], color=colour, lw=1.2, ls=":")
    right.axhline(found["standard quantum limit"], color="0.6", lw=0.8)
    right.text(0.785, found["standard quantum limit"] * 0.7, "4S", color="0.4", ha="center")
    right.plot([], [], "--", color="0.3", lw=1.2, label="QFI")
    right.plot([], [], ":", color="0.3", lw=1.2, label="CFI, noise of 1 atom")
    right.set(xlabel=r"differential phase $\phi$ (rad)", ylabel=r"information (rad$^{-2}$)")
    right.set_title("S = 100, common phase unknown", fontsize=10)
    right.set_xlim(0.0, math.pi / 2.0)
    right.set_ylim(60.0, 9e4)
    right.legend(frameon=False, fontsize=9, loc="lower center", ncols=2)
    path = folder / "chu_fig4.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
