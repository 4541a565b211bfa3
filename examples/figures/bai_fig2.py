"""Bai & An, Fig. 2: Husimi function while the spin is squeezed, seen along the mean spin.

N = 30, r = 0.8, Delta_N = cosh(2r) A, alpha = 0.5, from all atoms down; the lower half of the
sphere, projected on the x-y plane. The line is the squeezed axis (pi - arg<S_-^2>)/2. Agrees;
the axis starts at pi/2 - alpha/2 and the detuning turns it by 0.1 rad on the way, which the
analysis phase of a measurement has to follow.

    python examples/figures/bai_fig2.py [folder]
"""

import math
import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.squeezed_reservoir import SqueezedReservoir
from cavitylab.models.squeezed_reservoir_dynamics import (
    evolved_density_matrices,
    husimi,
    squeezed_evolution,
)

ATOMS, SQUEEZING, PHASE = 30, 0.8, 0.5
TIMES = (0.0, 0.01, 0.1, 4.0)


def data(points: int = 181) -> dict:
    """Plane (y, x) in units of the unit sphere, Q (time, y, x) with nan outside, axes, xi^2."""
    parameters = SqueezedReservoir(ATOMS, SQUEEZING, math.cosh(2.0 * SQUEEZING), PHASE)
    line = np.linspace(-1.0, 1.0, points)
    x, y = np.meshgrid(line, line)
    radius = np.hypot(x, y)
    inside = radius < 1.0
    theta = math.pi - np.arcsin(radius[inside])
    phi = np.arctan2(y[inside], x[inside])
    planes = np.full((len(TIMES), points, points), np.nan)
    for plane, rho in zip(planes, evolved_density_matrices(parameters, TIMES), strict=True):
        plane[inside] = husimi(rho, theta, phi)
    states = squeezed_evolution(parameters, TIMES)
    return {
        "line": line,
        "Q": planes,
        "axis": np.array([state.angle for state in states]),
        "xi2": np.array([state.xi2 for state in states]),
    }


def main(folder: Path) -> Path:
    """Draw the four panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(11.0, 2.7), layout="constrained")
    panels = figure.subplots(1, len(TIMES))
    for k, axes in enumerate(panels):
        image = axes.imshow(
            found["Q"][k],
            origin="lower",
            extent=(-1.0, 1.0, -1.0, 1.0),
            cmap="magma",
            vmin=0.0,
        )
        turn = np.linspace(0.0, 2.0 * math.pi, 200)
        axes.plot(np.cos(turn), np.sin(turn), color="0.6", lw=0.8)
        if k:
            axis = found["axis"][k]
            reach = np.array([-0.85, 0.85])
            axes.plot(reach * math.cos(axis), reach * math.sin(axis), color="tab:cyan", lw=1.0)
        figure.colorbar(image, ax=axes, shrink=0.7)
        axes.set_title(rf"A t = {TIMES[k]:g}, $\xi_R^2$ = {found['xi2'][k]:.2f}", fontsize=10)
        axes.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1), xlabel="x")
        axes.set_facecolor("black")
    panels[0].set_ylabel("y")
    path = folder / "bai_fig2.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
