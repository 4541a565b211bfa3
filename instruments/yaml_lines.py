"""YAML files of the laboratory: read once, complained about all at once, with file and line.

A `Problems` list collects everything that is wrong with a file before anything
is raised, so that a user mends a file in one go. Wrong names get the nearest
right one as a suggestion.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from .errors import CavityLabError

ModelT = TypeVar("ModelT", bound=BaseModel)
Location = Sequence[int | str]

TYPE_WORDS = {
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "date_type": "must be a date such as 2026-01-31",
    "dict_type": "must be a mapping (`key: value` lines)",
    "model_type": "must be a mapping (`key: value` lines)",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "finite_number": "must be finite",
}


class Problems:
    """What is wrong with the files read so far, in the order of discovery."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, path: Path, line: int, text: str) -> None:
        """Remember one mistake; `line` counts from 1."""
        self.lines.append(f"{path}:{line}: {text}")

    def __bool__(self) -> bool:
        return bool(self.lines)

    def raise_as(self, error: type[CavityLabError], heading: str) -> None:
        """Raise `error` with every mistake, one a line; do nothing when there is none."""
        if self.lines:
            count = "1 mistake" if len(self.lines) == 1 else f"{len(self.lines)} mistakes"
            raise error("\n  ".join([f"{heading}: {count}.", *self.lines]))


def read_mapping(path: Path, text: str, problems: Problems) -> CommentedMap | None:
    """The top mapping of YAML `text`, or None after adding to `problems`.

    Whoever reads the same text again gets the same mapping: it is to be read, never changed.
    """
    try:
        content = _content_of(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        begun = (
            f" {error.context} from line {error.context_mark.line + 1}"
            if (error.context and error.context_mark is not None)
            else ""
        )
        problems.add(path, line, f"not valid YAML: {error.problem or error.context}{begun}")
        return None
    except YAMLError as error:
        problems.add(path, 1, f"not valid YAML: {error}")
        return None
    if not isinstance(content, CommentedMap):
        problems.add(path, 1, "must be a mapping (`key: value` lines) at the top")
        return None
    return content


@lru_cache(maxsize=64)
def _content_of(text: str) -> Any:
    # Composing a station's files takes longer than all else that opening it for rehearsal does.
    return YAML().load(text)


def line_of(node: Any, location: Location = ()) -> int:
    """Line (from 1) of the entry that `location` leads to, or of the last part found on the way."""
    line = _own_line(node)
    for part in location:
        if isinstance(node, CommentedMap) and part in node:
            line = int(node.lc.key(part)[0]) + 1
            node = node[part]
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line = int(node.lc.item(part)[0]) + 1
            node = node[part]
        else:
            break
    return line


def _own_line(node: Any) -> int:
    position = getattr(node, "lc", None)
    return int(position.line or 0) + 1 if position is not None else 1


def plain(node: Any) -> Any:
    """`node` in plain Python types, without the notes of its place in the file."""
    if isinstance(node, dict):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def suggestion(wrong: object, right: Iterable[str]) -> str:
    """`` (did you mean `x`?)`` or, when nothing is near, the list of what would do."""
    choices = sorted(right)
    near = difflib.get_close_matches(str(wrong), choices, n=1, cutoff=0.6)
    if near:
        return f" (did you mean `{near[0]}`?)"
    return f" (possible: {', '.join(choices)})" if choices else ""


def validated(
    model: type[ModelT],
    node: CommentedMap,
    path: Path,
    problems: Problems,
    where: str = "",
) -> ModelT | None:
    """`node` as `model` (checked strictly), or None after adding every mistake to `problems`."""
    try:
        return model.model_validate(plain(node))
    except ValidationError as error:
        for detail in error.errors():
            location = [part for part in detail["loc"] if not _is_branch(part)]
            text = _sentence(model, detail, location)
            problems.add(path, line_of(node, location), f"{where}{text}")
        return None


def _is_branch(part: int | str) -> bool:
    # pydantic names the branch of a union in the location; the file knows no such key
    return isinstance(part, str) and ("[" in part or part in TYPE_WORDS)


def _sentence(model: type[BaseModel], detail: Any, location: Location) -> str:
    name = ".".join(str(part) for part in location)
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        return f"unknown key `{name}`{suggestion(location[-1], known)}"
    if kind == "missing":
        return f"key `{name}` is missing"
    words = TYPE_WORDS.get(kind)
    if words is None:
        message = str(detail["msg"]).removeprefix("Value error, ")
        words = message[:1].lower() + message[1:]
        words = words.replace("input should be", "must be")
    shown = repr(detail["input"])
    if location and len(shown) <= 60:
        return f"`{name}` {words}, but is {shown}"
    return f"`{name}`: {words}" if name else words


def _known_keys(model: type[BaseModel], location: Location) -> list[str]:
    """Keys of the (nested) model at `location`; empty below lists and free mappings."""
    current: Any = model
    for part in location:
        fields = getattr(current, "model_fields", {})
        current = fields[part].annotation if part in fields else None
    if current is None and location:
        return []
    return list(getattr(current, "model_fields", {}))
