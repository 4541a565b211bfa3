"""Calibrations of the shipped stations; a lab keeps its own beside its own station file."""
