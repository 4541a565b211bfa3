"""Chu et al., Fig. 10: the second-order cumulant expansion beside the exact state.

(a) Wineland parameter over time from all atoms down, S = 30, S Delta/Omega = 10, Omega = 2 S
Gamma: exact without single-spin decay (24 quantum trajectories, band of one standard error),
cumulants without decay (C infinite) and with gamma = Gamma/C. (b) Steady state at S = 1000:
exact, and cumulants (large-S variance) at late times, Omega = 2 S Gamma.

Agrees: the cumulants find the steady squeezing (1 % off in (a), in the end), relax more slowly,
and decay makes the best squeezing a matter of time: for C = 1 at Gamma t = 0.8, before the exact
t_ss = 1.33. The caption's "S Gamma/Omega = 10" is not used: at
Omega = S Gamma/10 relaxation is 70 to 90 times slower and the closed equations turn
unphysical; Omega = 2 S Gamma shows what the text describes. (b) is within 3 % from
S Delta/Omega = 2 on and 20 % too low at 1; the finite-S variance turns negative there.

    python examples/figures/chu_fig10.py [folder]
"""

import math
import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

from cavitylab.models.cumulants import DecayingEnsembles
from cavitylab.models.cumulants_trajectory import cumulant_trajectory
from cavitylab.models.trajectories import Trajectories, trajectories
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

SPIN, STRENGTH, DRIVE = 30.0, 10.0, 2.0
RUNS, SEED = 24, 11
EXACT_TIMES = np.linspace(0.3, 1.2, 61)
TIMES = np.linspace(0.3, 3.0, 541)
COOPERATIVITIES = (math.inf, 10.0, 1.0)
LARGE_SPIN = 1000.0
STRENGTHS = np.geomspace(1.0, 300.0, 14)
_LATE = 1000.0  # S Delta/Omega Gamma t at which the cumulants have settled


def squeezing_of_runs(runs: Trajectories) -> tuple[np.ndarray, np.ndarray]:
    """xi^2 of the ensemble of runs at each time, and its standard error by leaving runs out."""
    count = runs.square_y.shape[0]

    def without(number: int | None) -> np.ndarray:
        kept = np.delete(np.arange(count), [] if number is None else [number])
        length = runs.spin_length_x[kept].mean(axis=0)
        square = runs.square_y[kept].mean(axis=0)
        variance = square - runs.mean_y[kept].mean(axis=0) ** 2
        return 4.0 * runs.parameters.spin * variance / length**2

    left_out = np.array([without(number) for number in range(count)])
    return without(None), math.sqrt(count - 1.0) * left_out.std(axis=0)


def evolution(spin: float = SPIN, runs: int = RUNS, exact_times: np.ndarray = EXACT_TIMES) -> dict:
    """(a): exact xi^2 with its error, and cumulants for each cooperativity, Gamma = 1."""
    rates = DRIVE * spin, DRIVE * STRENGTH
    pair = TwoEnsembles(spin, *rates)
    exact = trajectories(pair, exact_times, runs, np.random.default_rng(SEED))
    found: dict = {
        "exact": squeezing_of_runs(exact),
        "steady": steady_state(pair).xi2,
    }
    for cooperativity in COOPERATIVITIES:
        parameters = DecayingEnsembles(spin, *rates, 1.0 / cooperativity)
        found[cooperativity] = cumulant_trajectory(parameters, TIMES).large_spin_xi2
    return found


def steady(spin: float = LARGE_SPIN, strengths: np.ndarray = STRENGTHS) -> dict:
    """(b): exact and cumulant xi^2 of the steady state against S Delta/Omega."""
    exact, closed = [], []
    for strength in strengths:
        rates = DRIVE * spin, DRIVE * float(strength)
        exact.append(steady_state(TwoEnsembles(spin, *rates)).xi2)
        late = cumulant_trajectory(DecayingEnsembles(spin, *rates), [_LATE / strength])
        closed.append(late.large_spin_xi2[-1])
    return {"strengths": strengths, "exact": np.array(exact), "cumulants": np.array(closed)}


def data(spin: float = SPIN, runs: int = RUNS, strengths: np.ndarray = STRENGTHS) -> dict:
    """Both panels."""
    return {"evolution": evolution(spin, runs), "steady": steady(strengths=strengths)}


def main(folder: Path) -> Path:
    """Draw both panels into the folder; returns the picture's path."""
    found = data()
    figure = Figure(figsize=(9.4, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    over = found["evolution"]
    for cooperativity in COOPERATIVITIES:
        name = r"\infty" if math.isinf(cooperativity) else f"{cooperativity:g}"
        left.semilogy(TIMES, over[cooperativity], lw=1.5, label=f"cumulants, $C = {name}$")
    mean, error = over["exact"]
    left.semilogy(EXACT_TIMES, mean, color="k", lw=1.3, label="exact, no decay")
    left.fill_between(EXACT_TIMES, mean - error, mean + error, color="k", alpha=0.25, lw=0)
    left.axhline(over["steady"], color="0.6", ls=":", lw=1.2)
    left.set(xlabel=r"$\Gamma t$", ylabel=r"$\xi^2$", ylim=(0.1, 10.0))
    title = rf"S = {SPIN:g}, $S\Delta/\Omega$ = {STRENGTH:g}, $\Omega = 2S\Gamma$"
    left.set_title(title, fontsize=10)
    left.legend(frameon=False, fontsize=9, loc="upper right")
    late = found["steady"]
    right.loglog(late["strengths"], late["exact"], color="k", lw=1.4, label="exact, Eq. 12")
    right.loglog(late["strengths"], late["cumulants"], "o", ms=5, mfc="none", label="cumulants")
    right.set(xlabel=r"$S\Delta/\Omega$", ylabel=r"$\xi^2_{\rm ss}$")
    right.set_title(rf"S = {LARGE_SPIN:g}, $\gamma$ = 0", fontsize=10)
    right.legend(frameon=False, fontsize=9)
    path = folder / "chu_fig10.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    print(main(target))
