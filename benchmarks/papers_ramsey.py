"""Information in the ellipse against its quantum bound (Chu et al., Eqs. 15-19), through the chain.

    python benchmarks/papers_ramsey.py                      table and figure, some minutes
    python benchmarks/papers_ramsey.py --quick              a short form
    python benchmarks/papers_ramsey.py --figure FILE.png    where the figure goes

Each row is a pair of runs of `ramsey_ellipse` in rehearsal: the delays of the timing box set two
phases a little apart, the simulated laboratory draws the counts, the recorder keeps them. Two
detectors: one that tells every atom, and the shipped one with its photon noise. Two measures of
the information of a shot, both from the recorded shots:

* "told": the statistic T = (P+ - P-)/(P+ + P-) of the two phases' densities, whose mean differs by
  D between the two sets of shots: 2 D^2 / [(<T^2>+ + <T^2>-) (phi+ - phi-)^2]. For any statistic,
  right or wrong, that is at most the mean information of a shot between the phases (Cauchy-Schwarz
  and Le Cam), so that no model has to be believed; the distance of the phases costs some of it.
* "score": the mean square of the score at the revealed truth: more precise, and the information if
  the model is right.

Beside them stand the exact information of the counts and the quantum bound, that of the pure state:
a common phase that is unknown costs nothing of it.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is fixed)
from numpy.typing import NDArray  # noqa: E402
from scipy.stats import chi2  # noqa: E402

from cavitylab import Station, run  # noqa: E402
from cavitylab.estimators import EllipseBeliefs  # noqa: E402
from cavitylab.estimators.bounds import table_information  # noqa: E402
from cavitylab.estimators.likelihood_table import TableLikelihood  # noqa: E402
from cavitylab.instruments.shipped import find_file  # noqa: E402
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state  # noqa: E402
from cavitylab.protocols import RamseyEllipse  # noqa: E402
from cavitylab.protocols.engine.result import stored_beliefs  # noqa: E402

Array = NDArray[np.float64]

PHASES = (0.12, 0.2, 0.35, 0.55, 0.775, 1.05, 1.3, 1.45, 1.52)
QUICK_PHASES = (0.12, 0.775)
STEP = 0.25
"""Half the distance of the two phases, times the root of the information: nearly a derivative."""

SHOTS, QUICK_SHOTS = 20_000, 2_000
FALSE_ALARM = 1e-4
HEAVY_TAILS = 1.3
"""Slack for the score's square, whose rare large values make its own spread uncertain."""
SIGNAL = 0.05
"""The middle of what the laboratory may hide, rad."""

DETECTORS = ("resolving", "photon noise")
"""1e4 counts an atom, a noise of 0.07 atoms that tells them all; and the shipped one."""


@dataclass(frozen=True, slots=True)
class Row:
    """One phase with one detector; information of a shot in 1/rad^2.

    Attributes:
        detector: Which.
        phase: Mean of the two true phases, rad.
        noise: Counting noise of an ensemble at half filling, atoms.
        told, told_std: From the response of the mean score.
        score, score_std: From the score's mean square.
        exact: Of the counts, by the model at the truth.
        quantum: Quantum Fisher information of the state at the truth.
        independent: 4 S, of independent atoms.
        there: Nuisances as the laboratory has them.
    """

    detector: str
    phase: float
    noise: float
    told: float
    told_std: float
    score: float
    score_std: float
    exact: float
    quantum: float
    independent: float
    there: EllipseBeliefs = field(repr=False)


class Laboratories:
    """Station and laboratory files of both detectors, in a folder.

    Args:
        folder: Where they go.
        seed: Of what the laboratory hides, which is then the same for all seeds of shots.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        shipped = find_file("two_ensemble", ".yaml").parent
        for detector in DETECTORS:
            shutil.copytree(shipped, folder / detector, ignore=shutil.ignore_patterns("*.py*"))
        own = folder / "resolving"
        _edit(own / "two_ensemble.lab.yaml", "{nominal: 20.0e3, spread: 0.03", "{nominal: 2.0e6")
        gain = "gain: {value: 100.0, unit: counts/atom, relative_std: "
        finer = "gain: {value: 10000.0, unit: counts/atom, relative_std: "
        _edit(own / "calibrations" / "detector.yaml", f"{gain}0.03", f"{finer}1.0e-4")
        for detector in DETECTORS:
            _settle(folder / detector / "two_ensemble.lab.yaml", np.random.default_rng(seed))

    def shots(self, detector: str, bias: float, shots: int, seed: int) -> Any:
        """A run at a bias phase in the laboratory of a seed, without drifts."""
        protocol: Any = RamseyEllipse(bias_phase=bias, shots=shots, block=shots, coil_check=0)
        folder = self._folder / detector
        with Station.open(
            folder / "two_ensemble.yaml",
            rehearse=folder / "two_ensemble.lab.yaml",
            seed=seed,
            options={"drifts": "off"},
        ) as station:
            return run(protocol, station, data=self._folder / "data", seed=seed)


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise SystemExit(f"the shipped {path.name} no longer says {old!r}")
    path.write_text(text.replace(old, new), encoding="utf-8")


def _settle(path: Path, rng: np.random.Generator) -> None:
    """Draw what the laboratory hides once, for the seeds of all runs."""

    def drawn(found: re.Match[str]) -> str:
        return f"{{nominal: {float(found[1]) * (1 + float(found[2]) * rng.normal())!r}"

    explained, apparatus, physics = path.read_text(encoding="utf-8").partition("\napparatus:")
    physics = re.sub(r"\{nominal: ([\d.e+-]+), spread: ([\d.e+-]+)", drawn, physics)
    physics = re.sub(r"\{uniform: \[[^]]*\]", f"{{nominal: {rng.uniform(0.02, 0.08)!r}", physics)
    path.write_text(explained + apparatus + physics, encoding="utf-8")


def measure(laboratories: Laboratories, detector: str, phase: float, shots: int, seed: int) -> Row:
    """Two runs about a phase, each of half the shots."""
    rough = 2500.0 if detector == "resolving" else 800.0
    step = STEP / math.sqrt(rough)
    counts, phases, results = [], [], []
    for number, side in enumerate((-1, +1)):
        bias = phase - SIGNAL + side * step
        result = laboratories.shots(detector, bias, shots // 2, 2 * seed + number)
        counts.append(np.asarray(result.records["counts"], dtype=np.float64))
        phases.append(float(result.truth["phase"]))
        results.append(result)
    last = results[-1]
    names = ("detuning_ratio", "pulse_area", "gain", "background")
    there = replace(stored_beliefs(last.run), **{name: float(last.truth[name]) for name in names})
    return row_of(detector, there, counts, phases)


def row_of(
    detector: str, there: EllipseBeliefs, counts: Sequence[Array], phases: Sequence[float]
) -> Row:
    """What shots at two phases tell, where the nuisances have these values."""
    likelihood = TableLikelihood(there)
    found = [[likelihood.evaluate(one, at, there.centre) for at in phases] for one in counts]
    scores = np.concatenate([found[k][k][1][:, 0] / found[k][k][0] for k in range(2)])
    left, right = ((on[1][0] - on[0][0]) / (on[1][0] + on[0][0]) for on in found)
    difference = right.mean() - left.mean()
    both = 0.5 * (np.mean(left**2) + np.mean(right**2))
    told = difference**2 / both / (phases[1] - phases[0]) ** 2
    error = math.sqrt(left.var() / left.size + right.var() / right.size)
    middle = 0.5 * sum(phases)
    return Row(
        detector=detector,
        phase=middle,
        noise=there.counting_noise,
        told=float(told),
        told_std=float(2 * told * error / difference),
        score=float(np.mean(scores**2)),
        score_std=float(np.std(scores**2) / math.sqrt(scores.size)),
        exact=information(there, middle),
        quantum=float(steady_state(TwoEnsembles(there.spin, 1.0, there.detuning_ratio)).qfi),
        independent=4 * there.spin,
        there=there,
    )


def information(there: EllipseBeliefs, phase: float) -> float:
    """Exact information of the counts of a shot on the phase, all else known."""
    return float(table_information(there, phase)[0, 0])


def rows_of(phases: Sequence[float], shots: int, seed: int) -> Iterator[Row]:
    """All rows, with a line of progress after each."""
    begun, total, done = time.perf_counter(), len(phases) * len(DETECTORS), 0
    with tempfile.TemporaryDirectory() as name:
        laboratories = Laboratories(Path(name), seed)
        for detector in DETECTORS:
            for number, phase in enumerate(phases):
                yield measure(laboratories, detector, phase, shots, seed + number)
                done += 1
                spent = time.perf_counter() - begun
                left = spent / done * (total - done)
                print(f"{done}/{total}, {spent:.0f} s, about {left:.0f} s left", file=sys.stderr)


def deviation(rows: Sequence[Row]) -> float:
    """Root mean square deviation of the scores from the exact information, in their errors."""
    return math.sqrt(float(np.mean([((r.score - r.exact) / r.score_std) ** 2 for r in rows])))


def printed(rows: Iterable[Row]) -> list[Row]:
    """The table, line by line."""
    head = ("detector", "phi", "sigma", "told / F_Q", "score / F_Q", "exact / F_Q", "F_Q / 4S")
    print("".join(f"{one:<18}" for one in head))
    kept = []
    for row in rows:
        kept.append(row)
        unit = row.quantum
        cells = (
            row.detector,
            f"{row.phase:.4f}",
            f"{row.noise:.2f}",
            f"{row.told / unit:.3f} +- {row.told_std / unit:.3f}",
            f"{row.score / unit:.3f} +- {row.score_std / unit:.3f}",
            f"{row.exact / unit:.3f}",
            f"{row.quantum / row.independent:.1f}",
        )
        print("".join(f"{cell:<18}" for cell in cells), flush=True)
    return kept


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Measured information over the phase, with the exact curves and the quantum bound."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for colour, detector in zip(("C0", "C3"), DETECTORS, strict=True):
        own = [row for row in rows if row.detector == detector]
        noise = f"{detector} ({own[0].noise:.2f} atoms)"
        axes.plot(*exact_curve(own[0].there), color=colour, label=f"exact, {noise}")
        at = [row.phase for row in own]
        axes.errorbar(
            at, [row.score for row in own], [row.score_std for row in own],
            fmt="o", ms=4, color=colour, label="score's mean square",
        )  # fmt: skip
        axes.errorbar(
            at, [row.told for row in own], [row.told_std for row in own],
            fmt="v", ms=4, mfc="none", color=colour, label="told (from below)",
        )  # fmt: skip
    axes.axhline(rows[0].quantum, color="k", label="quantum bound")
    axes.axhline(rows[0].independent, color="k", ls=":", label="independent atoms, 4S")
    axes.set(xlim=(0, math.pi / 2), yscale="log", ylim=(60, 6000))
    axes.set(xlabel="differential phase φ (rad)", ylabel="information of a shot (1/rad²)")
    axes.legend(fontsize=7, ncols=2, loc="lower center")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def exact_curve(there: EllipseBeliefs) -> tuple[Array, Array]:
    """Phases, and the exact information there."""
    ends = np.array([0.01, 0.03])
    inner = np.linspace(0.06, math.pi / 2 - 0.06, 36)  # not pi/4 itself, where cells are 0/0
    grid = np.concatenate([ends, inner, math.pi / 2 - ends[::-1]])
    return grid, np.array([information(there, float(at)) for at in grid])


def main(words: Sequence[str] | None = None) -> int:
    """Print the table and draw the figure; 1 when scores and exact information disagree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two phases, few shots, no figure")
    parser.add_argument("--seed", type=int, default=71, help="laboratory")
    parser.add_argument("--figure", type=Path, help="write the figure here")
    given = parser.parse_args(words)
    phases, shots = (QUICK_PHASES, QUICK_SHOTS) if given.quick else (PHASES, SHOTS)
    begun = time.process_time()
    rows = printed(rows_of(phases, shots, given.seed))
    if given.figure is not None:
        draw(given.figure, rows)
    off = deviation(rows)
    limit = math.sqrt(chi2.isf(FALSE_ALARM, len(rows)) / len(rows)) * HEAVY_TAILS
    print(
        f"scores are off by {off:.2f} of their errors (at most {limit:.2f}); "
        f"{time.process_time() - begun:.0f} s of CPU"
    )
    return 0 if off <= limit else 1


if __name__ == "__main__":
    sys.exit(main())
