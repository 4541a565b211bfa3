"""Laboratory files: a simulated laboratory written down, hidden truth included.

    format: 1
    title: Two ensembles in a driven cavity
    seed: 20260101
    devices:    [{name, model, addresses: [...], settings: {...}}, ...]
    wires:      [{from: device.output, to: line}, ...]
    apparatus:  {kind: two_ensemble_cavity, truth: {...}}        kinds: `apparatus.py`
    drifts:     {drive_amplitude: {rms, correlation_time}, coil_current: {...}, step}  or  off
    faults:     [{device, kind, match, nth | probability, value, seconds}, ...]

`station_configs/two_ensemble.lab.yaml` explains every line. A file with mistakes is refused
with all of them at once, each with its line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from ..errors import StationFileError
from ..yaml_lines import Problems, line_of, plain, read_mapping, suggestion, validated
from .apparatus import KINDS as APPARATUS_KINDS
from .faults import KINDS
from .truth import FilePart
from .wiring import CAVITY_OUTPUT, PHOTONS

FORMAT = 1

_NAME = r"[A-Za-z]\w*"


class LaboratoryFileError(StationFileError):
    """A laboratory file is wrong; the message lists every mistake with file and line."""


class DeviceEntry(FilePart):
    """One simulated instrument.

    Attributes:
        name: What wires and faults call it.
        model: Its kind, for instance `srs_dg645`.
        addresses: VISA addresses at which it answers.
        settings: What the model lets one choose (serial number, coil, ...).
    """

    name: str = Field(pattern=f"^{_NAME}$")
    model: str
    addresses: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    settings: dict[str, Any] = Field(default_factory=dict)


class WireEntry(FilePart):
    """A wire from an output (`device.output`, several joined by `|` are their OR, or `photons`
    or `cavity.output`) to a physical line or to an input terminal (`device.input`)."""

    source: str = Field(alias="from")
    target: str = Field(alias="to")

    @field_validator("source")
    @classmethod
    def _source_form(cls, text: str) -> str:
        if text != PHOTONS and not re.fullmatch(rf"{_NAME}\.\w+(\|\w+)*", text):
            raise ValueError(f"must be `device.output`, `device.A|B` for an OR, or `{PHOTONS}`")
        return text


class FaultEntry(FilePart):
    """A fault on purpose (kinds: `instruments/simulated/faults.py`).

    Attributes:
        device: Name of the device that fails.
        kind: What happens.
        match: Regular expression searched in the messages to the device.
        nth: Only the n-th match. Excludes `probability`.
        probability: Each match with this probability.
        value: Value or text for the kinds that need one.
        seconds: Delay of a slow answer.
    """

    device: str
    kind: str
    match: str = ".*"
    nth: int | None = Field(default=None, ge=1)
    probability: float | None = Field(default=None, gt=0.0, le=1.0)
    value: str | int | float | None = None
    seconds: float = Field(default=10.0, ge=0.0)

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"must be a kind of fault{suggestion(kind, KINDS)}")
        return kind

    @field_validator("match")
    @classmethod
    def _expression(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as problem:
            raise ValueError(f"must be a regular expression ({problem})") from problem
        return pattern

    @model_validator(mode="after")
    def _one_rule(self) -> FaultEntry:
        if self.nth is not None and self.probability is not None:
            raise ValueError("give nth or probability, not both")
        return self


class ApparatusEntry(FilePart):
    """The physics behind the wires: its kind, and the truth it hides."""

    kind: str
    truth: FilePart

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        if kind not in APPARATUS_KINDS:
            raise ValueError(f"must be a kind of apparatus{suggestion(kind, APPARATUS_KINDS)}")
        return kind


class _Content(FilePart):
    """All of a laboratory file; what depends on the kind of its apparatus comes with `_content`."""

    format: int
    title: str
    seed: int = Field(ge=0)
    devices: Annotated[tuple[DeviceEntry, ...], Field(strict=False, min_length=1)]
    wires: Annotated[tuple[WireEntry, ...], Field(strict=False)] = ()
    apparatus: ApparatusEntry
    drifts: Any = None
    faults: Annotated[tuple[FaultEntry, ...], Field(strict=False)] = ()

    @field_validator("format")
    @classmethod
    def _known_format(cls, number: int) -> int:
        if number != FORMAT:
            raise ValueError(f"must be {FORMAT}, the format that this version reads")
        return number

    @field_validator("drifts", mode="before")
    @classmethod
    def _off(cls, given: Any) -> Any:
        return {} if given in ("off", False, None) else given


def _content(kind: str | None) -> type[_Content]:
    """All of a laboratory file with an apparatus of this kind.

    Of an unknown kind, truth and drifts cannot be judged: the kind alone is then the mistake.
    """
    found = APPARATUS_KINDS.get(kind) if kind is not None else None
    truth: Any = found.truth if found is not None else Any
    apparatus = create_model("ApparatusEntry", __base__=ApparatusEntry, truth=(truth, ...))
    fields: dict[str, Any] = {"apparatus": (apparatus, ...)}
    if found is not None:
        fields["drifts"] = (found.drifts, found.drifts())
    return create_model("_Content", __base__=_Content, **fields)


@dataclass(frozen=True, slots=True)
class LaboratoryFile:
    """A valid laboratory file, ready to be built.

    Attributes:
        path: Where it was read.
        title: One line for people.
        seed: Keys every random number of the laboratory, hidden truth included.
        devices, wires, apparatus, faults: As in the file.
        drifts: Section of the apparatus' kind; None when they are switched off.
    """

    path: Path
    title: str
    seed: int
    devices: tuple[DeviceEntry, ...]
    wires: tuple[WireEntry, ...]
    apparatus: ApparatusEntry
    drifts: Any
    faults: tuple[FaultEntry, ...]


def load_laboratory(
    path: str | Path,
    seed: int | None = None,
    drifts: bool | None = None,
    *,
    models: Collection[str] | None = None,
) -> LaboratoryFile:
    """Read and check a laboratory file.

    Args:
        path: The YAML file.
        seed: Replaces the file's own seed: another truth, other samples.
        drifts: False switches the drifts of the file off.
        models: Device models that can be built; others are mistakes. None: not checked.

    Raises:
        LaboratoryFileError: If the file cannot be read, or with everything that is wrong in it.
    """
    file = Path(path)
    if seed is not None and seed < 0:
        raise LaboratoryFileError(f"seed of {file} must be 0 or more, but is {seed}.")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise LaboratoryFileError(f"{file}: cannot be read as a text file: {problem}") from problem
    problems = Problems()
    node = read_mapping(file, text, problems)
    kind = _kind_of(plain(node))
    content = validated(_content(kind), node, file, problems) if node is not None else None
    if node is not None:
        for location, words in _contradictions(plain(node), models):
            problems.add(file, line_of(node, location), words)
    if content is None or problems:
        problems.raise_as(LaboratoryFileError, f"Laboratory file {file} cannot be used")
        raise LaboratoryFileError(f"Laboratory file {file} cannot be used.")
    return LaboratoryFile(
        path=file,
        title=content.title,
        seed=content.seed if seed is None else seed,
        devices=content.devices,
        wires=content.wires,
        apparatus=content.apparatus,
        drifts=None if drifts is False else content.drifts,
        faults=content.faults,
    )


Mistake = tuple[tuple[str | int, ...], str]
EntryT = TypeVar("EntryT", bound=FilePart)


def _kind_of(content: Any) -> str | None:
    """The kind of apparatus that the file names, if it names one."""
    apparatus = content.get("apparatus") if isinstance(content, dict) else None
    kind = apparatus.get("kind") if isinstance(apparatus, dict) else None
    return kind if isinstance(kind, str) else None


def _contradictions(content: Any, models: Collection[str] | None) -> Iterator[Mistake]:
    """What single entries cannot know; asked also of files with other mistakes in them."""
    names = [str(one.get("name")) for one in _entries(content, "devices")]
    yield from _device_mistakes(_sound(content, "devices", DeviceEntry), models)
    known = APPARATUS_KINDS.get(_kind_of(content) or "")
    every = (line for one in APPARATUS_KINDS.values() for line in one.lines)
    lines = known.lines if known is not None else tuple(dict.fromkeys(every))
    yield from _wire_mistakes(_sound(content, "wires", WireEntry), names, lines)
    for number, fault in _sound(content, "faults", FaultEntry):
        if fault.device not in names:
            yield (
                ("faults", number, "device"),
                f"fault of unknown device `{fault.device}`{suggestion(fault.device, names)}",
            )


def _entries(content: Any, section: str) -> list[dict[str, Any]]:
    given = content.get(section)
    return [one if isinstance(one, dict) else {} for one in given] if _is_list(given) else []


def _is_list(given: Any) -> bool:
    return isinstance(given, list | tuple)


def _sound(content: Any, section: str, model: type[EntryT]) -> list[tuple[int, EntryT]]:
    """The entries of a section that are right in themselves, with their numbers."""
    sound = []
    for number, entry in enumerate(_entries(content, section)):
        try:
            sound.append((number, model.model_validate(entry)))
        except ValidationError:
            continue  # reported already, with its line
    return sound


def _device_mistakes(
    devices: list[tuple[int, DeviceEntry]], models: Collection[str] | None
) -> Iterator[Mistake]:
    seen: set[str] = set()
    taken: dict[str, str] = {}
    for number, device in devices:
        here = ("devices", number)
        if device.name in seen:
            yield (*here, "name"), f"a second device is called `{device.name}`: rename one"
        seen.add(device.name)
        if models is not None and device.model not in models:
            yield (
                (*here, "model"),
                f"unknown model `{device.model}` of `{device.name}`"
                f"{suggestion(device.model, models)}",
            )
        for address in device.addresses:
            key = address.upper()
            if key in taken:
                yield (
                    (*here, "addresses"),
                    f"`{device.name}` has the address {address} of `{taken[key]}`: "
                    "each instrument needs its own",
                )
            taken.setdefault(key, device.name)


def _wire_mistakes(
    wires: list[tuple[int, WireEntry]], names: list[str], lines: Collection[str]
) -> Iterator[Mistake]:
    driven: set[str] = set()
    for number, wire in wires:
        source, target = wire.source.partition(".")[0], wire.target.partition(".")[0]
        if wire.source not in (PHOTONS, CAVITY_OUTPUT) and source not in names:
            yield (
                ("wires", number, "from"),
                f"wire from unknown device `{source}`{suggestion(source, names)}",
            )
        if target not in names and wire.target not in lines:
            yield (
                ("wires", number, "to"),
                f"wire to `{wire.target}`, which is neither a line of the apparatus nor an input "
                f"of a device{suggestion(wire.target, lines)}",
            )
        if wire.target in driven:
            yield (
                ("wires", number, "to"),
                f"a second wire drives `{wire.target}`: join the outputs as in `device.A|B`",
            )
        driven.add(wire.target)
