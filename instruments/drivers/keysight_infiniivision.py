"""Keysight InfiniiVision oscilloscope (1000 to 6000 X) as digitiser of the cavity output.

`arm`, let the shots run, `wait`, read. `:DIGitize` would block the instrument for ever when
no trigger comes, and is never sent: the driver arms with `:SINGle` and asks. Many shots
go into segmented memory and are read afterwards.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from qcodes.instrument import VisaInstrumentKWArgs
from qcodes.parameters import Parameter
from qcodes.validators import Arrays, Enum, Ints, Numbers

from ..errors import InstrumentError, LimitError
from ..journal import Journal
from .base import finite
from .infiniivision_channel import ScopeChannel
from .infiniivision_trace import Preamble, Trace, clipped, counts_of, parse_preamble
from .linked import Identity
from .scpi import ScpiInstrument, block_data, block_is_complete
from .wire import Wire, WireFailure

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["UNVERIFIED", "KeysightInfiniiVision", "ScopeChannel", "Trace"]

UNVERIFIED: tuple[str, ...] = (
    "That bit 3 (8) of :OPER:COND? is set while an acquisition waits or runs.",
    "Codes of clipped samples: counts within one 8-bit step of the ends of the range.",
    "Most segments and most points of each model: the oscilloscope changes or refuses them; "
    "both are read back.",
    "That an average in single mode takes :ACQ:COUN triggers.",
    "Execution time of a command; nothing here depends on it but the time-outs.",
    "USB vendor and product codes.",
)
"""What no source at hand states; to be tried on the real unit."""

RUNNING_BIT = 8
POLL_INTERVAL = 0.01
"""Seconds between two looks at an acquisition."""
ARMING_TIME = 2.0
"""Seconds in which an armed oscilloscope must say so."""
MOST_POINTS = 8_000_000


class KeysightInfiniiVision(ScpiInstrument):
    """InfiniiVision X series over a raw socket (port 5025), USB or VXI-11.

    Facts no source states are listed in `UNVERIFIED`.

    Args:
        name: Name of the instrument in QCoDeS.
        address: For instance `TCPIP0::192.168.1.70::5025::SOCKET`.
        journal: Register of the messages.
        **kwargs: Passed on to `VisaInstrument`.
    """

    never_repeat = (*ScpiInstrument.never_repeat, r"AER\?", r"TER\?", r"OPER\w*\?", r"MEAS")
    forbidden = (r"DIG", r"\*TST")

    def __init__(
        self,
        name: str,
        address: str,
        *,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        super().__init__(name, address, journal=journal, **kwargs)
        self._axis: NDArray[np.float64] = np.empty(0)
        self._add_acquisition()
        self._add_trigger()
        self.points: Parameter[int, KeysightInfiniiVision] = self.add_parameter(
            "points", get_cmd=lambda: len(self._axis), set_cmd=False
        )
        """Samples of the trace read last."""
        self.points.cache.set(0)
        self.time_axis: Parameter = self.add_parameter(
            "time_axis",
            unit="s",
            get_cmd=lambda: self._axis,
            set_cmd=False,
            vals=Arrays(shape=(self.points.get_latest,)),
            snapshot_get=False,
            snapshot_value=False,
        )
        """Seconds after the trigger, of the trace read last."""
        identity = self.get_idn()
        self._check_identity(identity)
        self.channels: tuple[ScopeChannel, ...] = tuple(
            ScopeChannel(self, number) for number in range(1, _inputs(identity) + 1)
        )
        """The inputs; also as `ch1`, `ch2`, ... of the instrument."""
        for channel in self.channels:
            self.add_submodule(channel.short_name, channel)
        self.connect_message()

    def _add_acquisition(self) -> None:
        self.acquisition_type: Parameter[str, KeysightInfiniiVision] = self.add_parameter(
            "acquisition_type",
            get_cmd="ACQ:TYPE?",
            set_cmd="ACQ:TYPE {}",
            vals=Enum("NORM", "AVER", "HRES", "PEAK"),
        )
        """NORM; HRES for more bits at less bandwidth; AVER over `averages` triggers."""
        self.averages: Parameter[int, KeysightInfiniiVision] = self.add_parameter(
            "averages",
            get_cmd="ACQ:COUN?",
            get_parser=_integer,
            set_cmd="ACQ:COUN {}",
            vals=Ints(2, 65_536),
        )
        """Acquisitions of an average."""
        self.acquisition_mode: Parameter[str, KeysightInfiniiVision] = self.add_parameter(
            "acquisition_mode", get_cmd="ACQ:MODE?", set_cmd="ACQ:MODE {}",
            vals=Enum("RTIM", "SEGM"),
        )  # fmt: skip
        """RTIM, or SEGM for one segment a trigger; `configure_segments` sets it."""
        self.time_range: Parameter[float, KeysightInfiniiVision] = self.add_parameter(
            "time_range",
            unit="s",
            get_cmd="TIM:RANG?",
            get_parser=finite,
            set_cmd="TIM:RANG {:.6g}",
            vals=Numbers(20e-9, 500.0),
        )
        """Length of a trace, ten divisions."""
        self.time_position: Parameter[float, KeysightInfiniiVision] = self.add_parameter(
            "time_position",
            unit="s",
            get_cmd="TIM:POS?",
            get_parser=finite,
            set_cmd="TIM:POS {:.9g}",
            vals=Numbers(-500.0, 500.0),
        )
        """Seconds from the trigger to the middle of the trace."""
        self.sample_rate: Parameter[float, KeysightInfiniiVision] = self.add_parameter(
            "sample_rate", unit="Sa/s", get_cmd="ACQ:SRAT?", get_parser=finite, set_cmd=False
        )
        """Samples per second; follows from range and memory."""

    def _add_trigger(self) -> None:
        self.trigger_source: Parameter[str, KeysightInfiniiVision] = self.add_parameter(
            "trigger_source",
            get_cmd="TRIG:EDGE:SOUR?",
            set_cmd="TRIG:EDGE:SOUR {}",
            vals=Enum("CHAN1", "CHAN2", "CHAN3", "CHAN4", "EXT"),
        )
        """A channel, or EXT."""
        self.trigger_level: Parameter[float, KeysightInfiniiVision] = self.add_parameter(
            "trigger_level",
            unit="V",
            get_cmd="TRIG:EDGE:LEV?",
            get_parser=finite,
            set_cmd="TRIG:EDGE:LEV {:.6g}",
            vals=Numbers(-40.0, 40.0),
        )
        """Volts."""
        self.trigger_slope: Parameter[str, KeysightInfiniiVision] = self.add_parameter(
            "trigger_slope",
            get_cmd="TRIG:EDGE:SLOP?",
            set_cmd="TRIG:EDGE:SLOP {}",
            vals=Enum("POS", "NEG"),
        )
        """The edge."""
        self.trigger_sweep: Parameter[str, KeysightInfiniiVision] = self.add_parameter(
            "trigger_sweep",
            get_cmd="TRIG:SWE?",
            set_cmd="TRIG:SWE {}",
            vals=Enum("AUTO", "NORM"),
        )
        """NORM waits for the trigger; AUTO makes one up, which is no shot: see `arm`."""

    # ---- acquisition -----------------------------------------------------------------

    def configure_segments(self, count: int) -> None:
        """One segment for each of `count` triggers, filled on board at the shots' own rate.

        Raises:
            LimitError: If `count` is below 2; nothing was sent.
            InstrumentError: If the oscilloscope does not take as many.
        """
        if count < 2:
            raise LimitError(f"{self.name}: at least 2 segments, not {count!r}.")
        with self.group():
            self.write("ACQ:MODE SEGM")
            self.write(f"ACQ:SEGM:COUN {count}")
        self.acquisition_mode.cache.invalidate()
        found = self.ask_parsed("ACQ:SEGM:COUN?", _integer, "a number of segments")
        if found != count:
            raise InstrumentError(
                f"{self.name} at {self.address}: {count} segments were wanted, {found} are set. "
                "Take fewer."
            )

    def arm(self) -> None:
        """Forget old traces and wait for the trigger; returns when the oscilloscope is armed.

        Raises:
            InstrumentError: If the sweep is AUTO (a trace of no shot would be taken for one),
                or if it does not say that it is armed.
        """
        with self.lock:
            if self.trigger_sweep() != "NORM":
                raise InstrumentError(
                    f"{self.name} at {self.address}: refused, because the sweep is AUTO, which "
                    "triggers without a shot: set trigger_sweep to NORM."
                )
            self.ask_parsed("AER?", _integer, "0 or 1", repeat=False)
            self.write("SING")
            started = self.clock.now()
            while self.ask_parsed("AER?", _integer, "0 or 1", repeat=False) == 0:
                if self.clock.now() - started > ARMING_TIME:
                    raise InstrumentError(
                        f"{self.name} at {self.address}: not armed {ARMING_TIME:g} s after SING. "
                        "Look at its screen."
                    )
                self.clock.wait(POLL_INTERVAL)

    def busy(self) -> bool:
        """Whether it waits for a trigger, or acquires."""
        return bool(self.ask_parsed("OPER:COND?", _integer, "a register") & RUNNING_BIT)

    def wait(self, patience: float = 10.0) -> None:
        """Wait until the acquisition is over.

        Args:
            patience: Seconds.

        Raises:
            InstrumentError: If it is not over by then: the trigger did not come, or not
                often enough.
        """
        started = self.clock.now()
        while self.busy():
            if self.clock.now() - started >= patience:
                raise InstrumentError(
                    f"{self.name} at {self.address}: no complete acquisition within "
                    f"{patience:g} s: the trigger on {self.trigger_source()} did not come often "
                    "enough. Check its cable, level and slope; `stop` ends the waiting."
                )
            self.clock.wait(POLL_INTERVAL)

    def glance(self, channel: int, points: int = 1000, patience: float = 5.0) -> Trace:
        """A trace of now, triggered by nothing: a level, never a shot. Earlier traces are lost.

        Args:
            channel: 1 to 4.
            points: At most so many samples.
            patience: Seconds that the oscilloscope may take.

        Raises:
            InstrumentError: If it does not acquire by itself in time.
        """
        with self.lock:
            sweep, mode = self.trigger_sweep(), self.acquisition_mode()
            try:
                self.acquisition_mode("RTIM")
                self.trigger_sweep("AUTO")
                self.write("SING")
                self.wait(patience)
                return self.read(channel, points)
            finally:
                self.trigger_sweep(sweep)
                self.acquisition_mode(mode)

    def stop(self) -> None:
        """End the waiting; what was acquired stays."""
        self.write("STOP")

    # ---- reading ---------------------------------------------------------------------

    def read(self, channel: int, points: int = MOST_POINTS) -> Trace:
        """The trace acquired last; `time_axis` and `points` are those of this trace.

        Args:
            channel: 1 to 4.
            points: At most so many samples; the oscilloscope leaves some out.

        Raises:
            LimitError: If there is no such channel, or `points` is below 100.
            LinkError: If there is no trace, or the block is damaged.
        """
        with self.lock:
            self._prepare(channel, points)
            preamble, counts = self._fetch()
        self._keep_axis(preamble)
        return Trace(preamble.times(), preamble.volts(counts), clipped(counts),
                     preamble.averages, np.empty(0))  # fmt: skip

    def read_segments(self, channel: int, points: int = MOST_POINTS) -> Trace:
        """All segments acquired, in order.

        Returns:
            Trace: `volts` of shape (segments, points), `tags` of shape (segments,).

        Raises:
            LimitError: As in `read`.
            InstrumentError: If no segment is there, or if they differ in length.
            LinkError: If a block is damaged.
        """
        with self.lock:
            self._prepare(channel, points)
            count = self.ask_parsed("WAV:SEGM:COUN?", _integer, "a number of segments")
            if count < 1:
                raise InstrumentError(
                    f"{self.name} at {self.address}: no segment was acquired. "
                    "configure_segments, arm, run the shots, wait."
                )
            rows, tags = [], []
            for index in range(1, count + 1):
                self.write(f"ACQ:SEGM:IND {index}")
                preamble, counts = self._fetch()
                rows.append((preamble, counts))
                tags.append(self.ask_float("WAV:SEGM:TTAG?"))
        if len({len(counts) for _, counts in rows}) > 1:
            raise InstrumentError(
                f"{self.name} at {self.address}: the segments differ in length. Acquire again."
            )
        first = rows[0][0]
        self._keep_axis(first)
        volts = np.stack([preamble.volts(counts) for preamble, counts in rows])
        lost = sum(clipped(counts) for _, counts in rows)
        return Trace(first.times(), volts, lost, first.averages, np.array(tags))

    def _prepare(self, channel: int, points: int) -> None:
        inputs = range(1, len(self.channels) + 1)
        if channel not in inputs or not 100 <= points <= MOST_POINTS:
            raise LimitError(
                f"{self.name}: channel must be 1 to {inputs[-1]} and points 100 to {MOST_POINTS}, "
                f"but are {channel!r} and {points!r}."
            )
        with self.group():
            self.write(f"WAV:SOUR CHAN{channel}")
            self.write("WAV:FORM WORD")
            self.write("WAV:BYT LSBF")
            self.write("WAV:UNS 1")
            self.write("WAV:POIN:MODE RAW")
            self.write(f"WAV:POIN {points}")

    def _fetch(self) -> tuple[Preamble, NDArray[np.uint16]]:
        preamble = self.ask_parsed("WAV:PRE?", parse_preamble, "a preamble of words")
        end = self._reply_end.encode("ascii")

        def read(wire: Wire) -> NDArray[np.uint16]:
            raw = wire.receive(lambda buffer: block_is_complete(buffer, end), longest=None)
            try:
                counts = counts_of(block_data(raw, end), preamble.points)
            except ValueError as error:
                raise WireFailure(f"the answer is no block of samples: {error}", raw) from error
            self._note(f"<{counts.size} samples>", "<")
            return counts

        counts = self._exchange("WAV:DATA?", read, repeat=True)
        return preamble, cast("NDArray[np.uint16]", counts)

    def _keep_axis(self, preamble: Preamble) -> None:
        self._axis = preamble.times()
        self.points.cache.set(preamble.points)

    def _check_identity(self, identity: Identity) -> None:
        model = (identity["model"] or "").upper().replace("-", "").replace(" ", "")
        if not model.startswith(("DSOX", "MSOX", "EDUX")):
            raise InstrumentError(
                f"{self.name} at {self.address} is no InfiniiVision X but {identity}. Check the "
                "address."
            )


def _inputs(identity: Identity) -> int:
    """2 or 4, the last digit of the model's number (DSO-X 3024A)."""
    number = re.search(r"\d{3}([24])", identity["model"] or "")
    return int(number[1]) if number is not None else 4


def _integer(text: str) -> int:
    """An integer, with or without sign, also in the form +1.0E+03.

    Raises:
        ValueError: If it is none.
    """
    value = float(text)
    if value != int(value):
        raise ValueError(text)
    return int(value)
