"""The laboratory: clock, devices by address, wires, the burst under way, the physics.

One lock guards it all. A trigger on the timing device starts a burst; each
shot's timeline is frozen when the shot begins, from what every device then puts
on the wires; the physics is asked only when a counter is read.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..clock import Clock, VirtualClock
from ..errors import StationFileError
from ..journal import Journal, Message
from .devices.base import SimulatedDevice
from .faults import FaultRule, Faults
from .lines import Apparatus, ApparatusFault, Stretch, Timeline
from .links import Link
from .shots import CLOCK_TOLERANCE, Burst, GateCursor, Portion, Shot
from .wiring import Terminal, Wiring

FREE_RUNNING = 1 << 40
"""Shot numbers from here on belong to counting without a burst (alignment)."""


class Laboratory:
    """Everything on the table.

    Args:
        seed: Fixes every random number together with shot and device.
        clock: Virtual by default.
        latency: Whether commands take the time they take on the real instruments.
        adversary: Yield the processor after each write, so that drivers without
            a lock are found out.
        first_shot: Number of the first shot; a resumed run continues counting.

    Attributes:
        lock: Re-entrant; held while a message is obeyed.
        devices: By name.
        addresses: VISA address (canonical) -> device.
        journal: Every message, as the devices saw it.
        prompt: Commands take no time.
        faults: Texts of the `ApparatusFault`s so far, oldest first.
        next_shot: Number of the next shot.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        clock: Clock | None = None,
        latency: bool = False,
        adversary: bool = False,
        first_shot: int = 0,
    ) -> None:
        self.seed = seed
        self.clock: Clock = clock if clock is not None else VirtualClock()
        self.adversary = adversary
        self.lock = threading.RLock()
        self.journal = Journal()
        self.devices: dict[str, SimulatedDevice] = {}
        self.addresses: dict[str, SimulatedDevice] = {}
        self.faults: list[str] = []
        self.next_shot = first_shot
        self.apparatus: Apparatus | None = None
        self.wiring = Wiring((), {})
        self.faults_on_purpose = Faults((), self.generator("faults"))
        self.prompt = not latency
        self._latency_rng = self.generator("latency")
        self._bursts: list[Burst] = []
        self._restless: list[SimulatedDevice] = []
        self._serial = 0
        self._free_run = FREE_RUNNING

    # -- setting up ---------------------------------------------------------------------

    def add(self, device: SimulatedDevice, addresses: Iterable[str] = ()) -> None:
        """Put a device on the table and plug in its links.

        Raises:
            StationFileError: The name or an address is taken.
        """
        if device.name in self.devices:
            raise StationFileError(f"two devices are called `{device.name}`: rename one.")
        self.devices[device.name] = device
        if device.restless:
            self._restless.append(device)
        for address in addresses:
            if address in self.addresses:
                other = self.addresses[address].name
                raise StationFileError(
                    f"`{device.name}` and `{other}` both answer at {address}: change one."
                )
            self.addresses[address] = device

    def connect(self, wires: Iterable[tuple[str, str]]) -> None:
        """Lay all wires (from, to).

        Raises:
            StationFileError: A wire that cannot be laid.
        """
        self.wiring = Wiring(wires, self.devices)

    def spoil(self, rules: Sequence[FaultRule]) -> None:
        """Install the rules of faults on purpose.

        Raises:
            StationFileError: A rule names no device of this laboratory.
        """
        for rule in rules:
            if rule.device not in self.devices:
                raise StationFileError(
                    f"fault `{rule.kind}`: there is no device `{rule.device}`; "
                    f"there are {', '.join(self.devices)}."
                )
        self.faults_on_purpose = Faults(rules, self.generator("faults"))

    # -- time and chance ----------------------------------------------------------------

    @property
    def virtual(self) -> bool:
        """Waiting costs nothing."""
        return isinstance(self.clock, VirtualClock)

    def now(self) -> float:
        """Seconds on the laboratory's clock."""
        return self.clock.now()

    def generator(self, *names: str) -> np.random.Generator:
        """Random numbers of their own for each name, fixed by the seed."""
        key = [zlib.crc32(name.encode()) for name in names]
        return np.random.default_rng(np.random.SeedSequence([self.seed & (2**63 - 1), *key]))

    def latency_of(self, device: SimulatedDevice) -> float:
        """Seconds that the next command to `device` takes."""
        if self.prompt:
            return 0.0
        mean, spread = device.latency
        return float(max(self._latency_rng.normal(mean, spread), 0.1 * mean))

    # -- links --------------------------------------------------------------------------

    def open_link(self, address: str, framed: bool) -> Link | None:
        """A new session to whoever answers at `address`; None if nobody does."""
        with self.lock:
            device = self.addresses.get(address)
            return None if device is None else self.link_to(device, address, framed)

    def link_to(self, device: SimulatedDevice, address: str, framed: bool) -> Link:
        """A new session to a device, under the name `address`; it may be refused."""
        with self.lock:
            link = Link(self, device, address, framed)
            if self.faults_on_purpose.strike(device.name, "<open>"):
                link.refused = True
                self.journal.append(Message(self.now(), device.name, address, "!", "refused"))
            else:
                link.greet()
            return link

    # -- shots --------------------------------------------------------------------------

    @property
    def burst(self) -> Burst | None:
        """The latest burst."""
        return self._bursts[-1] if self._bursts else None

    def fire(self, source: str, start: float, period: float, count: int) -> Burst | None:
        """Begin a burst of `count` shots of `period` seconds with the first T0 at `start`.

        Returns None if a fault on purpose has swallowed the trigger.
        """
        with self.lock:
            self.freeze()
            struck = [
                (name, rule)
                for name in (self.devices if self.faults_on_purpose.expected else ())
                for rule in self.faults_on_purpose.strike(name, "<fire>")
            ]
            for name, rule in struck:
                self.devices[name].trip(rule.kind, rule.value, None)
            if any(rule.kind == "trigger_lost" for _, rule in struck):
                return None
            self._serial += 1
            burst = Burst(self._serial, source, start, period, count, self.next_shot)
            self.next_shot += count
            self._bursts.append(burst)
            self.freeze()
            return burst

    def abort(self, burst: Burst) -> None:
        """Stop a burst now; shots not yet begun never were."""
        with self.lock:
            self.freeze()
            burst.end = min(burst.end, self.now())
            if self.burst is burst:
                self.next_shot = burst.first_shot + burst.begun(burst.end)

    def touch(self) -> None:
        """Something may change now: shots already begun keep what they saw."""
        if not self._bursts and not self._restless:
            return
        self.freeze()
        if self._bursts:
            self._bursts[-1].steady = False

    def freeze(self) -> None:
        """Fix the timelines of all shots that have begun."""
        for device in self._restless:
            device.catch_up()
        burst = self._bursts[-1] if self._bursts else None
        if burst is None or burst.frozen >= burst.count:
            return
        begun = burst.begun(self.now())
        while burst.frozen < begun:
            if burst.steady:
                burst.extend(begun)
                return
            shot = self._shot(burst, burst.frozen)
            for device in self.devices.values():
                device.begin(shot)
            for device in self.devices.values():
                device.observe(shot)
            burst.add(self.timeline(shot))
            burst.steady = all(device.steady(shot) for device in self.devices.values())

    def _shot(self, burst: Burst, index: int) -> Shot:
        start = burst.start + index * burst.period
        return self._make_shot(index, start, burst.period, burst.source)

    def _make_shot(self, index: int, start: float, period: float, source: str | None) -> Shot:
        def plugged(device: str, terminal: str) -> tuple[Stretch, ...] | None:
            wire = self.wiring.inputs.get((device, terminal))
            return None if wire is None else self._driven(wire, shot)

        shot = Shot(index, start, period, source, plugged)
        return shot

    def glimpse(self, duration: float) -> Shot | None:
        """What is on the wires for `duration` seconds from now, outside of a burst.

        None while a burst runs: its shots say what is on the wires.
        """
        with self.lock:
            self.freeze()
            if self.burst is not None and self.now() < self.burst.finish:
                return None
            shot = self._make_shot(0, self.now(), duration, None)
            for device in self.devices.values():
                device.begin(shot)
            return shot

    def _driven(self, terminal: Terminal, shot: Shot) -> tuple[Stretch, ...]:
        device = self.devices[terminal.device]
        if len(terminal.names) == 1:
            return device.signal(terminal.names[0], shot)
        return device.combined(terminal.names, shot)

    def timeline(self, shot: Shot) -> dict[str, tuple[Stretch, ...]]:
        """What is on every line during `shot`, as the devices now say."""
        timeline = {line: self._driven(wire, shot) for line, wire in self.wiring.lines.items()}
        if self.wiring.counter is not None:
            counter = self.devices[self.wiring.counter[0]]
            timeline["counter.gate"] = counter.counting(shot)
        return timeline

    # -- photons ------------------------------------------------------------------------

    def cursor(self) -> GateCursor:
        """Where a counter starts that is armed now; bursts before are forgotten."""
        with self.lock:
            self.freeze()
            self._bursts = self._bursts[-1:]
            return GateCursor(self._bursts[0].serial if self._bursts else self._serial + 1)

    def photons(
        self, cursor: GateCursor, opened_after: float, at_most: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], GateCursor]:
        """Counts of the gates that have closed by now.

        Args:
            cursor: Gates before were read already.
            opened_after: Gates that opened earlier found the counter not ready.
            at_most: Largest number of readings wanted.

        Returns:
            Counts, times of closing, and the cursor for the next call. Gates
            for which the apparatus has no honest answer are missing; the reason
            is in `faults`.
        """
        with self.lock:
            self.freeze()
            values: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
            times: list[NDArray[np.float64]] = [np.zeros(0)]
            for burst in self._bursts:
                if burst.serial < cursor.burst or (
                    # over before the counter was ready, and another one has begun since
                    burst is not self._bursts[-1]
                    and burst.finish <= opened_after - 2.0 * CLOCK_TOLERANCE
                ):
                    continue
                if burst.serial > cursor.burst:
                    cursor = GateCursor(burst.serial)
                for portion in burst.portions:
                    wanted = at_most - sum(map(len, values))
                    counts, closed, gate = self._portion(
                        burst, portion, cursor.gate, opened_after, wanted
                    )
                    values.append(counts)
                    times.append(closed)
                    cursor = GateCursor(burst.serial, gate)
            return np.concatenate(values), np.concatenate(times), cursor

    def _portion(
        self, burst: Burst, portion: Portion, gate: int, opened_after: float, wanted: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
        nothing = np.zeros(0, dtype=np.int64), np.zeros(0), gate
        if wanted <= 0 or gate >= portion.first_gate + portion.gates:
            return nothing
        shots, columns = burst.gate_times(portion, gate)
        start = burst.start + shots * burst.period
        opens, closes = start + portion.windows[columns, 0], start + portion.windows[columns, 1]
        by_now = int(np.sum(closes <= min(self.now(), burst.end) + CLOCK_TOLERANCE))
        picked = np.flatnonzero(opens[:by_now] >= opened_after - CLOCK_TOLERANCE)[:wanted]
        if not len(picked):
            return nothing[0], nothing[1], max(gate, portion.first_gate) + by_now
        first, stop = int(shots[picked[0]]), int(shots[picked[-1]]) + 1
        counts = self._counts(
            portion.timeline,
            range(burst.first_shot + first, burst.first_shot + stop),
            burst.times(first, stop),
            len(portion.windows),
        )
        done = max(gate, portion.first_gate)
        done += int(picked[-1]) + 1 if len(picked) == wanted else by_now
        if counts is None:
            return nothing[0], nothing[1], done
        return counts[shots[picked] - first, columns[picked]], closes[picked], done

    def photons_now(self, duration: float) -> int | None:
        """Counts during `duration` seconds from now without a burst (alignment).

        None if the apparatus has no answer, or if a burst is running: slices of
        its shots are not counted.
        """
        with self.lock:
            self.freeze()
            now = self.now()
            if self.burst is not None and now < self.burst.finish:
                self.report("counting with a timed gate while a burst runs is not simulated")
                return None
            shot = self._make_shot(0, now, duration, None)
            for device in self.devices.values():
                device.begin(shot)
            timeline = self.timeline(shot)
            timeline["counter.gate"] = (Stretch(0.0, duration, True),)
            self._free_run += 1
            shots = range(self._free_run, self._free_run + 1)
            counts = self._counts(timeline, shots, np.array([now]), 1)
            return None if counts is None else int(counts[0, 0])

    def _counts(
        self, timeline: Timeline, shots: range, times: NDArray[np.float64], gates: int
    ) -> NDArray[np.int64] | None:
        if self.apparatus is None:
            self.report("the laboratory file has no apparatus: nothing emits photons")
            return None
        try:
            counts = np.asarray(self.apparatus.counts(timeline, shots, times))
        except ApparatusFault as fault:
            self.report(str(fault))
            return None
        if counts.shape != (len(shots), gates):
            raise ValueError(
                f"the apparatus must return counts of shape {(len(shots), gates)} "
                f"(shots, openings of `counter.gate`), but returned {counts.shape}."
            )
        return counts.astype(np.int64)

    def report(self, text: str) -> None:
        """Note, once, something for which the laboratory has no honest answer."""
        if text not in self.faults:
            self.faults.append(text)
            self.journal.append(Message(self.now(), "apparatus", "", "!", text))

    def reveal(self) -> Mapping[str, Any]:
        """The hidden truth, averaged over the shots counted."""
        with self.lock:
            told = {} if self.apparatus is None else self.apparatus.reveal()
            if told:
                for device in self.devices.values():
                    told |= device.reveal()
            return told
