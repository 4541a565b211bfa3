"""Chu et al., Fig. 6(a)-(c): four ensembles as a sensor of a field's curvature.

Detunings (A, B, -B, -A)/2. (a) Quantum Fisher information of +-+- and +--+ in the
large-drive limit, S = 10. (b) Greatest information against S: +-+- at infinite drive, +--+
over the drive too (S up to 20). (c) +--+ against the drive for S = 10, A = 0, B = 8 chi,
without noise, after complete common-phase noise, and after gradient noise besides.
(a) and (c) agree; noise costs at most 9 % from Omega = 30 chi on. (b) agrees in the
scaling with S^2. The limit 64 S(S+1)/3 is approached by +-+- (98 % at S = 50); +--+ stays
at 0.71 of it at infinite drive, and only from S = 6 on a finite drive does better: 0.76,
0.79, 0.82 and 0.85 of it at S = 10, 14, 20 and 30 (the last not drawn), near Omega = 4 S chi.

    python examples/figures/chu_fig6.py [folder]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

from cavitylab.models.distributed_sensing import (
    COMMON,
    CURVATURE,
    GRADIENT,
    FourEnsembles,
    best_detunings,
    greatest_information,
    pattern_information,
)
from cavitylab.models.many_ensembles import many_ensemble_state
from cavitylab.models.many_ensembles_metrology import dephased_qfi

SPIN = 10.0
DETUNINGS = np.linspace(-20.0, 20.0, 61)
DRIVES = np.array([5.0, 7.5, 10.0, 12.5, 15.0, 17.5, 20.0, 25.0, 30.0, 40.0, 50.0, 70.0, 100.0])
SPINS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
FINITE_SPINS = (6.0, 10.0, 14.0, 20.0)


def maps(spin: float = SPIN, detunings: np.ndarray = DETUNINGS) -> dict:
    """(a) Information of +-+- and +--+; rows Delta_B/chi, columns Delta_A/chi."""
    found = np.array(
        [
            [pattern_information(FourEnsembles(spin, a, b, 1.0)) for a in detunings]
            for b in detunings
        ],
        dtype=object,
    )
    pick = np.vectorize(lambda one, pattern: one[pattern], otypes=[float])
    return {"detunings": detunings, "+-+-": pick(found, "+-+-"), "+--+": pick(found, "+--+")}


def best_at_finite_drive(spin: float) -> tuple[float, float, float]:
    """Greatest information of +--+ over Omega and Delta_B at Delta_A = 0, and where (chi = 1)."""

    def loss(point: np.ndarray) -> float:
        drive, inner = np.exp(point)
        return -pattern_information(FourEnsembles(spin, 0.0, inner, 1.0, drive)).curvature

    corners = spin * np.array([[3.7, 0.92], [4.0, 0.92], [3.7, 0.82]])
    options: Any = {
        "initial_simplex": np.log(corners),
        "xatol": 1e-2,
        "fatol": 1e-5 * greatest_information(spin),
        "maxfev": 25,
    }
    found = minimize(loss, np.log(corners[0]), method="Nelder-Mead", options=options)
    drive, inner = np.exp(found.x)
    return -float(found.fun), float(drive), float(inner)


def scaling(spins: tuple = SPINS, finite_spins: tuple = FINITE_SPINS) -> dict:
    """(b) Greatest information over the detunings, and for +--+ over the drive."""
    found: dict = {"spins": np.array(spins), "finite spins": np.array(finite_spins)}
    for pattern in ("+-+-", "+--+"):
        sensors = [best_detunings(spin, 1.0, pattern) for spin in spins]
        found[pattern] = np.array([pattern_information(one)[pattern] for one in sensors])
    found["+--+ finite drive"] = np.array([best_at_finite_drive(s)[0] for s in finite_spins])
    found["limit"] = np.array([greatest_information(spin) for spin in spins])
    return found


def noise(spin: float = SPIN, inner: float = 8.0, drives: np.ndarray = DRIVES) -> dict:
    """(c) Information of +--+ without noise, with common and with common and gradient noise."""
    rows = []
    for drive in drives:
        state = many_ensemble_state(FourEnsembles(spin, 0.0, inner, 1.0, float(drive)).as_many())
        kinds = ((), (COMMON,), (COMMON, GRADIENT))
        rows.append([dephased_qfi(state, CURVATURE, kind) for kind in kinds])
    pure, common, both = np.array(rows).T
    return {"drives": drives, "pure": pure, "common": common, "both": both}


def data() -> dict:
    """All three panels."""
    return {"maps": maps(), "scaling": scaling(), "noise": noise()}


def _symbol(pattern: str) -> str:
    """F with a pattern of signs below, set closely."""
    return "$F_{" + "".join(f"{{{sign}}}" for sign in pattern) + "}$"


def _draw_maps(figure: Any, panels: Any, found: dict) -> None:
    edge = float(np.abs(found["detunings"]).max())
    top = greatest_information(SPIN)
    for panel, pattern in zip(panels, ("+-+-", "+--+"), strict=True):
        image = panel.imshow(
            found[pattern] / top,
            origin="lower",
            extent=(-edge, edge, -edge, edge),
            vmin=0.0,
            vmax=1.0,
            cmap="viridis",
        )
        panel.set_title(rf"{_symbol(pattern)}, $\Omega\to\infty$, S = {SPIN:g}", fontsize=10)
        panel.set(xlabel=r"$\Delta_A/\chi$", ylabel=r"$\Delta_B/\chi$")
    figure.colorbar(image, ax=list(panels), label=r"$F\,/\,[64S(S+1)/3]$", shrink=0.9)


def _draw_scaling(panel: Any, found: dict) -> None:
    spins = found["spins"]
    panel.loglog(spins, found["limit"], "--", color="0.4", lw=1.2, label="$64S(S+1)/3$")
    panel.loglog(spins, found["+-+-"], "o-", ms=4, label=_symbol("+-+-") + r", $\Omega\to\infty$")
    panel.loglog(spins, found["+--+"], "s-", ms=4, label=_symbol("+--+") + r", $\Omega\to\infty$")
    panel.loglog(
        found["finite spins"],
        found["+--+ finite drive"],
        "^",
        ms=6,
        mfc="none",
        color="tab:red",
        label=_symbol("+--+") + r", best $\Omega$",
    )
    panel.loglog(spins, 8.0 * spins, ":", color="0.6", lw=1.2, label="uncorrelated, 8S")
    panel.set(xlabel="S", ylabel=r"greatest information (rad$^{-2}$)")
    panel.legend(frameon=False, fontsize=9)


def _draw_noise(panel: Any, found: dict) -> None:
    panel.plot(found["drives"], found["pure"], "-", lw=1.8, label=r"$|\psi\rangle$")
    panel.plot(found["drives"], found["common"], "o", ms=4.5, label=r"$\rho_c$: common phase")
    panel.plot(found["drives"], found["both"], "v", ms=4.5, label=r"$\rho_{c+g}$: and gradient")
    panel.axhline(8.0 * SPIN, color="0.6", ls=":", lw=1.2)
    panel.text(100.0, 8.0 * SPIN + 20.0, "uncorrelated, 8S", color="0.4", ha="right", fontsize=9)
    panel.set(xlabel=r"drive  $\Omega/\chi$", ylabel=_symbol("+--+") + r" (rad$^{-2}$)")
    panel.set_title(rf"S = {SPIN:g}, $\Delta_A$ = 0, $\Delta_B = 8\chi$", fontsize=10)
    panel.legend(frameon=False, fontsize=9, loc="center right")


def main(folder: Path) -> Path:
    """Draw the panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.4, 8.0), layout="constrained")
    upper, lower = figure.subfigures(2, 1)
    _draw_maps(upper, upper.subplots(1, 2), found["maps"])
    panels = lower.subplots(1, 2)
    _draw_scaling(panels[0], found["scaling"])
    _draw_noise(panels[1], found["noise"])
    path = folder / "chu_fig6.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
