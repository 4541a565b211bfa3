"""Drivers: plain QCoDeS instruments in SI units, each usable without the rest of the package."""
