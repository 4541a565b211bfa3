"""From records to numbers with honest error bars, offline and online."""

from .adaptive_phase import AdaptivePhase
from .adaptive_pumping import AdaptivePumping
from .bounds import Bounds, ellipse_bounds
from .drift import DriftFilter, Step, drift_bounds, find_step
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_phase import EllipsePhase, EstimatorRangeError
from .ellipse_starts import EllipseFit, fit_conic, fit_geometric
from .estimate import Estimate, GoodnessOfFit, Quantity
from .grid_posterior import Axis, GridPosterior, OutcomeTable
from .particles import ParticlePosterior
from .phase_table import PhaseTable, coherent_table, state_table
from .records import RecordError
from .squeezing_beliefs import SqueezingBeliefs
from .squeezing_bounds import squeezing_bounds, tomography_bounds
from .squeezing_certificate import SqueezingCertificate
from .squeezing_parameter import WinelandFromShots
from .squeezing_tomography import SqueezingTomography
from .squeezing_two_mode import TwoModeSqueezing
from .stopping import PrecisionStop, StoppingCheck, check_stopping

__all__ = [
    "AdaptivePhase",
    "AdaptivePumping",
    "Axis",
    "Bounds",
    "DriftFilter",
    "EllipseBeliefs",
    "EllipseFit",
    "EllipsePhase",
    "Estimate",
    "EstimatorRangeError",
    "GoodnessOfFit",
    "GridPosterior",
    "OutcomeTable",
    "ParticlePosterior",
    "PhaseTable",
    "PrecisionStop",
    "Quantity",
    "RecordError",
    "SqueezingBeliefs",
    "SqueezingCertificate",
    "SqueezingTomography",
    "Step",
    "StoppingCheck",
    "TwoModeSqueezing",
    "WinelandFromShots",
    "check_stopping",
    "coherent_table",
    "drift_bounds",
    "ellipse_bounds",
    "find_step",
    "fit_conic",
    "fit_geometric",
    "squeezing_bounds",
    "state_table",
    "tomography_bounds",
]
