"""Squeezing of the dissipatively prepared state against Δ/Ω, through the whole chain.

For each detuning the protocol `dissipative_preparation` runs on the shipped station in rehearsal,
each in another laboratory (calibrations off by their stated errors), with a tomography of long
holds. Beside what was measured stands ξ² of the dark state at the settings along y (Chu Eq. 12, in
the closed form ξ² = 4S/F) and along its better quadrature (for few atoms and large Δ/Ω that is z),
and that of the state that the laboratory's true rates prepare in the hold.

    python benchmarks/papers_preparation.py [--quick] [--seed 1]

Fails when the squared deviations from the laboratory's own truth exceed their chi-square at 1e-4.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from scipy.stats import chi2  # noqa: E402  (after the number of threads is fixed)

from cavitylab import Station, run  # noqa: E402
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state  # noqa: E402
from cavitylab.protocols import DissipativePreparation  # noqa: E402

RABI = 600.0
RATIOS = (0.45, 0.667, 0.9, 1.2, 1.6)
FALSE_ALARM = 1e-4


def measure(ratio: float, seed: int, shots: int) -> tuple[float, ...]:
    """Measured ξ², its standard deviation, the true state's, the dark state's best and along y."""
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
    name = "dissipative_preparation"
    with (
        tempfile.TemporaryDirectory() as folder,
        Station.open(name, rehearse=name, seed=seed) as station,
    ):
        result = run(protocol, station, data=Path(folder), seed=seed)
    if result.estimate is None or result.truth is None:
        raise SystemExit(f"Delta/Omega = {ratio}: the run gave no number")
    found = result.estimate["xi2"]
    dark = steady_state(TwoEnsembles(protocol.settings.spin, 1.0, ratio))
    best = 4 * protocol.settings.spin * min(dark.variance, dark.variance_z) / dark.spin_length**2
    return found.value, found.std, result.truth["xi2"], float(best), float(dark.xi2)


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 1 when the measured values disagree with the true ones."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two detunings, fewer shots")
    parser.add_argument("--seed", type=int, default=1, help="of the first laboratory")
    options = parser.parse_args(words)
    ratios = RATIOS[1:4:2] if options.quick else RATIOS
    shots = 80 if options.quick else 400
    print(f"{'Δ/Ω':>6} {'measured ξ²':>18} {'true state':>11} {'dark state':>11} {'along y':>8}")
    square = 0.0
    for number, ratio in enumerate(ratios):
        value, std, true, dark, along_y = measure(ratio, options.seed + number, shots)
        pull = (value - true) / std
        square += pull**2
        print(
            f"{ratio:6.3f} {value:10.4f} ± {std:.4f} {true:11.4f} {dark:11.4f} {along_y:8.4f} "
            f"{pull:+6.1f}σ"
        )
    limit = float(chi2.isf(FALSE_ALARM, len(ratios)))
    print(f"χ² = {square:.1f} for {len(ratios)} values (at most {limit:.1f})")
    return int(square > limit)


if __name__ == "__main__":
    raise SystemExit(main())
