"""One input of an InfiniiVision oscilloscope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcodes.instrument import InstrumentChannel
from qcodes.parameters import Parameter, ParameterWithSetpoints
from qcodes.validators import Arrays, Enum, Numbers

from .base import finite, flag

if TYPE_CHECKING:
    from .keysight_infiniivision import KeysightInfiniiVision


class ScopeChannel(InstrumentChannel["KeysightInfiniiVision"]):
    """One input."""

    def __init__(self, parent: KeysightInfiniiVision, number: int) -> None:
        super().__init__(parent, f"ch{number}")
        self.number = number
        head = f"CHAN{number}"
        self.shown: Parameter[bool, ScopeChannel] = self.add_parameter(
            "shown", get_cmd=f"{head}:DISP?", get_parser=flag, set_cmd=f"{head}:DISP {{:d}}"
        )
        """Whether the channel is on: only then it is acquired."""
        self.range: Parameter[float, ScopeChannel] = self.add_parameter(
            "range",
            unit="V",
            get_cmd=f"{head}:RANG?",
            get_parser=finite,
            set_cmd=f"{head}:RANG {{:.6g}}",
            vals=Numbers(8e-3, 40.0),
        )
        """Full scale, eight divisions."""
        self.offset: Parameter[float, ScopeChannel] = self.add_parameter(
            "offset",
            unit="V",
            get_cmd=f"{head}:OFFS?",
            get_parser=finite,
            set_cmd=f"{head}:OFFS {{:.6g}}",
            vals=Numbers(-40.0, 40.0),
        )
        """Volts in the middle of the range."""
        self.coupling: Parameter[str, ScopeChannel] = self.add_parameter(
            "coupling", get_cmd=f"{head}:COUP?", set_cmd=f"{head}:COUP {{}}", vals=Enum("AC", "DC")
        )
        """DC for a photodiode."""
        self.impedance: Parameter[str, ScopeChannel] = self.add_parameter(
            "impedance",
            get_cmd=f"{head}:IMP?",
            set_cmd=f"{head}:IMP {{}}",
            vals=Enum("ONEM", "FIFT"),
        )
        """ONEM or FIFT (50 ohm; at most 5 V)."""
        self.bandwidth_limit: Parameter[bool, ScopeChannel] = self.add_parameter(
            "bandwidth_limit",
            get_cmd=f"{head}:BWL?",
            get_parser=flag,
            set_cmd=f"{head}:BWL {{:d}}",
        )
        """About 20 MHz."""
        self.trace: ParameterWithSetpoints = self.add_parameter(
            "trace",
            parameter_class=ParameterWithSetpoints,
            unit="V",
            get_cmd=lambda: self.parent.read(number).volts,
            set_cmd=False,
            setpoints=(parent.time_axis,),
            vals=Arrays(shape=(parent.points.get_latest,)),
            snapshot_get=False,
            snapshot_value=False,
        )
        """The trace acquired last, over `time_axis` (prepare that with `read` once)."""
