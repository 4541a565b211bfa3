"""`cavitylab station calibrations`: what a station believes of itself, and its update by a run.

Neither opens an instrument. A calibration file is written only where the gate lets it pass.
"""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .exits import ExitCode, say_error

if TYPE_CHECKING:
    from ..instruments.calibration import Calibration
    from ..protocols.calibration_proposal import Proposal


def calibrations(station: str, *, as_json: bool) -> ExitCode:
    """One entry for each role that has a calibration."""
    from ..instruments.calibration_versions import versions_of
    from ..instruments.shipped import find_file
    from ..instruments.station_file import load_station_file

    file = load_station_file(find_file(station, ".yaml"))
    rows = []
    for entry in file.roles:
        one = file.calibrations.get(entry.name)
        if one is not None:
            path = str(entry.init["calibration"])
            versions = len(versions_of(file.path.parent / path))
            rows.append(_row(entry.name, path, one) | {"older_versions": versions})
    if as_json:
        print(jsonlib.dumps({"station": station, "calibrations": rows}))
        return ExitCode.DONE
    for row in rows:
        values = ", ".join(
            f"{name} = {value['value']:.6g} +- {value['std']:.2g}"
            for name, value in row["parameters"].items()
        )
        older = f", {row['older_versions']} older" if row["older_versions"] else ""
        print(f"{row['role']}: {row['file']} ({row['kind']}, {row['date']}{older}): {values}")
    return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class Update:
    """What an update was asked for.

    Attributes:
        station: Station file.
        run: Folder of a calibration's run.
        largest_change: Relative change of a scale that the gate lets pass.
        from_rehearsal: Whether a rehearsal's numbers may be written.
        dry_run: Judge, but write nothing.
    """

    station: str
    run: Path
    largest_change: float = 0.1
    from_rehearsal: bool = False
    dry_run: bool = False


def update(order: Update, *, as_json: bool) -> ExitCode:
    """Fit the run again, ask the gate, and write the new version of the file."""
    from ..instruments.errors import CavityLabError
    from ..instruments.shipped import find_file
    from ..instruments.station_file import load_station_file

    file = load_station_file(find_file(order.station, ".yaml"))
    try:
        proposal, note, reasons = _proposed(order, file.calibrations)
    except ValueError as error:
        say_error(str(error))
        return ExitCode.USAGE
    (stated,) = [e.init["calibration"] for e in file.roles if e.name == proposal.role]
    path, kept = file.path.parent / str(stated), None
    if not reasons and not order.dry_run:
        try:
            kept = proposal.write(path, note)
        except CavityLabError as error:
            reasons = [str(error)]
    document = {
        "role": proposal.role,
        "file": str(path),
        "accepted": not reasons,
        "written": kept is not None,
        "reasons": reasons,
        "p_value": proposal.p_value,
        "old": _row(proposal.role, str(path), proposal.old),
        "new": None if proposal.new is None else _row(proposal.role, str(path), proposal.new),
        "kept": None if kept is None else str(kept),
    }
    if as_json:
        print(jsonlib.dumps(document))
    else:
        _tell(document)
    return ExitCode.FAILED if reasons else ExitCode.DONE


def _proposed(order: Update, known: Any) -> tuple[Proposal, str, list[str]]:
    """What the run proposes, where it comes from, and every reason against writing it."""
    from ..protocols import protocol_by_name
    from ..protocols.calibration import PulseCalibration
    from ..protocols.engine.result import stored_estimator, stored_records
    from ..protocols.recording import Run

    run = Run.open(order.run)
    facts = run.provenance
    protocol = protocol_by_name(str(facts["protocol"]))(**facts["parameters"])
    if not isinstance(protocol, PulseCalibration):
        raise ValueError(f"{order.run} is a run of {protocol.name}, which calibrates nothing")
    if protocol.calibrates not in known:
        raise ValueError(
            f"{order.station} has no calibration of the role {protocol.calibrates}, which "
            f"{protocol.name} is for"
        )
    estimator = stored_estimator(run)
    estimator.update(stored_records(run))
    proposal = protocol.proposal(estimator.estimate(), known, order.largest_change)
    reasons = list(proposal.decision.reasons)
    taken_with = str(facts["calibrations"][proposal.role]["sha256"])
    if taken_with != proposal.old.hash:
        reasons.append(
            f"the run was taken with another version of the calibration ({taken_with[:12]}) than "
            f"the file in use ({proposal.old.hash[:12]}): take a new run"
        )
    if facts["rehearsal"] and not order.from_rehearsal:
        reasons.append(
            "the run was a rehearsal, its numbers are those of a simulated laboratory; "
            "--from-rehearsal writes them all the same"
        )
    p_value = "none" if proposal.p_value is None else f"{proposal.p_value:.2g}"
    note = (
        f"{protocol.name}, run {run.path.name if run.path.is_dir() else run.path}, p-value "
        f"{p_value}; before: {proposal.old.hash[:12]} of {proposal.old.date.isoformat()}"
    )
    return proposal, note, reasons


def _tell(document: dict[str, Any]) -> None:
    for name, before in document["old"]["parameters"].items():
        line = f"{document['role']}: {name} = {before['value']:.6g} +- {before['std']:.2g}"
        if document["new"] is not None:
            after = document["new"]["parameters"][name]
            line += f" -> {after['value']:.6g} +- {after['std']:.2g}"
            if before["value"]:
                line += f" ({after['value'] / before['value'] - 1:+.2%})"
        print(line)
    after = {} if document["new"] is None else document["new"]["conditions"]
    for name, value in after.items():
        old = document["old"]["conditions"].get(name)
        if value != old:
            was = "not stated" if old is None else f"{old:.6g}"
            print(f"{document['role']}: condition {name} {was} -> {value:.6g}")
    if document["written"]:
        print(f"written to {document['file']}; the version before is {document['kept']}")
    elif document["accepted"]:
        print("accepted; nothing was written (--dry-run)")
    for reason in document["reasons"]:
        say_error(f"not written: {reason}")


def _row(role: str, path: str, one: Calibration) -> dict[str, Any]:
    spreads = one.covariance.diagonal() ** 0.5
    return {
        "role": role,
        "file": path,
        "kind": one.kind,
        "date": one.date.isoformat(),
        "hash": one.hash,
        "conditions": dict(one.conditions),
        "parameters": {
            name: {"value": value, "std": float(std)}
            for (name, value), std in zip(one.parameters.items(), spreads, strict=True)
        },
    }
