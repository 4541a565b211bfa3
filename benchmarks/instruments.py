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
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is fixed)
import pyvisa  # noqa: E402
from instruments_bench import (  # noqa: E402
    DRIVERS,
    GENERATOR,
    INIT,
    QUESTIONS,
    Row,
    alternate,
    bench_file,
    served,
    sim_library,
)
from instruments_shots import shots  # noqa: E402
from qcodes.instrument import Instrument  # noqa: E402

from cavitylab import Station  # noqa: E402
from cavitylab.instruments.drivers.keysight_33600a import Keysight33600A  # noqa: E402
from cavitylab.instruments.drivers.scpi import ScpiInstrument  # noqa: E402

LATENCY = 1e-3


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
    chosen = parser.parse_args()
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
