"""Pictures of the three systems of Chu et al., "Reconfigurable dissipative entanglement".

Each fills two panels and returns the published figure that it follows.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from ..models.chain import Chain
from ..models.chain_order import spin_correlation_length, string_length, string_order
from ..models.distributed_sensing import FourEnsembles, pattern_information
from ..models.many_ensembles import ManyEnsembles, many_ensemble_state
from ..models.many_ensembles_metrology import entanglement_entropy, qfi_matrix
from ..models.predictions import Prediction
from ..models.two_ensembles import TwoEnsembles, steady_state
from .paper_figures_curves import BUDGET, around, mark, sampled, value_of


def two_ensembles(left: Axes, right: Axes, prediction: Prediction) -> str:
    """|c_J| of the state beside Delta = Omega/S; information against S (Chu Fig. 2c-d)."""
    p = prediction.parameters
    spin, drive, chi = float(p["S"]), float(p["Omega"]), float(p["chi"])
    ratio = float(p["Delta"]) / drive

    def information(s: float, slope: float) -> float:
        return steady_state(TwoEnsembles(s, 1.0, slope, chi / drive)).qfi

    for s_ratio, label in ((1.0 / spin, r"$\Delta/\Omega = 1/S$"), (ratio, "yours")):
        weights = steady_state(TwoEnsembles(spin, 1.0, s_ratio, chi / drive)).weights
        shown = np.unique(np.linspace(0, weights.size - 1, 2000).astype(np.intp))
        shown = shown[weights[shown] > 1e-9 * weights.max()]
        style = "-" if shown.size > 60 else ".-"
        colour = "tab:red" if label == "yours" else "0.6"
        left.plot(shown, np.sqrt(weights[shown]), style, color=colour, lw=1.4, label=label)
    left.set(xlabel="total spin J", ylabel=r"$|c_{J,-J}|$", title=f"S = {spin:g}")
    spins = np.round(2.0 * np.geomspace(0.5, max(100.0, 3.0 * spin), 45)) / 2.0
    s, both = sampled(lambda s: (information(s, 1.0 / s), information(s, ratio)), spins, spin)
    right.loglog(s, both[:, 0], color="0.6", lw=1.6, label=r"$\Delta/\Omega = 1/S$")
    right.loglog(s, both[:, 1], color="tab:red", lw=1.6, label=rf"$\Delta/\Omega = {ratio:.3g}$")
    right.loglog(s, 16.0 * s**2, "--", color="k", lw=1.0, label=r"Heisenberg, $(4S)^2$")
    right.loglog(s, 4.0 * s, ":", color="k", lw=1.0, label="standard quantum limit, 4S")
    mark(right, spin, value_of(prediction, "qfi"), "yours")
    right.set(xlabel="S", ylabel=r"quantum Fisher information (rad$^{-2}$)")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
    return "Chu Fig. 2c-d"


def many_ensembles(left: Axes, right: Axes, prediction: Prediction) -> str:
    """Entropies against the drive (Chu Fig. 5c-d), information of the patterns (Fig. 6c)."""
    p = prediction.parameters
    spin, drive, deltas = float(p["S"]), float(p["Omega"]), tuple(p["deltas"])
    count, chi = len(deltas), float(p["chi"])
    if value_of(prediction, "entropies") is None:
        return _four_at_infinite_drive(left, right, prediction)
    sides: list[tuple[int, ...]] = [
        side for side in ((1, 2), (1, 3), (1, 4)) if count > 2 and side[1] <= count
    ] or [(1,)]

    def row(omega: float) -> list[float]:
        state = many_ensemble_state(ManyEnsembles(spin, omega, deltas, chi))
        top = float(np.linalg.eigvalsh(qfi_matrix(state))[-1]) * count
        return [*(entanglement_entropy(state, side) for side in sides), top]

    scale = spin * max(abs(chi), 0.25 * max(map(abs, deltas)))
    high = 4.0 * scale if math.isinf(drive) else max(4.0 * scale, 1.5 * drive)
    low = 0.1 * scale if math.isinf(drive) else min(0.1 * scale, 0.7 * drive)
    grid = np.geomspace(low, high, 60)
    omega, rows = sampled(row, grid, drive, 2.0 * BUDGET)
    here = row(drive)
    dots = {"marker": "." if omega.size < 25 else None}
    for column, side in enumerate(sides):
        colour = f"C{column}"
        name = "".join(map(str, side))
        label = rf"$S_{{\rm vn}}(\rho_{{{name}}})$"
        left.semilogx(omega, rows[:, column], color=colour, lw=1.7, label=label, **dots)
        if math.isinf(drive):
            left.axhline(here[column], color=colour, ls=":", lw=1.0)
        else:
            mark(left, drive, here[column], "yours" if column == 0 else "_")
    right.loglog(
        omega, rows[:, -1], color="tab:blue", lw=1.7, label="best pattern of weights", **dots
    )
    sql = float(value_of(prediction, "qfi_sql"))
    right.axhline(sql, color="k", ls=":", lw=1.0, label=f"uncorrelated atoms, {sql:g}")
    if math.isinf(drive):
        right.axhline(here[-1], color="tab:red", ls="--", lw=1.0, label=r"yours, $\Omega = \infty$")
    else:
        mark(right, drive, here[-1], "yours")
    shown = ", ".join(f"{value:g}" for value in deltas).replace("-", "\N{MINUS SIGN}")
    left.set(ylabel="entropy (nat)", title=rf"$\delta$ = ({shown}), S = {spin:g}")
    right.set(ylabel=r"largest L $v^T F v/v^2$ (rad$^{-2}$)")
    for axes in (left, right):
        axes.set_xlabel(r"drive $\Omega$ (rate)")
        axes.axvline(spin * abs(chi), color="0.8", lw=0.8, zorder=0)
        axes.legend(frameon=False, fontsize=8)
    return "Chu Fig. 5c-d"


def _four_at_infinite_drive(left: Axes, right: Axes, prediction: Prediction) -> str:
    """Cuts through the map of the information of +-+- and +--+ (Chu Fig. 6a)."""
    p = prediction.parameters
    spin, chi = float(p["S"]), float(p["chi"])
    mine = [2.0 * float(value) for value in p["deltas"][:2]]
    names = {"+-+-": "qfi_alternating", "+--+": "qfi_curvature"}
    for axes, place, name in ((left, 0, "A"), (right, 1, "B")):

        def row(value: float, place: int = place) -> list[float]:
            pair = list(mine)
            pair[place] = value
            found = pattern_information(FourEnsembles(spin, pair[0], pair[1], chi))
            return [found["+-+-"], found["+--+"]]

        reach = max(4.0 * math.sqrt(spin) * abs(chi), 1.3 * abs(mine[place]))
        values, rows = sampled(row, np.linspace(-reach, reach, 160), mine[place])
        for column, (pattern, quantity) in enumerate(names.items()):
            shown = pattern.replace("-", "\N{MINUS SIGN}")
            axes.plot(values, rows[:, column], lw=1.6, label=f"F of {shown}")
            mark(axes, mine[place], value_of(prediction, quantity), "_" if column else "yours")
        axes.axhline(8.0 * spin, color="k", ls=":", lw=1.0, label="uncorrelated atoms, 8S")
        axes.set(xlabel=rf"$\Delta_{name}$ (rate)", ylabel=r"information (rad$^{-2}$)")
        axes.legend(frameon=False, fontsize=8)
    left.set_title(f"S = {spin:g}, infinite drive")
    return "Chu Fig. 6a"


def chain(left: Axes, right: Axes, prediction: Prediction) -> str:
    """String order against Delta_b, string length against the drive (Chu Figs. 8, D28)."""
    p = prediction.parameters
    chi, bulk, drive = float(p["chi"]), float(p["Delta_b"]), float(p["Omega"])
    mine = Chain(p["S"], p["Delta_e"], bulk, chi)
    angle = float(p["phi"])

    def order(value: float) -> list[float]:
        one = replace(mine, bulk_detuning=value)
        return [string_order(one, angle), spin_correlation_length(one)]

    detunings, rows = sampled(order, around(abs(bulk), 0.0, 6.0 * abs(chi), 240), abs(bulk))
    left.plot(detunings, rows[:, 0], color="tab:blue", lw=1.7, label="string order")
    lengths = left.twinx()
    lengths.plot(detunings, rows[:, 1], color="0.6", lw=1.2)
    lengths.set_ylabel("spin correlation length (ensembles)", color="0.5")
    lengths.set_ylim(0.0, None)
    left.set_zorder(lengths.get_zorder() + 1)
    left.patch.set_visible(False)
    mark(left, abs(bulk), order(abs(bulk))[0], "yours, at infinite drive")
    left.set(
        xlabel=r"$|\Delta_b|$ (rate)",
        ylabel=rf"string order at $\varphi$ = {angle / math.pi:.3g}$\pi$",
        title=rf"S = {mine.spin:g}, $\Omega\to\infty$",
        ylim=(0.0, max(0.05, 1.3 * float(rows[:, 0].max()))),
    )
    if mine.dimension <= 20:
        known = math.isfinite(drive)
        grid = np.geomspace(0.5, 30.0, 60) * max(1.0, mine.spin) * abs(chi)
        drives, reach = sampled(
            lambda omega: [string_length(replace(mine, rabi_frequency=omega), angle)], grid, drive
        )
        right.loglog(drives, reach[:, 0], color="tab:blue", lw=1.7, label="string length")
        if mine.spin == 0.5 and mine.edge_detuning == 0.0 and abs(bulk**2 / chi**2 - 2.0) < 1e-9:
            guide = 2.0 / 3.0 * (drives / chi) ** 2
            right.loglog(drives, guide, "--", color="0.6", lw=1.0, label=r"$(2/3)(\Omega/\chi)^2$")
        mark(right, drive, value_of(prediction, "string_length"), "yours")
        right.set(xlabel=r"drive $\Omega$ (rate)", ylabel="length (ensembles)")
        right.set_title("infinite for yours" if not known else "at a finite drive")
        right.legend(frameon=False, fontsize=8)
    else:
        right.set_axis_off()
        right.text(0.05, 0.5, "infinite drive: the string order does not decay")
    left.legend(frameon=False, fontsize=8)
    return "Chu Fig. 8, Eq. D28"
