"""From records to numbers with honest error bars, offline and online."""

from .adaptive_phase import AdaptivePhase
from .adaptive_pumping import AdaptivePumping
from .binomial_beliefs import CommonPhase, EllipseAtoms
from .binomial_bounds import ellipse_atoms_bounds
from .bounds import Bounds, ellipse_bounds
from .calibrations_aom import AomCalibration, aom_bounds
from .calibrations_counting import CountingBeliefs
from .calibrations_decay import DecayBeliefs, DecayCalibration, decay_bounds
from .calibrations_detector import (
    DeadTimeCalibration,
    DetectorCalibration,
    dead_time_bounds,
    detector_bounds,
)
from .calibrations_gate import GateDecision, GateRules, Limits, gate
from .calibrations_populations import (
    DetuningBeliefs,
    DriveBeliefs,
    DriveCalibration,
    GainCalibration,
    SpectroscopyCalibration,
    population_bounds,
)
from .calibrations_rabi import RabiBeliefs, RabiCalibration, rabi_bounds
from .calibrations_ramsey import DetuningCalibration, RamseyBeliefs, detuning_bounds
from .calibrations_settling import SettlingCalibration, settling_bounds
from .combined_phase import CombinedPhase, CombinedPhaseBeliefs, combined_phase_bounds
from .drift import DriftFilter, Step, drift_bounds, find_step
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_choice import EstimatorRangeError
from .ellipse_joint import EllipseContrasts, JointEllipses
from .ellipse_phase import EllipsePhase
from .ellipse_schedule import EllipseSchedule
from .ellipse_starts import EllipseFit, fit_conic, fit_geometric
from .estimate import Estimate, GoodnessOfFit, Quantity
from .gradient_curvature import GradientCurvature, gradient_curvature_bounds
from .gradient_curvature_model import FourEnsembleBeliefs
from .grid_posterior import Axis, GridPosterior, OutcomeTable
from .particles import ParticlePosterior
from .phase_table import PhaseTable, coherent_table, state_table
from .pumping_beliefs import Calibrated, HoldBeliefs, SnapshotBeliefs, SweepBeliefs
from .pumping_bounds import (
    PumpingBounds,
    hold_bounds,
    ramp_bounds,
    snapshot_bounds,
    sweep_bounds,
    sweep_mean_bounds,
)
from .pumping_chain import ChainValues
from .pumping_hold import PumpingHold
from .pumping_ramps import PumpingRamps
from .pumping_ramps_model import RampBeliefs, Stairs
from .pumping_sampling import draw_ramps, draw_snapshots, draw_sweeps
from .pumping_snapshots import PumpingSnapshots
from .pumping_sweeps import PumpingSweeps
from .records import RecordError
from .relaxation_beliefs import RelaxationBeliefs
from .relaxation_bounds import RelaxationBounds, relaxation_bounds
from .relaxation_clouds import CloudBeliefs
from .relaxation_cumulants import RelaxationCumulants
from .relaxation_cumulants_bounds import relaxation_cumulants_bounds
from .relaxation_light import LightBeliefs, RelaxationLight
from .relaxation_sampling import (
    draw_relaxation,
    draw_relaxation_clouds,
    draw_relaxation_light,
)
from .relaxation_trace import RelaxationTrace
from .schedule_beliefs import BiasSetting, ScheduleBeliefs
from .schedule_bounds import ScheduleBounds, preparation_gain, schedule_bounds
from .squeezing_beliefs import SqueezingBeliefs
from .squeezing_bounds import squeezing_bounds, tomography_bounds
from .squeezing_certificate import SqueezingCertificate
from .squeezing_matrix import SqueezingMatrix, SqueezingMatrixBeliefs, squeezing_matrix_bounds
from .squeezing_parameter import WinelandFromShots
from .squeezing_tomography import SqueezingTomography
from .squeezing_two_mode import TwoModeSqueezing
from .stopping import PrecisionStop, StoppingCheck, check_stopping
from .string_order import StringOrder
from .two_parameters import TwoParameterBeliefs, TwoParameters, two_parameters_bounds

__all__ = [
    "DecayBeliefs",
    "DecayCalibration",
    "decay_bounds",
    "AdaptivePhase",
    "AdaptivePumping",
    "AomCalibration",
    "Axis",
    "BiasSetting",
    "Bounds",
    "Calibrated",
    "ChainValues",
    "CloudBeliefs",
    "CombinedPhase",
    "CombinedPhaseBeliefs",
    "CommonPhase",
    "DeadTimeCalibration",
    "DetectorCalibration",
    "DetuningCalibration",
    "DriftFilter",
    "EllipseAtoms",
    "EllipseBeliefs",
    "EllipseContrasts",
    "EllipseFit",
    "EllipsePhase",
    "EllipseSchedule",
    "Estimate",
    "EstimatorRangeError",
    "FourEnsembleBeliefs",
    "GateDecision",
    "GateRules",
    "GoodnessOfFit",
    "GradientCurvature",
    "GridPosterior",
    "HoldBeliefs",
    "JointEllipses",
    "Limits",
    "OutcomeTable",
    "ParticlePosterior",
    "PhaseTable",
    "PrecisionStop",
    "PumpingBounds",
    "PumpingHold",
    "PumpingRamps",
    "PumpingSnapshots",
    "PumpingSweeps",
    "Quantity",
    "RabiBeliefs",
    "RabiCalibration",
    "RampBeliefs",
    "RamseyBeliefs",
    "RecordError",
    "RelaxationBeliefs",
    "LightBeliefs",
    "RelaxationBounds",
    "RelaxationCumulants",
    "RelaxationLight",
    "RelaxationTrace",
    "ScheduleBeliefs",
    "ScheduleBounds",
    "SettlingCalibration",
    "SnapshotBeliefs",
    "SqueezingBeliefs",
    "SqueezingCertificate",
    "SqueezingMatrix",
    "SqueezingMatrixBeliefs",
    "SqueezingTomography",
    "Stairs",
    "Step",
    "StoppingCheck",
    "StringOrder",
    "SweepBeliefs",
    "TwoModeSqueezing",
    "TwoParameterBeliefs",
    "TwoParameters",
    "WinelandFromShots",
    "aom_bounds",
    "check_stopping",
    "coherent_table",
    "combined_phase_bounds",
    "dead_time_bounds",
    "detector_bounds",
    "detuning_bounds",
    "draw_ramps",
    "draw_relaxation",
    "draw_relaxation_clouds",
    "draw_relaxation_light",
    "draw_snapshots",
    "draw_sweeps",
    "drift_bounds",
    "ellipse_atoms_bounds",
    "ellipse_bounds",
    "find_step",
    "fit_conic",
    "fit_geometric",
    "gate",
    "gradient_curvature_bounds",
    "hold_bounds",
    "preparation_gain",
    "rabi_bounds",
    "ramp_bounds",
    "relaxation_bounds",
    "relaxation_cumulants_bounds",
    "schedule_bounds",
    "settling_bounds",
    "snapshot_bounds",
    "squeezing_bounds",
    "squeezing_matrix_bounds",
    "state_table",
    "sweep_bounds",
    "sweep_mean_bounds",
    "tomography_bounds",
    "two_parameters_bounds",
    "CountingBeliefs",
    "DetuningBeliefs",
    "DriveBeliefs",
    "DriveCalibration",
    "GainCalibration",
    "SpectroscopyCalibration",
    "population_bounds",
]
