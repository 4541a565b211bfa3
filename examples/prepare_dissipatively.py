"""Watch two ensembles relax into their dark state, and measure how squeezed it is.

    python examples/prepare_dissipatively.py

On your own table leave `rehearse` and `seed` out and name your station file.
"""

from pathlib import Path
from tempfile import mkdtemp

from cavitylab import Station, run
from cavitylab.protocols import DissipativePreparation


def main(data: Path) -> None:
    """Take 1000 shots and print rates, squeezing and darkness beside the revealed truth."""
    protocol = DissipativePreparation(
        holds=6, shots_per_hold=80, passes=1, angles=4, shots_per_angle=80, length_shots=200
    )
    with Station.open("dissipative_preparation", rehearse="dissipative_preparation", seed=4) as lab:
        result = run(protocol, lab, data=data, seed=4)
    for name in ("collective_decay", "rabi_frequency", "detuning_difference"):
        print(f"{name:20} {result.estimate[name]}   truth {result.truth[name]:.1f}")
    for name in ("xi2_db", "spin_length", "dark_output"):
        print(f"{name:20} {result.estimate[name]}   truth {result.truth[name]:.3f}")


if __name__ == "__main__":
    main(Path(mkdtemp()))
