"""Shen et al., Fig. 2: superradiance potential, its minima and their curvature.

(a) Undriven potential of three ensembles, p = (0.2, 0.3, 0.5), eta = (1, 0.7, 0.3), with its
minima (full) and maxima (open); dashed, Dicke superradiance. (b) Curvature K; minima of (a) exist
at a few values of K only. (c) A drive tilts the potential into a washboard and moves the first
minimum to any K down to zero. The parameters are our own choice, those of the published figure
could not be read. The statements agree: without a drive the curvatures are discrete, with
it they are not, and the minimum is lost at the critical drive.

    python examples/figures/shen_fig2.py [folder]
"""

import math
import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.multi_ensemble_superradiance import (
    CoupledEnsembles,
    operating_point,
    stationary_points,
    superradiance_curvature,
    superradiance_potential,
)

ENSEMBLES = CoupledEnsembles((0.2, 0.3, 0.5), (1.0, 0.7, 0.3), 1000)
DICKE = CoupledEnsembles((1.0,), (1.0,), 1000)
CURVATURES = (0.8, 0.4, 0.1)


def data(upper: float = 4.0 * math.pi, curvatures: tuple[float, ...] = CURVATURES) -> dict:
    """Potentials in units of N Gamma/2 against theta, K, stationary points, tilted potentials."""
    unit = ENSEMBLES.unit_drive
    theta = np.linspace(0.0, upper, 1201)
    near = np.linspace(0.0, 1.25 * math.pi, 401)
    points = stationary_points(ENSEMBLES, -0.01, upper)
    tilted = []
    for curvature in curvatures:
        point = operating_point(ENSEMBLES, curvature)
        tilted.append(
            {
                "K": curvature,
                "theta": point.theta,
                "drive": point.drive / unit,
                "critical": point.critical_drive / unit,
                "potential": superradiance_potential(ENSEMBLES, near, point.drive) / unit,
                "minimum": float(superradiance_potential(ENSEMBLES, point.theta, point.drive))
                / unit,
            }
        )
    angles = np.array([p.theta for p in points])
    return {
        "theta": theta,
        "near": near,
        "potential": superradiance_potential(ENSEMBLES, theta) / unit,
        "dicke": superradiance_potential(DICKE, theta) / unit,
        "curvature": superradiance_curvature(ENSEMBLES, theta),
        "angles": angles,
        "heights": superradiance_potential(ENSEMBLES, angles) / unit,
        "curvatures": np.array([p.curvature for p in points]),
        "stable": np.array([p.stable for p in points]),
        "tilted": tilted,
    }


def main(folder: Path) -> Path:
    """Draw the three panels into the folder; returns the picture's path."""
    found = data()
    stable = found["stable"]
    figure = Figure(figsize=(10.4, 4.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1.3, 1.0))
    top = figure.add_subplot(grid[0, 0])
    bottom = figure.add_subplot(grid[1, 0], sharex=top)
    right = figure.add_subplot(grid[:, 1])
    turns = found["theta"] / math.pi
    top.plot(turns, found["dicke"], "--", color="0.6", lw=1.2, label="Dicke")
    top.plot(turns, found["potential"], color="tab:blue", lw=1.8, label="three ensembles")
    for axis, heights in ((top, found["heights"]), (bottom, found["curvatures"])):
        at = found["angles"] / math.pi
        axis.plot(at[stable], heights[stable], "o", color="tab:red", ms=6, label="stable")
        axis.plot(
            at[~stable], heights[~stable], "o", mfc="w", color="tab:red", ms=6, label="unstable"
        )
    top.set_ylabel(r"$V / (N\Gamma/2)$")
    top.set_ylim(-0.15, 2.9)
    top.set_title("(a) undriven potential", fontsize=10)
    top.legend(frameon=False, fontsize=8, ncols=4, loc="upper center")
    top.tick_params(labelbottom=False)
    bottom.plot(turns, found["curvature"], color="tab:blue", lw=1.8)
    bottom.axhspan(0.0, 1.05, color="tab:green", alpha=0.1, lw=0)
    bottom.set(xlabel=r"$\theta/\pi$", ylabel="curvature $K$", xlim=(-0.08, 4.0), ylim=(-1.0, 1.05))
    bottom.set_title("(b) stable where K > 0", fontsize=10)
    for curve, colour in zip(
        found["tilted"], ("tab:blue", "tab:orange", "tab:purple"), strict=True
    ):
        label = (
            rf"K = {curve['K']:g}, $\Omega = {curve['drive'] / curve['critical']:.2f}\,\Omega_c$"
        )
        right.plot(found["near"] / math.pi, curve["potential"], color=colour, lw=1.8, label=label)
        right.plot(curve["theta"] / math.pi, curve["minimum"], "o", color="tab:red", ms=6)
    right.set(xlabel=r"$\theta/\pi$", ylabel=r"$V / (N\Gamma/2)$", xlim=(0.0, 1.25))
    right.set_title("(c) tilted by the drive that balances the decay", fontsize=10)
    right.legend(frameon=False, fontsize=9, loc="lower left")
    path = folder / "shen_fig2.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
