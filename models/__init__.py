"""The physics: pure functions of numbers and arrays, no input or output.

Rates are angular and in one common unit; spins are in units of hbar.
"""

from .counting import (
    counting_noise,
    log_poisson_kernel,
    poisson_kernel,
    scaled_poisson_kernel,
)
from .ellipse import (
    EllipseReadout,
    OutcomeDerivatives,
    SecondMoments,
    fisher_information,
    sample,
    second_moments,
)
from .metrology import gain_over_standard_quantum_limit, standard_quantum_limit
from .pulses import PulseAngles, detuned_pulse
from .spins import (
    coupled_amplitudes,
    ladder_elements,
    magnetic_numbers,
    wigner_d,
    wigner_d_derivative,
)
from .two_ensembles import (
    SteadyState,
    TwoEnsembles,
    log_weights_derivative,
    relaxation_time_bound,
    relaxation_time_estimate,
    steady_state,
)

__all__ = [
    "EllipseReadout",
    "OutcomeDerivatives",
    "PulseAngles",
    "SecondMoments",
    "SteadyState",
    "TwoEnsembles",
    "counting_noise",
    "coupled_amplitudes",
    "detuned_pulse",
    "fisher_information",
    "gain_over_standard_quantum_limit",
    "ladder_elements",
    "log_poisson_kernel",
    "log_weights_derivative",
    "magnetic_numbers",
    "poisson_kernel",
    "relaxation_time_bound",
    "relaxation_time_estimate",
    "sample",
    "scaled_poisson_kernel",
    "second_moments",
    "standard_quantum_limit",
    "steady_state",
    "wigner_d",
    "wigner_d_derivative",
]
