"""Hidden truth of two small ensembles on their way to the dark state: what `relaxing_pair` adds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import BeforeValidator

from .draws import keyed_generator
from .truth import (
    DarkRate,
    Duration,
    FilePart,
    Offset,
    Quantity,
    TwoEnsembleTruth,
    TwoEnsembleTruthEntry,
    draw_truth,
)


def _share(given: Any) -> Any:
    """A number, or what is written out in full; its values above 0 and at most 1."""
    quantity = Quantity.model_validate({"nominal": given} if _is_number(given) else given)
    highest = quantity.least if quantity.uniform is None else quantity.uniform[1]
    if quantity.unit is not None or not 0.0 < quantity.least or highest > 1.0:
        raise ValueError("must be a share above 0 and at most 1, without a unit")
    return quantity


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


Efficiency = Annotated[Quantity, BeforeValidator(_share)]


class OutputEntry(FilePart):
    """The counter of the light that leaves the cavity; its pulses share the counter's input.

    Attributes:
        efficiency: Counts of each photon that leaves the cavity, above 0 and at most 1.
        background_rate: Counts per second without any, while the gate is open and no ensemble is
            lit.
        dead_time: Seconds for which it misses everything behind each count.
    """

    efficiency: Efficiency
    background_rate: DarkRate = Quantity(nominal=0.0)
    dead_time: Duration = Quantity(nominal=0.0)


class RelaxingTruthEntry(TwoEnsembleTruthEntry):
    """Section `apparatus: truth:` of a laboratory file of the kind `relaxing_pair`.

    Attributes:
        full_exchange: Exchange chi/2pi, signed, with the coupling's light at its full decay, Hz.
            It comes from the same cavity as the decay, and falls with the light as that does.
        single_atom_decay: Rate gamma at which every atom falls by itself from the first light of
            the drive to the last, 1/s; the cooperativity is the collective decay over it.
        cavity_output: The counter of the cavity's output; without it no gate may open while light
            acts on the atoms.
    """

    full_exchange: Offset = Quantity(nominal=0.0)
    single_atom_decay: DarkRate = Quantity(nominal=0.0)
    cavity_output: OutputEntry | None = None


@dataclass(frozen=True, slots=True)
class OutputTruth:
    """The counter of the cavity's output: counts per photon, counts per second, seconds."""

    efficiency: float
    background_rate: float
    dead_time: float


@dataclass(frozen=True, slots=True)
class RelaxingTruth(TwoEnsembleTruth):
    """The drawn truth of two relaxing ensembles, ordinary frequencies in Hz.

    Attributes:
        full_exchange: chi/2pi with the coupling's light at full strength.
        single_atom_decay: gamma, 1/s.
        cavity_output: Of the light that leaves the cavity; None where nothing counts it.
    """

    full_exchange: float = 0.0
    single_atom_decay: float = 0.0
    cavity_output: OutputTruth | None = None

    @property
    def exchange_ratio(self) -> float:
        """chi/Gamma."""
        return self.full_exchange / self.coupling.full_strength


def draw_relaxing_truth(entry: RelaxingTruthEntry, seed: int) -> RelaxingTruth:
    """The truth of one seed: every spread quantity of the file drawn once."""
    shared = TwoEnsembleTruthEntry.model_construct(
        **{name: getattr(entry, name) for name in TwoEnsembleTruthEntry.model_fields}
    )
    common = draw_truth(shared, seed)

    def of(part: FilePart, name: str) -> float:
        quantity: Quantity = getattr(part, name)
        return quantity.draw(keyed_generator(seed, f"truth.{type(part).__name__}.{name}"))

    output = None
    if entry.cavity_output is not None:
        found = [of(entry.cavity_output, one.name) for one in fields(OutputTruth)]
        output = OutputTruth(min(found[0], 1.0), *found[1:])
    return RelaxingTruth(
        **{one.name: getattr(common, one.name) for one in fields(common)},
        full_exchange=of(entry, "full_exchange"),
        single_atom_decay=of(entry, "single_atom_decay"),
        cavity_output=output,
    )
