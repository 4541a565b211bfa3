"""Shots through the whole wire path, from compiled programs to checked counts, in virtual time.

One shot a block is one upload a shot: what a protocol does whose next shot depends on the last
one. The settings differ from every shot to the next, and the timing box and the synthesizer
behind the wires are asked, apart from the measurement, whether they hold them.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace
from typing import Any

from instruments_bench import Row, alternate

from cavitylab import Station
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.engine.block import take_block
from cavitylab.protocols.engine.interrupts import Interrupts
from cavitylab.protocols.sequence import compile_sequence

SETTINGS = 8
"""Different settings that the shots go through, each other than the one before."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the instruments behind the wires hold."""

    edges: tuple[float, ...]
    table: tuple[int, ...]


def shots(seconds: float) -> list[Row]:
    """Shots per second of processor time, for blocks and for one upload a shot."""
    with (
        Station.open(
            "two_ensemble", rehearse="two_ensemble", seed=3, options={"drifts": "off"}
        ) as lab,
        Interrupts(can_pause=False).installed(),
    ):
        lab.roles["gradient"].parameters["detuning_difference"].set(1000.0)
        tables = [RamseyEllipse(dark_time=(30 + k) * 1e-6).sequence() for k in range(SETTINGS)]
        delays = [replace(tables[0], windows=_later(tables[0].windows, k)) for k in range(SETTINGS)]
        equal = tables[:1]
        return [
            *measure(lab, "blocks of 10 000 shots", 10_000, equal, seconds, 1e4),
            *measure(
                lab, "blocks of 1000 shots, delays and RF table new", 1000, tables, seconds, 1e4
            ),
            *measure(lab, "one shot a block, nothing new", 1, equal, seconds, None),
            *measure(lab, "one shot a block, delays new", 1, delays, seconds, 1e3),
            *measure(lab, "one shot a block, delays and RF table new", 1, tables, seconds, 1e3),
        ]


def measure(
    lab: Station, what: str, count: int, used: list[Any], seconds: float, least: float | None
) -> list[Row]:
    """The rate of blocks of `count` shots that go through the sequences `used`."""
    programs = [compile_sequence(one, lab.roles, count) for one in used]
    taken = itertools.cycle(programs)

    def take() -> None:
        counted = take_block(next(taken), lab.roles, lab.clock, lambda: None, lambda shots: None)
        if counted.counts.shape != (count, 2):
            raise ValueError(f"{what}: counts of shape {counted.counts.shape}")

    for _ in programs:
        take()
    held = []
    for _ in programs:
        take()
        held.append(held_by(lab))
    if len(set(held)) != len(used):
        raise ValueError(f"{what}: {len(used)} settings, but the instruments held {set(held)}")
    lab.journal.clear()
    take()
    trips = round_trips(lab)
    messages = len(lab.journal.sent())
    lab.journal.clear()
    begun = time.perf_counter(), time.process_time()
    rate = count * alternate({"": take}, seconds, time.process_time)[""]
    share = (time.process_time() - begun[1]) / (time.perf_counter() - begun[0])
    remark = f"{trips} round trips, {messages} commands a block; {share:.0%} of a core"
    return [Row(what, rate, "shots/s", least, remark=remark)]


def round_trips(lab: Station) -> int:
    """How often the instruments were waited for: answers that follow something sent."""
    ways = [message.direction for message in lab.journal if message.direction != "!"]
    return sum(pair == (">", "<") for pair in itertools.pairwise(ways))


def held_by(lab: Station) -> Held:
    """Asked of the simulated instruments themselves, not through the drivers."""
    box: Any = lab.instruments["timing_box"]
    devices = box.visa_handle.visalib.laboratory.devices
    delays = devices["timing_box"].delays
    table = devices["rf"].channels[1].table
    return Held(
        tuple(delays.time_of(channel) for channel in range(2, 10)),
        tuple(entry.microseconds for entry in table),
    )


def _later(windows: Any, k: int) -> tuple[Any, ...]:
    """The same windows with gates that open `k` microseconds later."""
    late = k * 1e-6
    return tuple(
        replace(one, start=one.start + late) if one.name.startswith("ensemble") else one
        for one in windows
    )
