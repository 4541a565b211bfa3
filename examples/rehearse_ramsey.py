"""Rehearse a Ramsey run in a script: open the station, run, read the answer and the data.

    python examples/rehearse_ramsey.py

On your own table leave `rehearse` and `seed` out and name your station file.
"""

from pathlib import Path
from tempfile import mkdtemp

from cavitylab import Station, run
from cavitylab.protocols import RamseyEllipse


def main(data: Path) -> None:
    """Take 400 shots and print what a script usually wants."""
    with Station.open("two_ensemble", rehearse="two_ensemble.lab.yaml", seed=7) as station:
        result = run(RamseyEllipse(shots=400), station, data=data)
    phase = result.estimate["phase"]
    print(f"phase  {phase}   truth {result.truth['phase']:.4f} rad, revealed after the fit")
    print(f"95 %   {phase.interval[0]:.4f} to {phase.interval[1]:.4f} rad")
    print(f"gain   {result.gain_db:+.1f} dB over the standard quantum limit")
    counts = result.records["counts"]
    print(f"data   {counts.sizes['shot']} shots in {result.path.name}/data.zarr")


if __name__ == "__main__":
    main(Path(mkdtemp()))
