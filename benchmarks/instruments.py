"""How fast the wire is: questions, blocks, shots and the loading of a station, in one run.

    python benchmarks/instruments.py [--quick]

Everything between a driver and the physics is measured as a measurement uses it: driver, pyvisa,
the simulated instruments behind the library `@cavitylab` in this process, or behind loopback TCP
in a process of its own. Stock pyvisa-sim, where it is installed, answers the same questions with
the same texts. Figures in one process are per second of processor time, best of several rounds
that alternate, so that a busy machine harms neither side; those over TCP and of the loading are
per second on the wall. Prints tables and, at the end, which targets are met.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is fixed)
import pyvisa  # noqa: E402
from qcodes.instrument import Instrument  # noqa: E402

from cavitylab import Station  # noqa: E402
from cavitylab.instruments.clock import RealClock  # noqa: E402
from cavitylab.instruments.drivers.keysight_33600a import Keysight33600A  # noqa: E402
from cavitylab.instruments.drivers.scpi import ScpiInstrument  # noqa: E402
from cavitylab.instruments.simulated.registry import Options, open_laboratory  # noqa: E402
from cavitylab.instruments.simulated.server import LaboratoryServer  # noqa: E402
from cavitylab.protocols import RamseyEllipse  # noqa: E402
from cavitylab.protocols.engine.block import take_block  # noqa: E402
from cavitylab.protocols.engine.interrupts import Interrupts  # noqa: E402
from cavitylab.protocols.sequence import compile_sequence  # noqa: E402

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
LATENCY = 1e-3


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


# ---- the bench -------------------------------------------------------------------------


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
        [sys.executable, __file__, "--serve", str(path), "--latency", str(latency)],
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


# ---- measuring -------------------------------------------------------------------------


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


class Plain(ScpiInstrument):
    """The drivers' base with nothing added."""


def questions(folder: Path, seconds: float) -> list[Row]:
    """Questions per second, through pyvisa alone and through a driver."""
    ours, sim = f"{bench_file(folder)}?seed=1@cavitylab", sim_library(folder)
    libraries = {"ours": ours, **({"pyvisa-sim": sim} if sim else {})}
    rows = []
    tasks: dict[str, Callable[[], Any]] = {}
    for name, library in libraries.items():
        resource: Any = pyvisa.ResourceManager(library).open_resource(
            GENERATOR, read_termination="\n", write_termination="\n"
        )
        driver = Plain(f"plain_{name.replace('-', '_')}", GENERATOR, visalib=library)
        for question, answer in QUESTIONS.items():
            if resource.query(question) != answer or driver.ask(question) != answer:
                raise ValueError(f"{name} answers {question} with {resource.query(question)!r}")
            tasks[f"pyvisa {question} {name}"] = lambda r=resource, q=question: r.query(q)
            tasks[f"driver {question} {name}"] = lambda d=driver, q=question: d.ask(q)
    rates = alternate(tasks, seconds, time.process_time)
    for path in ("pyvisa", "driver"):
        for question in QUESTIONS:
            key = f"{path} {question}"
            rows.append(Row(f"{key}, in process", rates[f"{key} ours"], "questions/s"))
            if sim:
                rows.append(Row(f"{key}, pyvisa-sim", rates[f"{key} pyvisa-sim"], "questions/s"))
                ratio = rates[f"{key} ours"] / rates[f"{key} pyvisa-sim"]
                rows.append(Row(f"{key}, ours over pyvisa-sim", ratio, "", least=1.0))
    if not sim:
        rows.append(Row("pyvisa-sim", float("nan"), "", remark="is not installed: not compared"))
    Instrument.close_all()
    with served(bench_file(folder)) as addresses:
        driver = Plain("plain_tcp", addresses["generator"], visalib="@py")
        rate = alternate({"tcp": lambda: driver.ask("OUTP1?")}, seconds / 3, time.perf_counter)
        rows.append(Row("driver OUTP1?, loopback TCP", rate["tcp"], "questions/s"))
        Instrument.close_all()
    return rows


def blocks(folder: Path, seconds: float) -> list[Row]:
    """Megabytes per second of arbitrary waveforms given to the 33600A as binary blocks."""
    points = np.sin(np.linspace(0.0, 2.0 * np.pi, 1_000_000))
    rows = []

    def upload(driver: Keysight33600A) -> None:
        driver.ch1.clear_waveforms()
        driver.ch1.upload("shape", points)

    def rate(driver: Keysight33600A, clock: Callable[[], float]) -> float:
        upload(driver)
        count, begun = 0, clock()
        while (spent := clock() - begun) < seconds / 2:
            upload(driver)
            count += 1
        return 4e-6 * len(points) * count / spent

    library = f"{bench_file(folder)}?seed=2@cavitylab"
    ours = rate(Keysight33600A("in_process", GENERATOR, visalib=library), time.process_time)
    rows.append(Row("driver, 4 MB waveform, in process", ours, "MB/s"))
    with served(bench_file(folder)) as addresses:
        tcp = Keysight33600A("over_tcp", addresses["generator"], visalib="@py")
        remark = "the simulated generator takes in 10 MB/s"
        rows.append(
            Row("driver, 4 MB waveform, loopback TCP", rate(tcp, time.perf_counter), "MB/s",
                remark=remark)
        )  # fmt: skip
        Instrument.close_all()
    rows.extend(carried(folder, library, seconds))
    return rows


def carried(folder: Path, library: str, seconds: float) -> list[Row]:
    """The same block written by pyvisa alone, and a long answer read, here and in pyvisa-sim."""
    sim = sim_library(folder)
    data = np.full(100_000, 0.5, dtype=">f4").tobytes()  # without a byte that ends a message
    message = b"SOUR1:DATA:VOL:CLE;:SOUR1:DATA:ARB shape,#6400000" + data + b"\n"
    libraries = {"ours": library, **({"pyvisa-sim": sim} if sim else {})}
    tasks: dict[str, Callable[[], Any]] = {}
    for name, one in libraries.items():
        manager: Any = pyvisa.ResourceManager(one)
        resource = manager.open_resource(
            GENERATOR, read_termination="\n", write_termination="\n", chunk_size=1 << 20
        )
        tasks[f"written {name}"] = lambda r=resource: r.write_raw(message)
        if name == "ours":
            for k in range(40):
                resource.write(f"SOUR2:DATA:ARB long_name_{k:02d},{','.join(['0.5'] * 8)}")
        tasks[f"read {name}"] = lambda r=resource: r.query("SOUR2:DATA:VOL:CAT?")
    size = {"written": len(message), "read": len(tasks["read ours"]())}
    rates = alternate(tasks, seconds, time.process_time)
    rows = []
    for what, text in (("written", "0.4 MB block"), ("read", f"answer of {size['read']} bytes")):
        for name in libraries:
            figure = 1e-6 * size[what] * rates[f"{what} {name}"]
            remark = (
                "taken for text, not obeyed" if (what, name) == ("written", "pyvisa-sim") else ""
            )
            rows.append(Row(f"pyvisa, {text} {what}, {name}", figure, "MB/s", remark=remark))
        if sim:
            ratio = rates[f"{what} ours"] / rates[f"{what} pyvisa-sim"]
            rows.append(Row(f"{text} {what}, ours over pyvisa-sim", ratio, "", least=1.0))
    return rows


def shots(seconds: float) -> list[Row]:
    """Shots per second from the protocol's programs to its counts, on the virtual clock."""
    rows = []
    with (
        Station.open(
            "two_ensemble", rehearse="two_ensemble", seed=3, options={"drifts": "off"}
        ) as lab,
        Interrupts(can_pause=False).installed(),
    ):
        lab.roles["gradient"].parameters["detuning_difference"].set(1000.0)
        sequences = [RamseyEllipse(dark_time=30e-6 + k * 1e-6).sequence() for k in range(4)]

        clock = lab.clock

        def measure(what: str, count: int, used: list[Any], least: float | None) -> Row:
            programs = [compile_sequence(one, lab.roles, count) for one in used]
            taken = itertools.cycle(programs)

            def take() -> None:
                take_block(next(taken), lab.roles, clock, lambda: None, lambda shots: None)

            for _ in programs:
                take()
            sent = len(lab.journal.sent())
            take()
            messages = len(lab.journal.sent()) - sent
            lab.journal.clear()
            rate = count * alternate({"": take}, seconds, time.process_time)[""]
            return Row(what, rate, "shots/s", least, remark=f"{messages} messages a block")

        later = [
            replace(one, windows=_later(one.windows, k)) for k in range(4) for one in sequences[:1]
        ]
        rows.append(measure("blocks of 10 000 shots", 10_000, sequences[:1], 1e4))
        rows.append(measure("blocks of 1000 shots, delays and RF table new", 1000, sequences, 1e4))
        rows.append(measure("one shot a block, nothing new", 1, sequences[:1], None))
        rows.append(measure("one shot a block, delays new", 1, later, 1e3))
        rows.append(measure("one shot a block, delays and RF table new", 1, sequences, 1e3))
    return rows


def _later(windows: Any, k: int) -> tuple[Any, ...]:
    """The same windows with gates that open `k` microseconds later."""
    late = k * 1e-6
    return tuple(
        replace(one, start=one.start + late) if one.name.startswith("ensemble") else one
        for one in windows
    )


def loading(folder: Path, rounds: int) -> list[Row]:
    """Seconds to open a station of ten instruments of which each command takes a millisecond."""
    with served(bench_file(folder), LATENCY) as addresses:
        entries = "".join(
            f"  {name}:\n    type: cavitylab.instruments.drivers.{module}.{kind}\n"
            f"    address: {addresses[name]}\n"
            + (f"    init: {INIT[name]}\n" if name in INIT else "")
            for name, (module, kind, _) in DRIVERS.items()
        )
        path = folder / "ten.yaml"
        path.write_text("instruments:\n" + entries, encoding="utf-8")
        times = []
        for _ in range(rounds):
            begun = time.perf_counter()
            station = Station.open(path)
            times.append(time.perf_counter() - begun)
            station.leave_as_is()
    return [
        Row("ten instruments, 1 ms a command, first time", times[0], "s", most=1.0),
        Row("the same, median of the next ones", float(np.median(times[1:])), "s", most=1.0),
    ]


def main() -> int:
    """Measure everything and print it; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--latency", type=float, default=0.0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve is not None:
        serve(chosen.serve, chosen.latency)
        return 0
    scale = 0.1 if chosen.quick else 1.0
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[], list[Row]]] = {
            "Questions": lambda: questions(folder, 5.0 * scale),
            "Blocks": lambda: blocks(folder, 5.0 * scale),
            "Shots, from the compiled program to the counts": lambda: shots(4.0 * scale),
            "Station": lambda: loading(folder, 3 if chosen.quick else 6),
        }
        for title, part in parts.items():
            print(f"\n{title}", flush=True)
            for row in part():
                rows.append(row)
                print(f"  {row}", flush=True)
    missed = [row for row in rows if not row.met]
    print(f"\n{'all targets met' if not missed else 'MISSED:'}")
    for row in missed:
        print(f"  {row}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
