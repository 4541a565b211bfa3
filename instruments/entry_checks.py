"""Checks of single entries of a station file: addresses, arguments of drivers, sources of roles."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pyvisa.rname import InvalidResourceName, ResourceName

from .roles.base import Role
from .yaml_lines import suggestion

__all__ = [
    "WORDS",
    "address_problem",
    "driver_options",
    "fits",
    "source_problems",
    "wanted_problems",
]

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "float": "a positive number",
        "int": "a whole number",
        "bool": "true or false",
        "str": "text",
        "": "a single value",
    }
)


def driver_options(kind: type[Any]) -> dict[str, str]:
    """Keys that a driver's `init:` may have, its own named arguments, with their types."""
    hidden = (
        "self",
        "name",
        "address",
        "journal",
        "visalib",
        "terminator",
        "device_clear",
        "timeout",
    )
    own = {}
    for name, argument in inspect.signature(kind.__init__).parameters.items():
        named = argument.kind in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY)
        if named and name not in hidden:
            stated = str(argument.annotation).removesuffix(" | None")
            own[name] = stated if stated in WORDS else ""
    return {**own, "timeout": "float"}


def fits(value: Any, kind: str) -> bool:
    """Whether a value of the file suits an argument; numbers of drivers are limits and times."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "float":
        return number and 0 < value < float("inf")
    if kind == "":
        return not isinstance(value, dict | list)
    return isinstance(value, {"int": int, "bool": bool, "str": str}[kind]) and (
        kind == "bool" or not isinstance(value, bool)
    )


def address_problem(address: str) -> str | None:
    """Why `address` is no VISA address, or None."""
    example = "TCPIP0::192.168.10.21::5025::SOCKET"
    try:
        resource = ResourceName.from_string(address)
    except (InvalidResourceName, ValueError):
        return f"`{address}` is not a VISA address such as {example}"
    host = getattr(resource, "host_address", None)
    if host is not None and re.fullmatch(r"[\d.]+", host):
        parts = host.split(".")
        if len(parts) != 4 or not all(part.isdigit() and int(part) <= 255 for part in parts):
            return f"`{address}`: {host} is not an IP address (four numbers from 0 to 255)"
    port = getattr(resource, "port", None)
    if port is not None and not (port.isdigit() and 1 <= int(port) <= 65535):
        return f"`{address}`: the port must be a number from 1 to 65535, but is {port}"
    return None


def source_problems(kind: type[Role], driver: type[Any] | None, channel: str) -> Iterator[str]:
    """Why a driver's channel does not fit a role; drivers of others are taken on trust."""
    if driver is None or not kind.sources:
        return
    fitting = kind.sources.get(driver.__name__)
    if fitting is None:
        if driver.__module__.startswith(Role.__module__.rsplit(".", 2)[0] + ".drivers."):
            wanted = " or ".join(kind.sources)
            yield f"{kind.__name__} needs a {wanted}, but this is a {driver.__name__}"
    elif fitting and channel not in fitting:
        shown = f"`{channel}`" if channel else "missing"
        yield f"the channel of {driver.__name__} is {shown}{suggestion(channel, fitting)}"
    elif not fitting and channel:
        yield f"{driver.__name__} is used as a whole: drop `.{channel}`"


def wanted_problems(
    wanted: Any, bounds: Mapping[str, tuple[float, float]] | None
) -> Iterator[tuple[str, str]]:
    """Key and complaint for each value under `wanted:` that the role could not be set to.

    Args:
        wanted: What the file says; None if it says nothing.
        bounds: Limits of the role's parameters; None where they are not known
            because of mistakes elsewhere.
    """
    if wanted is None:
        return
    if not isinstance(wanted, dict):
        yield "", f"`wanted` must be a mapping of parameters to values, but is {wanted!r}"
        return
    for key, value in wanted.items():
        if bounds is not None and key not in bounds:
            what = suggestion(key, bounds) if bounds else " (this role has none to set)"
            yield str(key), f"unknown parameter `{key}` under `wanted`{what}"
        elif isinstance(value, bool) or not isinstance(value, int | float):
            yield str(key), f"`wanted.{key}` must be a number, but is {value!r}"
        elif bounds is not None and not bounds[key][0] <= value <= bounds[key][1]:
            low, high = bounds[key]
            yield (
                str(key),
                f"`wanted.{key}` of {value:g} lies outside [{low:.6g}, {high:.6g}], "
                "which calibration and limits of this file allow",
            )
