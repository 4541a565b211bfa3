"""Find the critical pump of a superradiant cavity: a scan of the transition, then adaptively.

    python examples/scan_the_pump.py

On your own table leave `rehearse` and `seed` out and name your station file.
"""

from pathlib import Path
from tempfile import mkdtemp

from cavitylab import Station, run
from cavitylab.protocols import PumpingAdaptive, PumpingScan


def main(data: Path) -> None:
    """Take 360 shots twice and print the critical pump beside the revealed truth."""
    scan = PumpingScan(points=9, shots_per_point=40, passes=2)
    adaptive = PumpingAdaptive(rounds=9, shots_per_round=40)
    for protocol in (scan, adaptive):
        with Station.open("pumped_cavity", rehearse="pumped_cavity", seed=2) as lab:
            result = run(protocol, lab, data=data, seed=2)
        found, truth = result.estimate["critical_pump"], result.truth["critical_pump"]
        print(f"{protocol.name:16} critical_pump {found}   truth {truth:.4f}")


if __name__ == "__main__":
    main(Path(mkdtemp()))
