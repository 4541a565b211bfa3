"""Chu et al., Fig. 8(a)-(c): correlation length and string order of the chain, large drive.

(a) Spin-1/2 chain against the detunings: correlation length and string order at phi = pi; star
the AKLT state, circle the dimer state, dashed the lines of no correlation. (b) String order
against phi at Delta_e = 0, Delta_b = sqrt(2) chi for S = 1/2 to 2. (c) Greatest string order
over detunings and phi against S, beside the AKLT state of spin 2S and the dimer state.
All three agree with the publication: 4/9 at AKLT, none at phi = pi for integer S, and in (c)
about half of the AKLT value for large S (0.55 at S = 10, 0.52 at S = 20).

    python examples/figures/chu_fig8.py [folder]
"""

import math
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from scipy.optimize import minimize, minimize_scalar

from cavitylab.models.chain import Chain, aklt_amplitudes, cell_amplitudes
from cavitylab.models.chain_order import correlation_length, order_of_amplitudes, string_order

DETUNINGS = np.linspace(0.0, 6.0, 61)
ANGLES = np.linspace(0.0, 2.0 * math.pi, 201)
CURVE_SPINS = (0.5, 1.0, 1.5, 2.0)
SPINS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 14.0, 20.0)
AKLT = math.sqrt(2.0)


def maps(detunings: np.ndarray = DETUNINGS) -> dict:
    """(a) Rows Delta_b/chi, columns Delta_e/chi."""
    chains = [[Chain(0.5, e, b, 1.0) for e in detunings] for b in detunings]
    return {
        "detunings": detunings,
        "length": np.array([[correlation_length(one) for one in row] for row in chains]),
        "order": np.array([[string_order(one) for one in row] for row in chains]),
    }


def curves(angles: np.ndarray = ANGLES, spins: tuple = CURVE_SPINS) -> dict:
    """(b) String order against the angle for each spin."""
    found: dict = {"angles": angles}
    for spin in spins:
        chain = Chain(spin, 0.0, AKLT, 1.0)
        found[spin] = np.array([string_order(chain, float(angle)) for angle in angles])
    return found


def best_angle(spin: float) -> float:
    """The angle of greatest string order; the detunings do not enter (Chu Eq. 38)."""
    amplitudes = aklt_amplitudes(spin)
    bounds = (0.2 / spin, math.pi) if spin == 0.5 else (0.2 / spin, 4.5 / (spin + 0.5))
    found: Any = minimize_scalar(
        lambda angle: -order_of_amplitudes(amplitudes, angle), bounds=bounds, method="bounded"
    )
    return float(found.x)


def best_order(spin: float, angle: float) -> tuple[float, float, float]:
    """Greatest string order over the detunings (chi = 1), and where."""

    def loss(point: np.ndarray) -> float:
        chain = Chain(spin, abs(float(point[0])), abs(float(point[1])), 1.0)
        return -order_of_amplitudes(cell_amplitudes(chain), angle)

    scale = math.sqrt(2.0 * spin)
    starts = [(e, b) for e in (0.0, 0.5, 1.5) for b in (0.5, 1.0, 1.5, 2.5)]
    ranked = sorted(starts, key=lambda start: loss(scale * np.array(start)))
    fits = [
        minimize(loss, scale * np.array(start) + 0.01, method="Nelder-Mead") for start in ranked[:3]
    ]
    best = min(fits, key=lambda fit: float(fit.fun))
    return -float(best.fun), abs(float(best.x[0])), abs(float(best.x[1]))


def scaling(spins: tuple = SPINS) -> dict:
    """(c) Greatest string order of the chain, of the AKLT and of the dimer state."""
    rows = []
    for spin in spins:
        angle = best_angle(spin)
        dimer = np.ones(round(2 * spin) + 1, dtype=complex)
        aklt = order_of_amplitudes(aklt_amplitudes(spin), angle)
        rows.append((best_order(spin, angle)[0], aklt, order_of_amplitudes(dimer, angle)))
    best, aklt, dimer = np.array(rows).T
    return {"spins": np.array(spins), "best": best, "aklt": aklt, "dimer": dimer}


def data() -> dict:
    """All three panels."""
    return {"maps": maps(), "curves": curves(), "scaling": scaling()}


def _draw_maps(figure: Figure, panels: Any, found: dict) -> None:
    top = float(found["detunings"][-1])
    grid = np.array(found["detunings"])
    for panel, name, label, norm in (
        (panels[0], "length", r"$L_{\rm corr}$ (ensembles)", LogNorm(0.3, 30.0)),
        (panels[1], "order", r"$O_{\rm string}(\pi)$", None),
    ):
        values = np.clip(found[name], 0.3, None) if name == "length" else found[name]
        image = panel.pcolormesh(grid, grid, values, norm=norm, cmap="viridis", shading="nearest")
        extend = "max" if name == "length" else "neither"
        figure.colorbar(image, ax=panel, label=label, shrink=0.9, extend=extend)
        panel.plot(0.0, AKLT, "*", color="white", mec="tab:blue", ms=13, clip_on=False)
        panel.plot(0.0, 0.0, "o", color="white", mec="tab:blue", ms=8, clip_on=False)
        panel.set(xlim=(0.0, top), ylim=(0.0, top), aspect="equal")
        panel.set(xlabel=r"$\Delta_e/\chi$", ylabel=r"$\Delta_b/\chi$")
        panel.set_title("S = 1/2", fontsize=10)
    panels[0].plot(grid, grid, "--", color="white", lw=1.0)
    panels[0].plot(grid, np.sqrt(grid**2 + 8.0), "--", color="white", lw=1.0)


def main(folder: Path) -> Path:
    """Draw the panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.0, 7.6), layout="constrained")
    panels = figure.subplots(2, 2)
    _draw_maps(figure, panels[0], found["maps"])
    left, right = panels[1]
    for spin in CURVE_SPINS:
        left.plot(ANGLES / math.pi, found["curves"][spin], lw=1.7, label=f"S = {spin:g}")
    left.set(xlabel=r"string angle $\varphi/\pi$", ylabel=r"$O_{\rm string}(\varphi)$")
    left.set_title(r"$\Delta_e = 0$, $\Delta_b = \sqrt{2}\chi$", fontsize=10)
    left.legend(frameon=False, fontsize=9)
    curves_shown = found["scaling"]
    for name, style, label in (
        ("aklt", "s--", "AKLT state of spin 2S"),
        ("best", "o-", "best detunings"),
        ("dimer", "^:", "dimer state"),
    ):
        right.loglog(curves_shown["spins"], curves_shown[name], style, ms=4.5, label=label)
    right.set(xlabel="S", ylabel=r"$[O_{\rm string}(\varphi)]_{\rm max}$")
    right.legend(frameon=False, fontsize=9)
    path = folder / "chu_fig8.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
