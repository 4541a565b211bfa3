"""The VISA library ``@cavitylab``: pyvisa finds it by the name of this module."""

from cavitylab.instruments.simulated.visa import CavityLabVisaLibrary as WRAPPER_CLASS

__all__ = ["WRAPPER_CLASS"]
