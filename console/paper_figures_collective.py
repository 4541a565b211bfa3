"""Pictures of two-mode squeezing, the squeezed reservoir and the two superradiant systems.

Each fills two panels and returns the published figure that it follows (Mamaev et al., Bai & An,
Shimshi & Shahmoon, Shen et al.).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..models.multi_ensemble_superradiance import (
    CoupledEnsembles,
    operating_point,
    superradiance_potential,
)
from ..models.multi_ensemble_superradiance_sensing import sensing_figures
from ..models.predictions import Prediction
from ..models.pumped_superradiance import (
    PumpedEnsemble,
    inversion_limit,
    pumped_steady_state,
)
from ..models.pumped_superradiance_modes import relaxation_gap
from ..models.squeezed_reservoir import (
    SqueezedReservoir,
    gaussian_xi2,
    squeezed_steady_state,
)
from ..models.two_mode_squeezing import two_mode_amplitudes, two_mode_squeezed_spins
from ..models.two_mode_squeezing_comparison import optimum_paired_amplitudes
from .paper_figures_curves import around, mark, sampled, value_of


def two_mode_squeezing(left: Axes, right: Axes, prediction: Prediction) -> str:
    """Squeezing against r, and the amplitudes of the state (Mamaev Fig. 2a-b)."""
    spin, r = float(prediction.parameters["S"]), float(prediction.parameters["r"])
    grid = np.union1d(around(r, 0.0, max(3.0, 0.5 * math.log(8.0 * spin) + 1.0), 200), [r])
    for s in sorted({5.0, 50.0, 500.0, spin}):
        own = s == spin
        heights = [two_mode_squeezed_spins(s, float(value)).xi2 for value in grid]
        colour = "tab:red" if own else "0.7"
        left.semilogy(grid, heights, color=colour, lw=1.7, label=f"N = {4 * s:g}")
    left.semilogy(grid, np.exp(-2.0 * grid), "--", color="k", lw=1.0, label=r"$e^{-2r}$")
    left.axhline(3.0 / (4.0 * spin + 4.0), color="tab:red", ls=":", lw=1.0, label="3/(N+4)")
    mark(left, r, value_of(prediction, "xi2"), "yours")
    local = value_of(prediction, "xi2_local")
    if local is not None:
        left.plot(
            [r],
            [local],
            "s",
            ms=5,
            color="tab:orange",
            mec="k",
            zorder=6,
            label="yours, local noise",
        )
    least = 1.0 / (4.0 * spin + 4.0)
    left.set(xlabel="r", ylabel=r"$\xi^2$", ylim=(least, max(2.0, 1.5 * (local or 0.0))))
    levels = round(2.0 * spin)
    m = np.unique(np.linspace(0, levels, 2000).astype(np.intp))
    style = "o-" if levels <= 60 else "-"
    size: dict[str, Any] = {"ms": 3, "lw": 1.4}
    mine = np.abs(two_mode_amplitudes(levels, r))
    best = np.abs(optimum_paired_amplitudes(spin))
    right.plot(m, mine[m], style, color="tab:red", label=f"r = {r:g}", **size)
    right.plot(m, best[m], style, color="0.6", label="largest information (binomial)", **size)
    right.axhline(1.0 / math.sqrt(levels + 1.0), color="k", ls=":", lw=1.0, label=r"$r\to\infty$")
    right.set(xlabel="m", ylabel=r"$|a_m|$", title=f"S = {spin:g}", yscale="log", ylim=(1e-6, 2.0))
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
    return "Mamaev Fig. 2a-b"


def squeezed_reservoir(left: Axes, right: Axes, prediction: Prediction) -> str:
    """Squeezing against r (Bai & An Fig. 3a), and the noise ellipse of the state."""
    p = prediction.parameters
    atoms, r, shift = round(p["N"]), float(p["r"]), float(p["shift"])
    base = SqueezedReservoir(atoms, r, p["delta"], p["alpha"], p["eta"])

    def at(value: float) -> SqueezedReservoir:
        detuning = base.detuning + shift * math.cosh(2.0 * value)
        return replace(base, squeezing=value, detuning=detuning)

    # ends where the state is found at least as quickly as at the user's own r
    grid = around(r, 0.0, min(2.0, max(1.15 * r, 0.5 * math.log(atoms + 2.0))), 60)
    grid = grid[grid <= max(1.25 * r, 0.3)]
    found, rows = sampled(lambda value: [squeezed_steady_state(at(value)).gain], grid, r)
    left.plot(found, rows[:, 0], color="tab:blue", lw=1.7, label=f"N = {atoms}, yours")
    linear = [1.0 / gaussian_xi2(at(float(value))) for value in grid]
    left.plot(grid, linear, "--", color="0.6", lw=1.2, label=r"$N\to\infty$")
    if shift != 0.0 or base.detuning != 0.0:
        even = atoms + atoms % 2
        tuned = replace(base, atoms=even, detuning=0.0)
        found, rows = sampled(
            lambda value: [squeezed_steady_state(replace(tuned, squeezing=value)).gain], grid
        )
        label = rf"N = {even}, $\Delta_N = 0$"
        left.plot(found, rows[:, 0], ":", color="tab:green", lw=1.4, label=label)
    left.axhline(1.0, color="0.7", lw=0.8)
    xi2 = value_of(prediction, "xi2")
    mark(left, r, 1.0 / xi2 if xi2 else None, "yours")
    left.set(xlabel="r", ylabel=r"$1/\xi_R^2$", ylim=(0.0, None))
    left.legend(frameon=False, fontsize=8)
    state = squeezed_steady_state(base if shift == 0.0 else at(r))
    turn = np.linspace(0.0, 2.0 * math.pi, 400)
    axis = value_of(prediction, "axis") or 0.0
    short, wide = (2.0 * np.sqrt(max(v, 0.0) / atoms) for v in (state.v_min, state.v_max))
    x, y = short * np.cos(turn), wide * np.sin(turn)
    c, s = math.cos(axis), math.sin(axis)
    right.plot(np.cos(turn), np.sin(turn), color="0.6", label="uncorrelated atoms")
    right.plot(c * x - s * y, s * x + c * y, color="tab:blue", lw=1.7, label="yours")
    right.plot(
        [-1.3 * c, 1.3 * c], [-1.3 * s, 1.3 * s], ":", color="tab:red", label="squeezed axis"
    )
    right.set(xlabel=r"$S_x/\sqrt{N/4}$", ylabel=r"$S_y/\sqrt{N/4}$", title="noise ellipse (std)")
    right.axis("equal")
    right.legend(frameon=False, fontsize=8, loc="upper right")
    return "Bai & An Fig. 3a"


def pumped_superradiance(left: Axes, right: Axes, prediction: Prediction) -> str:
    """Inversion and relaxation rate against the pump (Shimshi & Shahmoon Fig. 2)."""
    p = prediction.parameters
    atoms, w = round(p["N"]), float(p["w"])
    mine = 0.5 * atoms * (w - 1.0)
    reach = max(10.0, 1.25 * abs(mine))
    scaled = np.linspace(max(-reach, -0.5 * atoms), reach, 161)

    def mean(s: float) -> list[float]:
        return [pumped_steady_state(PumpedEnsemble.at(atoms, s)).mean]

    s, rows = sampled(mean, scaled, mine)
    left.plot(1.0 + 2.0 * s / atoms, rows[:, 0], color="tab:blue", lw=1.8, label="exact, Eq. 3")
    limit = [0.5 * atoms * inversion_limit(float(value))[0] for value in scaled]
    left.plot(1.0 + 2.0 * scaled / atoms, limit, "--", color="k", lw=1.0, label="large N, Eq. 4")
    mark(left, w, value_of(prediction, "mean_jz"), "yours")
    width = value_of(prediction, "hysteresis_width")
    middle = value_of(prediction, "hysteresis_midpoint")
    if width is not None and middle is not None:
        centre = 1.0 + float(middle)
        ends = (centre - 0.5 * float(width), centre + 0.5 * float(width))
        left.plot(ends, [0.0, 0.0], "|-", color="tab:orange", ms=14, label="hysteresis of scans")
    left.set(ylabel=r"$\langle J_z\rangle$", title=f"N = {atoms}")
    s, rows = sampled(lambda s: [relaxation_gap(PumpedEnsemble.at(atoms, s))], scaled, mine)
    right.plot(1.0 + 2.0 * s / atoms, rows[:, 0], color="tab:blue", lw=1.8, label="exact gap")
    away = np.where(scaled == 0.0, 1e-9, scaled)
    cumulant = 2.0 * away / np.tanh(away)
    right.plot(1.0 + 2.0 * scaled / atoms, cumulant, "--", color="tab:red", lw=1.2, label="Eq. 7")
    mark(right, w, value_of(prediction, "gap"), "yours")
    right.set(ylabel=r"$\lambda/\gamma$", ylim=(0.0, None))
    for axes in (left, right):
        axes.axvline(1.0, color="0.8", lw=0.8, zorder=0)
        axes.set_xlabel(r"pump $w/\gamma$")
        axes.legend(frameon=False, fontsize=8)
    return "Shimshi & Shahmoon Fig. 2"


def multi_ensemble(left: Axes, right: Axes, prediction: Prediction) -> str:
    """The tilted potential with its minimum, and xi2 against K (Shen Figs. 2-3)."""
    p = prediction.parameters
    ensembles = CoupledEnsembles(p["fractions"], p["couplings"], round(p["N"]), p["Gamma"])
    k, unit = float(p["K"]), ensembles.unit_drive
    point = operating_point(ensembles, k)
    theta = np.linspace(0.0, max(1.25 * point.critical_theta, 1.5 * point.theta), 400)
    drives = ((0.0, "0.6", "without drive"), (point.drive, "tab:blue", r"your $\Omega$"))
    for drive, colour, label in drives:
        heights = superradiance_potential(ensembles, theta, drive) / unit
        left.plot(theta / math.pi, heights, color=colour, lw=1.7, label=label)
    bottom = float(superradiance_potential(ensembles, point.theta, point.drive)) / unit
    mark(left, point.theta / math.pi, bottom, f"yours, K = {k:g}")
    left.set(xlabel=r"$\theta/\pi$", ylabel=r"$V/(N\Gamma/2)$")
    left.set_title(rf"$\Omega = {point.drive / point.critical_drive:.3g}\,\Omega_c$")
    direction = p.get("direction")

    def row(value: float) -> list[float]:
        found = sensing_figures(ensembles, value, direction)
        return [found.mssc, float(np.linalg.eigvalsh(found.squeezing_matrix)[0])]

    values, rows = sampled(row, np.geomspace(min(0.02, 0.5 * k), 1.0, 80), k)
    along = "along the best direction" if direction is None else "along your direction"
    right.loglog(values, rows[:, 0], color="tab:blue", lw=1.7, label=along)
    right.loglog(values, rows[:, 1], "--", color="tab:green", lw=1.4, label="least eigenvalue")
    right.loglog(values, values, ":", color="0.5", lw=1.0, label="K")
    mark(right, k, value_of(prediction, "mssc"), "yours")
    exact = value_of(prediction, "xi2_exact")
    if exact is not None:
        right.plot([k], [exact], "o", mfc="w", color="tab:orange", label="exact at this N")
    right.set(xlabel="curvature K", ylabel=r"$\xi^2$, large N")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
    return "Shen Figs. 2-3"
