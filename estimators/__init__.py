"""From records to numbers with honest error bars, offline and online."""

from .bounds import Bounds, ellipse_bounds
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_phase import EllipsePhase, EstimatorRangeError
from .ellipse_starts import EllipseFit, fit_conic, fit_geometric
from .estimate import Estimate, GoodnessOfFit, Quantity
from .records import RecordError

__all__ = [
    "Bounds",
    "EllipseBeliefs",
    "EllipseFit",
    "EllipsePhase",
    "Estimate",
    "EstimatorRangeError",
    "GoodnessOfFit",
    "Quantity",
    "RecordError",
    "ellipse_bounds",
    "fit_conic",
    "fit_geometric",
]
