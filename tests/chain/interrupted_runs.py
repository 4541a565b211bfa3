"""A program for tests: takes runs in forked children that kill themselves where they are told to.

Reads one JSON order a line, forks a child that obeys it, and answers with one JSON line: how the
child ended. Imports are paid for once, and the parent has no threads when it forks.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cavitylab.instruments.simulated.visa  # noqa: F401  (or every child would import it)
from cavitylab import Station, run
from cavitylab.instruments.shipped import find_file
from cavitylab.instruments.station_file import load_station_file
from cavitylab.protocols import CalibrateAtomNumber, RamseyEllipse
from cavitylab.protocols.composition import Tracked
from cavitylab.protocols.engine import CountsGuard, events, resume_options
from cavitylab.protocols.protocol import Calibrations, Steps
from cavitylab.protocols.recording.journal import Journal
from cavitylab.protocols.recording.layout import DurableFiles
from cavitylab.protocols.steps import Checkpoint, Note, Set, Shots, TakeEstimate, Wait

SETTINGS = {
    "shots": 120,
    "block": 30,
    "atoms_per_ensemble": 20,
    "preparation_rabi_hz": 2.5e3,
    "coil_check": 0,
}
SEED = 5
TOO_MANY = 2350
"""Counts of both ensembles together that some shots exceed: spoiled, so that blocks repeat."""


class AdaptiveBias(RamseyEllipse):
    """After each block the dark time and the gradient of the next follow the running estimate."""

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        del calibrations, seed
        self.chosen = [self.settings]
        yield Set("gradient", "detuning_difference", self.settings.detuning_hz)
        yield Checkpoint("gradient settled")
        for number in range(self.settings.shots // self.settings.block):
            now = RamseyEllipse(**self.chosen[-1].model_dump())
            yield Shots(now.sequence(), self.settings.block, point=number)
            estimate = yield TakeEstimate()
            phase = 0.17 if estimate is None else estimate["phase"].value
            detuning = self.settings.detuning_hz * (1 + 0.01 * (number + 1))
            self.chosen.append(
                self.settings.model_copy(update={"bias_phase": 0.1 + 0.1 * phase**2})
            )
            if number % 2:
                yield Set("gradient", "detuning_difference", detuning)
                yield Wait(1.0)
            yield Note(f"bias {self.chosen[-1].bias_phase}")

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        return RamseyEllipse(**self.chosen[index].model_dump()).point(0, calibrations)


def tracked() -> Tracked:
    """A short measurement of the Rabi frequency, tracked by another: four blocks each."""
    settings: dict[str, Any] = {"shots": 6, "dark_shots": 2, "turns": (0.25, 0.5, 0.75)}
    both: list[Any] = [CalibrateAtomNumber(**settings) for _ in range(2)]
    signal, reference = both
    return Tracked(
        signal,
        reference,
        rounds=3,
        diffusion=(1.0, 1e5),
        share=0.4,
        signal_quantity="rabi_frequency",
        reference_quantity="rabi_frequency",
    )


MAKE: Mapping[str, Callable[[], Any]] = {
    "adaptive": lambda: AdaptiveBias(**SETTINGS),
    "plain": lambda: RamseyEllipse(**SETTINGS),
    "tracked": tracked,
}


def die() -> None:
    """No goodbye, no clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(owner: type[Any], name: str, number: int, *, after: bool = False) -> None:
    """Die at the `number`-th call of a method of the writer, before or after it did its work."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = itertools.count(1)  # files are written by several threads at once

    def counted(*args: Any, **kwargs: Any) -> Any:
        own = next(calls)
        if own == number and not after:
            die()
        result = original(*args, **kwargs)
        if own == number:
            die()
        return result

    setattr(owner, name, counted)


def at_step(protocol: Any, number: int) -> None:
    """Die when the protocol is asked for its step of that number."""
    original = protocol.steps
    lives = [0]

    def counted(calibrations: Calibrations, seed: int) -> Steps:
        lives[0] += 1  # the first walk through the steps only checks them
        steps = original(calibrations, seed)
        answer = None
        for index in range(1 << 30):
            if index == number and lives[0] == 2:
                die()
            try:
                answer = yield steps.send(answer)
            except StopIteration:
                return

    protocol.steps = counted


def at_reference(protocol: Any, number: int) -> None:
    """Die when the reference's block of that number, the first is 1, is about to be taken."""
    original = protocol.steps
    lives = [0]

    def counted(calibrations: Calibrations, seed: int) -> Steps:
        lives[0] += 1  # the first walk through the steps only checks them
        steps, answer, blocks = original(calibrations, seed), None, 0
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            if isinstance(step, Shots):
                blocks += protocol.point(step.point, calibrations)["reference"] == 1.0
                if blocks == number and lives[0] == 2:
                    die()
            answer = yield step

    protocol.steps = counted


def obey(order: dict[str, Any]) -> None:
    """Take the run, or what is left of it."""
    protocol = MAKE[order["protocol"]]()
    match order.get("die"):
        case ["step", number]:
            at_step(protocol, number)
        case ["reference", number]:
            at_reference(protocol, number)
        case ["commit", number, after]:
            at_call(Journal, "write", number, after=after)
        case ["rename", number, after]:
            at_call(DurableFiles, "rename", number, after=after)
        case ["stage", number, after]:
            at_call(DurableFiles, "stage", number, after=after)
        case ["fire", number]:
            from cavitylab.instruments.roles.timing import Timing

            at_call(Timing, "fire", number, after=True)
    resume = order.get("resume")
    options = resume_options(resume) if resume else {"seed": str(SEED)}

    def listen(event: events.RunEvent) -> None:
        if isinstance(event, events.BlockRecorded):
            with Path(order["said"]).open("a") as said:
                said.write(f"{event.acknowledged}\n")

    with Station.open(order["station"], rehearse=order["laboratory"], options=options) as station:
        run(
            protocol,
            station,
            data=order["data"],
            seed=None if resume else SEED,
            resume=resume,
            guards=[] if isinstance(protocol, Tracked) else [CountsGuard(high=TOO_MANY)],
            subscribers=[listen],
        )


def main() -> None:
    """Serve orders until the input ends."""
    load_station_file(find_file("two_ensemble", ".yaml"))  # the children find it composed
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                obey(json.loads(line))
                code = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


if __name__ == "__main__":
    main()
