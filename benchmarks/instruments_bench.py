"""What benchmarks/instruments.py measures on: a laboratory of ten instruments, here or served.

Run by itself it serves a laboratory file on loopback until standard input ends:

    python benchmarks/instruments_bench.py FILE --latency SECONDS
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavitylab.instruments.clock import RealClock
from cavitylab.instruments.simulated.registry import Options, open_laboratory
from cavitylab.instruments.simulated.server import LaboratoryServer

GENERATOR = "TCPIP0::10.0.0.6::5025::SOCKET"
QUESTIONS = {
    "*IDN?": "Agilent Technologies,33622A,MY00000001,A.01.10-2.25-03-64-02",
    "SOUR1:FREQ?": "+1.000000000000000E+03",
    "OUTP1?": "0",
}
"""Questions to a waveform generator and its answers."""

DRIVERS = {
    "rf": ("moglabs_xrf", "MOGLabsXRF", "TCPIP0::10.0.0.1::7802::SOCKET"),
    "timing_box": ("srs_dg645", "SRSDG645", "TCPIP0::10.0.0.2::5025::SOCKET"),
    "counter": ("keysight_53220a", "Keysight53220A", "TCPIP0::10.0.0.3::5025::SOCKET"),
    "coil_supply": ("kepco_bop", "KepcoBOP", "TCPIP0::10.0.0.4::5025::SOCKET"),
    "laser_head": ("toptica_dlcpro", "TopticaDLCpro", "TCPIP0::10.0.0.5::1998::SOCKET"),
    "generator": ("keysight_33600a", "Keysight33600A", GENERATOR),
    "big_supply": ("delta_sm15k", "DeltaSM15K", "TCPIP0::10.0.0.7::8462::SOCKET"),
    "scope": ("keysight_infiniivision", "KeysightInfiniiVision", "TCPIP0::10.0.0.8::5025::SOCKET"),
    "shutter": ("thorlabs_sc10", "ThorlabsSC10", "ASRL3::INSTR"),
    "prawn": ("prawnblaster", "PrawnBlaster", "ASRL4::INSTR"),
}
"""Name on the bench: driver module, class, address."""

INIT = {
    "coil_supply": "{max_current: 12.0, max_compliance: 20.0, ramp_rate: 4.0}",
    "laser_head": "{max_current: 0.15}",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, and its target where there is one."""

    what: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None
    remark: str = ""

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        enough = self.least is None or self.value >= self.least
        return enough and (self.most is None or self.value <= self.most)

    def __str__(self) -> str:
        target = ""
        if self.least is not None:
            target = f"at least {self.least:,.3g}"
        if self.most is not None:
            target = f"at most {self.most:,.3g}"
        verdict = ("met" if self.met else "MISSED") if target else ""
        return (
            f"{self.what:<58} {_figure(self.value):>10} {self.unit:<12} {target:<18} {verdict}"
            + (f"  {self.remark}" if self.remark else "")
        )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def bench_file(folder: Path) -> Path:
    """A laboratory file with all ten instruments and the two-ensemble cavity."""
    devices = "".join(
        f'  - {{name: {name}, model: {module}, addresses: ["{address}"]}}\n'
        for name, (module, _, address) in DRIVERS.items()
    )
    path = folder / "bench.lab.yaml"
    path.write_text(
        "format: 1\ntitle: Ten instruments\nseed: 1\ndevices:\n" + devices + "wires: []\n"
        "apparatus:\n  kind: two_ensemble_cavity\n  truth:\n    atoms_per_ensemble: 100\n"
        "    drive: {full_rabi: 60.0e3, saturation_power: 1.6}\n"
        "    coupling: {full_decay: 200.0, saturation_power: 1.6}\n"
        "    gradient: {slope: 250.0}\n"
        "    detector: {rate_per_atom: 20.0e3, background_rate: 10.0e3}\n"
        "    signal: {phase: 0.05}\n",
        encoding="utf-8",
    )
    return path


def serve(path: Path, latency: float) -> None:
    """Serve a laboratory on loopback until standard input ends; every command takes `latency`."""
    laboratory = open_laboratory(
        str(path), Options(latency=latency > 0, virtual=False), RealClock()
    )
    for device in laboratory.devices.values():
        type(device).latency = (latency, 0.0)
    with LaboratoryServer(laboratory) as server:
        print(json.dumps({one.name: one.visa_address for one in server.endpoints}), flush=True)
        sys.stdin.read()


@contextmanager
def served(path: Path, latency: float = 0.0) -> Iterator[dict[str, str]]:
    """The instruments of a laboratory file in a process of their own: addresses by name."""
    with subprocess.Popen(
        [sys.executable, __file__, str(path), "--latency", str(latency)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise OSError("the serving process has no pipes")
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(30)


def sim_library(folder: Path) -> str | None:
    """A stock pyvisa-sim library that gives the same answers; None if it is not installed."""
    if importlib.util.find_spec("pyvisa_sim") is None:
        return None
    catalog = ",".join(f'"long_name_{k:02d}"' for k in range(40))
    catalog = '"INT:\\\\BUILTIN\\\\EXP_RISE.ARB",' + catalog
    answers = {
        **QUESTIONS,
        "SOUR2:DATA:VOL:CAT?": catalog,
        "*ESR?": "0",
        "SYST:ERR?": '+0,"No error"',
    }
    dialogues = "".join(f"      - {{q: '{q}', r: '{r}'}}\n" for q, r in answers.items())
    path = folder / "sim.yaml"
    path.write_text(
        'spec: "1.1"\ndevices:\n  generator:\n    eom:\n'
        '      TCPIP SOCKET: {q: "\\n", r: "\\n"}\n    error: ERROR\n    dialogues:\n'
        + dialogues
        + f"resources:\n  {GENERATOR}: {{device: generator}}\n",
        encoding="utf-8",
    )
    return f"{path}@sim"


def alternate(
    tasks: dict[str, Callable[[], Any]], seconds: float, clock: Callable[[], float], rounds: int = 5
) -> dict[str, float]:
    """Calls per second of each task: the best of several rounds that take turns."""
    best = dict.fromkeys(tasks, 0.0)
    for task in tasks.values():
        task()
    for _ in range(rounds):
        for name, task in tasks.items():
            count, begun = 0, clock()
            while (spent := clock() - begun) < seconds / rounds:
                for _ in range(20):
                    task()
                count += 20
            best[name] = max(best[name], count / spent)
    return best


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--latency", type=float, default=0.0)
    chosen = parser.parse_args()
    serve(chosen.file, chosen.latency)
