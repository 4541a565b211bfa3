"""From records to numbers with honest error bars, offline and online."""

from .bounds import Bounds, ellipse_bounds
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_phase import EllipsePhase, EstimatorRangeError
from .ellipse_starts import EllipseFit, fit_conic, fit_geometric
from .estimate import Estimate, GoodnessOfFit, Quantity
from .records import RecordError
from .squeezing_beliefs import SqueezingBeliefs
from .squeezing_bounds import squeezing_bounds, tomography_bounds
from .squeezing_certificate import SqueezingCertificate
from .squeezing_parameter import WinelandFromShots
from .squeezing_tomography import SqueezingTomography
from .squeezing_two_mode import TwoModeSqueezing

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
    "SqueezingBeliefs",
    "SqueezingCertificate",
    "SqueezingTomography",
    "TwoModeSqueezing",
    "WinelandFromShots",
    "ellipse_bounds",
    "fit_conic",
    "fit_geometric",
    "squeezing_bounds",
    "tomography_bounds",
]
