"""Squeezing of the dissipatively prepared state, through the whole chain: paper checks.

``detuning``: against Δ/Ω. For each detuning the protocol `dissipative_preparation` runs on the
shipped station in rehearsal, each in another laboratory (calibrations off by their stated errors),
with a tomography of long holds. Beside what was measured stands ξ² of the dark state at the
settings along y (Chu Eq. 12, in the closed form ξ² = 4S/F) and along its better quadrature (for
few atoms and large Δ/Ω that is z), and that of the state that the laboratory's true rates prepare
in the hold.

``cooperativity``: at its optimum, with single-atom decay γ = Γ/C in the laboratory. For each number
of atoms and C the drive, detuning and hold that are best for them (`exact_optimum`) are run; beside
what was measured stands the laboratory's own truth, the exact optimum, and the law of many atoms,
ξ² = 2.6/√(SC) (Chu Eq. 14). Few atoms bend it: they end at 3/(4(S+1)).

    python benchmarks/papers_preparation.py [detuning] [cooperativity] [--quick] [--seed 1]
        [--figure FILE]

Fails when the squared deviations from the laboratory's own truth exceed their chi-square at 1e-4.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from scipy.stats import chi2  # noqa: E402  (after the number of threads is fixed)

from cavitylab import Station, run  # noqa: E402
from cavitylab.instruments.shipped import find_file  # noqa: E402
from cavitylab.models.cumulants_optimum import exact_optimum, optimum_estimate  # noqa: E402
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state  # noqa: E402
from cavitylab.protocols import DissipativePreparation  # noqa: E402
from cavitylab.protocols.engine import RunResult  # noqa: E402

NAME = "dissipative_preparation"
RABI = 600.0
DECAY = 100.0
RATIOS = (0.45, 0.667, 0.9, 1.2, 1.6)
COOPERATIVITIES = ((4, 3.0), (4, 10.0), (4, 30.0), (4, 100.0), (6, 10.0), (6, 100.0))
QUICK_COOPERATIVITIES = ((4, 3.0), (4, 100.0))
FALSE_ALARM = 1e-4


def rehearsed(protocol: DissipativePreparation, laboratory: str | Path, seed: int) -> RunResult:
    """A run of the protocol on the shipped station; its estimate and truth are there."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Station.open(NAME, rehearse=laboratory, seed=seed) as station,
    ):
        result = run(protocol, station, data=Path(folder), seed=seed)
    if result.estimate is None or result.truth is None:
        raise SystemExit(f"{protocol.settings}: the run gave no number")
    return result


@dataclass(frozen=True, slots=True)
class Row:
    """One measured ξ² and what it is compared with.

    Attributes:
        label: What was varied.
        value, std: As measured.
        true: Of the state that the laboratory prepared.
        others: Printed beside it.
    """

    label: str
    value: float
    std: float
    true: float
    others: tuple[float, ...]

    @property
    def pull(self) -> float:
        """Distance from the truth in standard deviations."""
        return (self.value - self.true) / self.std


def detuning(quick: bool, first: int) -> list[Row]:
    """Measured, true, dark state's best and along y, against Δ/Ω."""
    rows = []
    shots = 80 if quick else 400
    for number, ratio in enumerate(RATIOS[1:4:2] if quick else RATIOS):
        protocol = DissipativePreparation(
            preparation_rabi_hz=RABI,
            detuning_hz=ratio * RABI,
            holds=6,
            shots_per_hold=60,
            passes=1,
            angles=6,
            shots_per_angle=shots,
            length_shots=2 * shots,
            tomography_hold=13e-3,
        )
        result = rehearsed(protocol, NAME, first + number)
        spin = protocol.settings.spin
        dark = steady_state(TwoEnsembles(spin, 1.0, ratio))
        best = 4 * spin * min(dark.variance, dark.variance_z) / dark.spin_length**2
        rows.append(_row(f"{ratio:.3g}", result, float(best), float(dark.xi2)))
    return rows


def cooperativity(quick: bool, first: int) -> list[Row]:
    """Measured, true, exact optimum and law, against C for two numbers of atoms."""
    rows = []
    shots = 100 if quick else 400
    for number, (atoms, c) in enumerate(QUICK_COOPERATIVITIES if quick else COOPERATIVITIES):
        spin = atoms / 2
        best = exact_optimum(spin, c)
        rabi = round(best.drive * spin * DECAY, 3)
        protocol = DissipativePreparation(
            atoms_per_ensemble=atoms,
            preparation_rabi_hz=rabi,
            detuning_hz=best.detuning_ratio * rabi,
            holds=4,
            first_hold=0.2e-3,
            last_hold=0.8e-3,
            shots_per_hold=50,
            passes=1,
            angles=6,
            shots_per_angle=shots,
            length_shots=2 * shots,
            tomography_hold=best.time / (2 * math.pi * DECAY),
            shot_period=40e-3,
        )
        text = find_file(NAME, ".lab.yaml").read_text(encoding="utf-8")
        text = text.replace("atoms_per_ensemble: 6", f"atoms_per_ensemble: {atoms}", 1)
        falls = f"    single_atom_decay: {{nominal: {2 * math.pi * DECAY / c:.6g}, unit: 1/s}}\n"
        text = text.replace("    signal: ", falls + "    signal: ", 1)
        with tempfile.TemporaryDirectory() as folder:
            laboratory = Path(folder) / "cooperativity.lab.yaml"
            laboratory.write_text(text, encoding="utf-8")
            result = rehearsed(protocol, laboratory, first + number)
        law = optimum_estimate(spin, c).xi2
        rows.append(_row(f"{atoms} atoms, C = {c:g}", result, best.xi2, law))
    return rows


def _row(label: str, result: RunResult, *others: float) -> Row:
    if result.estimate is None or result.truth is None:
        raise SystemExit(f"{label}: the run gave no number")
    found = result.estimate["xi2"]
    return Row(label, found.value, found.std, float(result.truth["xi2"]), others)


CHECKS: dict[str, tuple[Callable[[bool, int], list[Row]], tuple[str, ...]]] = {
    "detuning": (detuning, ("dark state", "along y")),
    "cooperativity": (cooperativity, ("exact best", "law")),
}


def draw_cooperativity(rows: Sequence[Row], path: Path) -> None:
    """Measured ξ², the exact optimum and the law against S C."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.0), layout="constrained")
    axes = figure.subplots()
    for atoms, marker in ((4, "o"), (6, "s")):
        mine = [(c, row) for (n, c), row in zip(COOPERATIVITIES, rows, strict=True) if n == atoms]
        scaled = [0.5 * atoms * c for c, _ in mine]
        values, stds = [row.value for _, row in mine], [row.std for _, row in mine]
        best = [row.others[0] for _, row in mine]
        axes.errorbar(scaled, values, stds, fmt=marker, label=f"measured, {atoms} atoms each")
        axes.plot(scaled, best, lw=1.2, label=f"exact optimum, {atoms} atoms")
    ends = [3.0, 400.0]
    axes.plot(ends, [2.6 / math.sqrt(x) for x in ends], "k:", lw=1.0, label="2.6/√(SC), many atoms")
    axes.set(xscale="log", yscale="log", xlabel="S C", ylabel="ξ² at its optimum")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables; 1 when the measured values disagree with the true ones."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CHECKS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="two rows each, fewer shots")
    parser.add_argument("--seed", type=int, default=1, help="of the first laboratory")
    parser.add_argument("--figure", type=Path, help="draw the cooperativity's (not with --quick)")
    options = parser.parse_args(words)
    if unknown := sorted(set(options.names) - set(CHECKS)):
        parser.error(f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    failed = False
    for name in options.names or CHECKS:
        check, titles = CHECKS[name]
        rows = check(options.quick, options.seed)
        print(f"{name:>18} {'measured ξ²':>18} {'true state':>11}", *(f"{t:>11}" for t in titles))
        for row in rows:
            beside = " ".join(f"{other:11.4f}" for other in row.others)
            measured = f"{row.value:10.4f} ± {row.std:.4f}"
            print(f"{row.label:>18} {measured} {row.true:11.4f} {beside} {row.pull:+6.1f}σ")
        square = sum(row.pull**2 for row in rows)
        limit = float(chi2.isf(FALSE_ALARM, len(rows)))
        print(f"χ² = {square:.1f} for {len(rows)} values (at most {limit:.1f})")
        failed = failed or square > limit
        if name == "cooperativity" and options.figure is not None and not options.quick:
            draw_cooperativity(rows, options.figure)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
