"""Keysight 33500B / 33600A waveform generator: shaped drives and ramps, started by a trigger.

Extends QCoDeS' own driver, whose parameters and methods all stay: this one adds the
rules for the link, arbitrary waveforms and sequences from binary blocks, modulation by
the internal source and frequency sweeps, and voltages that are checked against the
laboratory's limits and read back. Facts no source at hand states are in `UNVERIFIED`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qcodes.instrument import VisaInstrumentKWArgs
from qcodes.instrument_drivers.Keysight.KeysightAgilent_33XXX import Keysight33xxx

from ..errors import InstrumentError, LimitError
from ..journal import Journal
from .keysight_33600a_channel import Keysight33600AChannel, SequenceStep
from .linked import Identity
from .scpi import ScpiInstrument

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["UNVERIFIED", "Keysight33600A", "Keysight33600AChannel", "SequenceStep"]

UNVERIFIED: tuple[str, ...] = (
    "Names of waveforms have at most 12 characters.",
    "Memory of a channel (1 MSa or 4 MSa without option): asked with DATA:VOL:FREE?.",
    "What rests on the output between bursts of a waveform: begin and end waveforms with the "
    "same value.",
    "Wording and numbers of the device's own errors: shown as they come.",
    "How long a block takes to be taken in: *OPC? is asked with a time-out that grows with it.",
    "Highest sample rate of each model: the generator refuses more.",
    "Amplitude modulation of depth 0 % halves the amplitude, of 100 % reaches it in full.",
    "Switching one of AM, FM, PM, sweep and burst on switches the others off.",
    "Before and between triggered sweeps the output has the start frequency.",
    "Ranges of modulation and sweep: those of `keysight_33600a_modulation.py`; the generator may "
    "take less.",
)
"""What no source at hand states; to be tried on the real unit."""

MODELS: dict[str, tuple[int, float]] = {
    "33511B": (1, 20e6),
    "33512B": (2, 20e6),
    "33521B": (1, 30e6),
    "33522B": (2, 30e6),
    "33611A": (1, 80e6),
    "33612A": (2, 80e6),
    "33621A": (1, 120e6),
    "33622A": (2, 120e6),
}
"""Models with arbitrary waveforms: channels, highest frequency of a sine in hertz."""
STOCK_SIBLING = {1: "33611A", 2: "33622A"}
"""Models known to QCoDeS' constructor, which knows too few, by their number of channels."""


class Keysight33600A(ScpiInstrument, Keysight33xxx):
    """33500B / 33600A over a raw socket (port 5025), USB or VXI-11.

    Facts no source states are listed in `UNVERIFIED`.

    Args:
        name: Name of the instrument in QCoDeS.
        address: For instance `TCPIP0::192.168.1.50::5025::SOCKET`.
        voltage_limits: Lowest and highest volts of the laboratory, for both channels, on the
            load set by `load`; checked before every amplitude, offset and output-on. `protect`
            of a channel gives them to the generator as well.
        journal: Register of the messages.
        **kwargs: Passed on to `VisaInstrument`.

    Raises:
        LimitError: If `voltage_limits` are not finite or not in order.
        LinkError: If the link cannot be opened or identified.
        InstrumentError: If another instrument answers.
    """

    def __init__(
        self,
        name: str,
        address: str,
        *,
        voltage_limits: tuple[float, float] | None = None,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        if voltage_limits is not None:
            low, high = voltage_limits
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise LimitError(
                    f"{name}: voltage_limits must be finite, low < high, but are {voltage_limits}."
                )
        self.voltage_limits = voltage_limits
        self._stock_model_only = True
        # These two arrive at QCoDeS' constructor by way of `LinkedInstrument`.
        stock = {"silent": True, "dynamic_channels": False}
        super().__init__(name, address, journal=journal, **kwargs, **stock)
        self._stock_model_only = False
        identity = self.get_idn()
        self.model = str(identity["model"])
        self.num_channels, highest = MODELS[self.model]
        self._max_freqs[self.model] = highest
        self.ch1 = Keysight33600AChannel(self, 1)
        """Output 1."""
        self.add_submodule("ch1", self.ch1)
        if self.num_channels == 2:
            self.ch2 = Keysight33600AChannel(self, 2)
            """Output 2."""
            self.add_submodule("ch2", self.ch2)
        self.connect_message()

    def get_idn(self) -> Identity:
        """Vendor, model, serial number, firmware.

        QCoDeS' constructor fails on models that it does not know: while it runs it is told
        of one with as many channels.

        Raises:
            LinkError: If there is no answer of four fields.
            InstrumentError: If it is no such generator.
        """
        identity = super().get_idn()
        if self._stock_model_only:
            self._check_identity(identity)
            channels = MODELS[str(identity["model"])][0]
            return {**identity, "model": STOCK_SIBLING[channels]}
        return identity

    def _check_identity(self, identity: Identity) -> None:
        if identity["model"] not in MODELS:
            self._close_wire()
            raise InstrumentError(
                f"{self.name} at {self.address} is no generator of the kinds "
                f"{', '.join(MODELS)} but {identity}. Check the address."
            )
