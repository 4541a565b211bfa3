"""A shutter in a beam: open or closed, closed when safe."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, ClassVar, cast

from qcodes.parameters import Parameter

from ..drivers.thorlabs_sc10 import ThorlabsSC10
from ..errors import InstrumentError, LimitError
from .base import Health, Role

__all__ = ["Shutter"]


class Shutter(Role):
    """Light on or off within milliseconds, and off for certain.

    Station file: `source` (the shutter's controller).
    """

    safe_order: ClassVar[int] = 30
    sources = MappingProxyType({"ThorlabsSC10": ()})

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._controller = cast(ThorlabsSC10, self.source)
        self.is_open: Parameter = self.add_parameter(
            "is_open",
            label="shutter open",
            get_cmd=lambda: not self._controller.closed.get(),
            set_cmd=self._set_open,
            snapshot_get=False,
        )
        """Whether the beam passes, as the blade's sensor says; set: by hand, and waited for"""

    def _set_open(self, wanted: bool | int | float) -> None:
        if wanted not in (0, 1):
            raise LimitError(f"{self.name}: a shutter is open (1) or closed (0), not {wanted!r}")
        if not wanted:
            self._controller.close_shutter()
            return
        if self._controller.interlock_tripped.get():
            raise InstrumentError(
                f"{self.name}: the interlock holds the shutter closed. Close the interlock first."
            )
        self._controller.open_shutter()

    def _make_safe(self) -> str:
        self._controller.close_shutter()
        return "shutter closed"

    def _examine(self) -> Health:
        state = "closed" if self._controller.closed.get() else "open"
        if self._controller.interlock_tripped.get():
            return Health(False, f"{state}; the interlock is tripped")
        return Health(True, state)
