"""A shot in which the coil's current steps, and a weak pulse asks how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..instruments.timeline import Tone
from .sequence import PulseSequence


@dataclass(frozen=True, slots=True)
class SteppedSequence(PulseSequence):
    """One shot of unprepared atoms while the coil's supply plays a list of currents.

    Args:
        gradient: Detuning differences (amplitude: Hz), each as long, the first from T0 on.
    """

    gradient: tuple[Tone, ...] = ()

    @property
    def tones(self) -> Mapping[str, tuple[Tone, ...]]:
        """Tones of each role that plays some; the coil's list is started last."""
        return MappingProxyType(
            {"drive": self.drive, "coupling": self.coupling, "gradient": self.gradient}
        )
