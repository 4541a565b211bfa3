"""`cavitylab station verify`: what no manual states, tried on the units; a report of what was seen.

Questions come first, then settings that are put back, then what changes an
output; before each of the last the operator is asked. An instrument on which
something goes wrong is left alone from then on.
"""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .exits import ExitCode
from .station import operated, say_unsafe

if TYPE_CHECKING:
    from qcodes.instrument import VisaInstrument

    from ..instruments.station import Station
    from ..instruments.station_trials import Trial

Outcome = Literal["as expected", "NOT AS EXPECTED", "left out"]


@dataclass(frozen=True, slots=True)
class VerifyOrder:
    """What the operator asked for.

    Attributes:
        station, rehearse: Station file, and laboratory file or None for hardware.
        only: Instruments to try; empty for all.
        yes: Whether outputs may be changed without asking.
        report: Where the report goes; None for a name made of station and date.
    """

    station: str
    rehearse: str | None = None
    only: tuple[str, ...] = ()
    yes: bool = False
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one trial on one instrument has shown."""

    instrument: str
    title: str
    effect: str
    outcome: Outcome
    seen: str


def verify(order: VerifyOrder, *, as_json: bool) -> ExitCode:
    """Try everything, make safe, write the report."""
    from ..instruments.station import Station

    _check_writable(order)
    with operated(Station.open(order.station, rehearse=order.rehearse)) as station:
        chosen = _chosen(station, order.only)
        findings = _try_all(chosen, order, quiet=as_json)
        identities = {name: driver.get_idn() for name, driver in chosen.items()}
    results = station.make_safe()
    path = order.report or Path(f"verify-{station.name}-{datetime.now():%Y-%m-%d-%H%M%S}.md")
    path.write_text(_report(station, chosen, identities, findings), encoding="utf-8")
    bad = [one for one in findings if one.outcome == "NOT AS EXPECTED"]
    if as_json:
        document = {
            "station": order.station,
            "ok": not bad,
            "report": str(path),
            "findings": [asdict(one) for one in findings],
        }
        print(jsonlib.dumps(document))
    else:
        print(f"{len(findings)} trials, {len(bad)} not as expected; report: {path}")
    unsafe = say_unsafe(results)
    if unsafe is not ExitCode.DONE:
        return unsafe
    return ExitCode.FAILED if bad else ExitCode.DONE


def _check_writable(order: VerifyOrder) -> None:
    """Refuse before an hour of trials, not after."""
    from ..instruments.errors import StationFileError

    folder = (order.report or Path("report")).parent
    if not folder.is_dir():
        raise StationFileError(f"The report cannot be written: there is no folder {folder}")


def _chosen(station: Station, only: Sequence[str]) -> dict[str, VisaInstrument]:
    from ..instruments.errors import StationFileError
    from ..instruments.yaml_lines import suggestion

    for name in only:
        if name not in station.instruments:
            hint = suggestion(name, station.instruments)
            raise StationFileError(f"--only {name}: the station has no such instrument{hint}")
    return {n: one for n, one in station.instruments.items() if not only or n in only}


def _try_all(
    chosen: dict[str, VisaInstrument], order: VerifyOrder, *, quiet: bool
) -> list[Finding]:
    """The harmless trials of all instruments first."""
    from ..instruments.station_trials import trials_of

    pairs = [(name, trial) for name, one in chosen.items() for trial in trials_of(type(one))]
    findings: list[Finding] = []
    spoiled: dict[str, str] = {}
    for name, trial in sorted(pairs, key=lambda pair: pair[1].effect):
        finding = _try(name, chosen[name], trial, order, spoiled.get(name))
        if finding.outcome == "NOT AS EXPECTED":
            spoiled[name] = trial.title
        findings.append(finding)
        if not quiet:
            print(f"{name}: {trial.title}: {finding.outcome}: {finding.seen}", flush=True)
    return findings


def _try(
    name: str, driver: VisaInstrument, trial: Trial, order: VerifyOrder, spoiled: str | None
) -> Finding:
    from ..instruments.errors import CavityLabError
    from ..instruments.station_trials import Effect, TrialSkipped

    def found(outcome: Outcome, seen: str) -> Finding:
        return Finding(name, trial.title, trial.effect.words, outcome, " ".join(seen.split()))

    if trial.effect > Effect.ASKS and spoiled is not None:
        return found("left out", f"{spoiled!r} was not as expected: first find out why")
    if trial.effect is Effect.SWITCHES and not _agreed(name, trial, order.yes):
        return found("left out", "the operator did not agree")
    try:
        return found("as expected", trial.run(driver))
    except TrialSkipped as reason:
        return found("left out", str(reason))
    except (CavityLabError, ValueError) as error:
        return found("NOT AS EXPECTED", f"{type(error).__name__}: {error}")


def _agreed(name: str, trial: Trial, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    answer = input(f"{name}: {trial.title}: this {trial.effect.words}. Do it? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


# ---- the report -----------------------------------------------------------------------


def _report(
    station: Station,
    chosen: dict[str, VisaInstrument],
    identities: dict[str, dict[str, str | None]],
    findings: Sequence[Finding],
) -> str:
    from ..instruments.station_trials import untried_facts

    world = "a REHEARSAL: nothing is proven of the real units" if station.rehearsal else "hardware"
    lines = [
        f"# What no manual states: {station.file.path.name}",
        "",
        f"Taken {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z} on {world}. "
        f"Station file sha256 {station.hash}.",
    ]
    addresses = {entry.name: entry.address for entry in station.file.instruments}
    for name, driver in chosen.items():
        who = ", ".join(f"{key} {value}" for key, value in identities[name].items() if value)
        lines += ["", f"## {name} ({type(driver).__name__})", "", f"{who}; {addresses[name]}", ""]
        own = [one for one in findings if one.instrument == name]
        if own:
            lines += ["| trial | effect | outcome | seen |", "|---|---|---|---|"]
            lines += [
                f"| {one.title} | {one.effect} | {one.outcome} | {_cell(one.seen)} |" for one in own
            ]
        facts = untried_facts(type(driver))
        if facts:
            lines += ["", "Not tried by this command; look, and write down what you see:", ""]
            lines += [f"- [ ] {fact}" for fact in facts]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
