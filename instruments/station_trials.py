"""What no manual states, tried on the real units: one trial for each such fact that can be tried.

A driver lists in its module's `UNVERIFIED` the facts that no source at hand
states. Here they meet the unit: first questions, then settings that are put
back, then what changes an output. A fact without a trial is left to the
operator's eyes, and is listed as such.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from .errors import InstrumentError, LinkError

__all__ = ["Effect", "Trial", "TrialSkipped", "trials_of", "untried_facts", "unverified_facts"]


class Effect(IntEnum):
    """What a trial does to the unit, the harmless first."""

    ASKS = 0
    SETS = 1
    """Changes a setting of an idle unit and puts it back."""
    SWITCHES = 2
    """Changes an output: the operator must agree."""

    @property
    def words(self) -> str:
        """For the report."""
        return ("only asks", "changes a setting and puts it back", "changes an output")[self]


class TrialSkipped(Exception):
    """The unit is in no state for this trial; the message says why."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt.

    Attributes:
        title: What is tried, in words.
        effect: What it does to the unit.
        facts: Words that appear in the facts it bears on.
        run: Given the driver, tries, and says what was seen. Raises
            `CavityLabError` or `ValueError` where the unit does not behave as
            the driver expects, `TrialSkipped` where it cannot be tried now.
    """

    title: str
    effect: Effect
    facts: tuple[str, ...]
    run: Callable[[Any], str]


def unverified_facts(driver: type[Any]) -> tuple[str, ...]:
    """The facts that the driver's module lists; none for drivers of others."""
    return tuple(getattr(importlib.import_module(driver.__module__), "UNVERIFIED", ()))


def trials_of(driver: type[Any]) -> list[Trial]:
    """Trials for a driver's instrument, the harmless first."""
    own = [*_TRIALS.get(driver.__name__, ()), *(_FOR_ALL if unverified_facts(driver) else ())]
    return sorted(own, key=lambda trial: trial.effect)


def untried_facts(driver: type[Any]) -> list[str]:
    """Facts on which no trial bears: the operator has to look."""
    tried = [word for trial in trials_of(driver) for word in trial.facts]
    return [fact for fact in unverified_facts(driver) if not any(word in fact for word in tried)]


# ---- what the trials have in common ---------------------------------------------------

ROUND_TRIPS = 20


def _round_trips(driver: Any) -> str:
    """Twenty questions in a row must have twenty equal answers."""
    first = driver.get_idn()
    times = []
    for _ in range(ROUND_TRIPS):
        began = time.perf_counter()
        answer = driver.get_idn()
        times.append(time.perf_counter() - began)
        if answer != first:
            raise InstrumentError(f"the identity was {first}, then {answer}")
    times.sort()
    return (
        f"{ROUND_TRIPS} identifications, all equal; median {1e3 * times[len(times) // 2]:.1f} ms, "
        f"longest {1e3 * times[-1]:.1f} ms"
    )


def _asked(question: str) -> Callable[[Any], str]:
    """A trial that asks and shows the answer."""

    def ask(driver: Any) -> str:
        answer = str(driver.ask(question)).strip()
        if not answer:
            raise InstrumentError(f"{question} has an empty answer")
        return f"{question} answers {answer!r}"

    return ask


def _refused(question: str) -> Callable[[Any], str]:
    """A trial that sends what no unit knows: the driver must notice the refusal."""

    def ask(driver: Any) -> str:
        try:
            answer = driver.ask(question)
        except InstrumentError as error:
            return f"refused as expected: {error}"
        except LinkError as error:
            raise InstrumentError(f"{question!r} was met with silence: {error}") from error
        raise InstrumentError(f"{question!r} was answered with {answer!r} instead of a refusal")

    return ask


@contextmanager
def _put_back(parameter: Any) -> Iterator[Any]:
    """The present value; set again afterwards, whatever happens."""
    before = parameter.get()
    try:
        yield before
    finally:
        parameter.set(before)


# ---- each instrument's own --------------------------------------------------------------


def _xrf_settings(driver: Any) -> str:
    found = [
        f"{channel.short_name}: MODE {channel.mode.get()}, LIMIT {channel.limit.get():g} dBm"
        for channel in (driver.ch1, driver.ch2)
    ]
    return "; ".join(found)


def _xrf_table_status(driver: Any) -> str:
    return "; ".join(f"TABLE,STATUS,{c.number}: {c.table_status()!r}" for c in _channels(driver))


def _xrf_rearm(driver: Any) -> str:
    for channel in _channels(driver):
        if channel.status().signal:
            raise TrialSkipped(f"{channel.short_name} has a signal: make the station safe first")
        channel.rearm(True)
        channel.rearm(False)
    return "TABLE,REARM ON and OFF are taken on both channels"


def _channels(driver: Any) -> tuple[Any, ...]:
    return driver.ch1, driver.ch2


def _dg645_long_period(driver: Any) -> str:
    if driver.busy():
        raise TrialSkipped("a burst is running")
    with _put_back(driver.burst_period) as before:
        driver.burst_period.set(100.0)
        found = float(driver.burst_period.get())
    if abs(found - 100.0) > 1e-6:
        raise InstrumentError(f"a period of 100 s was set, {found:g} s are read back")
    return f"a burst period of 100 s is taken (and {before:g} s put back)"


def _sc10_switch(driver: Any) -> str:
    if driver.enabled.get():
        raise TrialSkipped("the shutter is enabled: it may be open for somebody")
    try:
        driver.enabled.set(True)
        opened = not driver.closed.get()
    finally:
        driver.close_shutter()
    return f"`ens` enabled ({'open' if opened else 'still closed'}) and disabled the shutter"


def _dlc_uptime(driver: Any) -> str:
    first = driver.param_ref("uptime", float)
    began = driver.clock.now()
    driver.clock.wait(2.0)
    passed = driver.param_ref("uptime", float) - first
    elapsed = driver.clock.now() - began
    if abs(passed - elapsed) > 1.5:
        raise InstrumentError(f"`uptime` grew by {passed:g} within {elapsed:.2f} s")
    return f"`uptime` grew by {passed:g} within {elapsed:.2f} s"


def _dlc_pair(code: str, text: str) -> Callable[[Any], str]:
    def ask(driver: Any) -> str:
        found = driver.parameter_text(code), driver.parameter_text(text)
        return f"{code} = {found[0]} beside {text} = {found[1]}"

    return ask


def _kepco_limit(driver: Any) -> str:
    return f"CURR:LIM:POS? answers {driver.current_limit.get():g} A"


def _scope_condition(driver: Any) -> str:
    return f":OPER:COND? answers {driver.ask(':OPER:COND?').strip()}, busy: {driver.busy()}"


A, S, W = Effect.ASKS, Effect.SETS, Effect.SWITCHES

_FOR_ALL = (
    Trial(
        "Answer times, and whether answers stay in step",
        A,
        ("Answer time", "Execution time", "25 ms between commands"),
        _round_trips,
    ),
)

_TRIALS: Mapping[str, tuple[Trial, ...]] = MappingProxyType(
    {
        "MOGLabsXRF": (
            Trial("Form of INFO", A, ("Form of INFO",), _asked("INFO")),
            Trial("Form of VERSION", A, ("Form of INFO",), _asked("VERSION")),
            Trial("Answers to MODE,ch and LIMIT,ch", A, ("MODE,ch and LIMIT,ch",), _xrf_settings),
            Trial("Wording of TABLE,STATUS", A, ("TABLE,STATUS",), _xrf_table_status),
            Trial("Switch of TABLE,REARM", S, ("TABLE,REARM",), _xrf_rearm),
        ),
        "SRSDG645": (
            Trial("Burst period above 42.9 s", S, ("Burst periods",), _dg645_long_period),
        ),
        "KepcoBOP": (
            Trial("Reading the software limit", A, ("CURR:LIM:POS?",), _kepco_limit),
            Trial("Code of the current range", A, ("CURR:RANG",), _asked("CURR:RANG?")),
            Trial("Mode of the output when off", A, ("OUTP:MODE",), _asked("OUTP:MODE?")),
        ),
        "TopticaDLCpro": (
            Trial("Values of dl:lock:state", A, ("dl:lock:state",),
                  _dlc_pair("laser1:dl:lock:state", "laser1:dl:lock:state-txt")),
            Trial("Code of health", A, ("`health`",),
                  _dlc_pair("laser1:health", "laser1:health-txt")),
            Trial("Uptime in seconds", A, ("`uptime`",), _dlc_uptime),
        ),
        "ThorlabsSC10": (
            Trial("Prompt and form of id?", A, ("prompt is", "`id?`"), _asked("id?")),
            Trial("Wording of a refusal", A, ("Wording of the errors",), _refused("nonsense?")),
            Trial("Whether `ens` toggles", W, ("`ens` toggles",), _sc10_switch),
        ),
        "DeltaSM15K": (
            Trial("Words of PROG:SEL:STA?", A, ("PROG:SEL:STA?",), _asked("PROG:SEL:STA?")),
            Trial("Words of SYST:REM:CC?", A, ("SYST:REM:CC?",), _asked("SYST:REM:CC?")),
        ),
        "Keysight33600A": (
            Trial("Free waveform memory of channel 1", A, ("DATA:VOL:FREE?",),
                  _asked("SOUR1:DATA:VOL:FREE?")),
        ),
        "KeysightInfiniiVision": (
            Trial("Run bit of :OPER:COND?", A, (":OPER:COND?",), _scope_condition),
        ),
    }
)  # fmt: skip
