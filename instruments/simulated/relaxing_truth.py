"""Hidden truth of two small ensembles on their way to the dark state: what `relaxing_pair` adds."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .draws import keyed_generator
from .truth import Offset, Quantity, TwoEnsembleTruth, TwoEnsembleTruthEntry, draw_truth


class RelaxingTruthEntry(TwoEnsembleTruthEntry):
    """Section `apparatus: truth:` of a laboratory file of the kind `relaxing_pair`.

    Attributes:
        full_exchange: Exchange chi/2pi, signed, with the coupling's light at its full decay, Hz.
            It comes from the same cavity as the decay, and falls with the light as that does.
    """

    full_exchange: Offset = Quantity(nominal=0.0)


@dataclass(frozen=True, slots=True)
class RelaxingTruth(TwoEnsembleTruth):
    """The drawn truth of two relaxing ensembles, ordinary frequencies in Hz.

    Attributes:
        full_exchange: chi/2pi with the coupling's light at full strength.
    """

    full_exchange: float = 0.0

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
    rng = keyed_generator(seed, "truth.RelaxingTruthEntry.full_exchange")
    return RelaxingTruth(
        **{one.name: getattr(common, one.name) for one in fields(common)},
        full_exchange=entry.full_exchange.draw(rng),
    )
