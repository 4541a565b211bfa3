"""The benchmark's figures and table for docs/estimators, from stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Stored = Mapping[str, Any]

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
_MARKS = "x+1234|_"
_TICKS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)
_CLOSE_TICKS = (0.6, 0.8, 1.0, 1.25, 1.6, 2.0, 3.0)
_HEADING = (
    "| estimator | range | runs | bias/sigma | rmse/bound | 68 % | 95 % | failed | ms | "
    "peers, rmse/bound | |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
)


def grouped(rows: Sequence[Stored]) -> list[tuple[Stored, list[Stored]]]:
    """Every estimator's row with those of its peers, whose names are indented."""
    found: list[tuple[Stored, list[Stored]]] = []
    for row in rows:
        if row["name"].startswith(" ") and found:
            found[-1][1].append(row)
        else:
            found.append((row, []))
    return found


def table(rows: Sequence[Stored]) -> str:
    """Markdown: one line for every estimator and range, peers in a column."""
    lines = [_HEADING]
    for row, peers in grouped(rows):
        others = "; ".join(f"{peer['name'].strip()} {_peer(peer)}" for peer in peers)
        verdict = "shown" if not row["judged"] else ", ".join(row["misses"]) or "meets"
        cells = [
            row["name"],
            row["range"],
            str(row["replicates"]),
            _pair(row["bias_over_sigma"], 2),
            _pair(row["rmse_over_bound"], 2),
            _pair(row["coverage_68"], 2),
            _pair(row["coverage_95"], 3),
            str(row["failures"]),
            _time(row["seconds"]),
            others,
            verdict,
        ]
        lines.append("| " + " | ".join(cells) + " |\n")
    return "".join(lines)


def write_table(rows: Sequence[Stored], page: Path) -> None:
    """Put the table between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"{page} has no lines {BEGIN} and {END}")
    page.write_text(f"{head}{BEGIN}\n{table(rows)}{END}{tail}", encoding="utf-8")


def draw(rows: Sequence[Stored], path: Path) -> None:
    """Efficiency and coverage, one line for every estimator and range; peers are grey."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    groups = grouped(rows)
    names = sorted({p["name"].strip() for _, peers in groups for p in peers if _known(p)})
    marks = {name: _MARKS[k % len(_MARKS)] for k, name in enumerate(names)}
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 1.5 + 0.26 * len(groups)), sharey=True, layout="constrained"
    )
    for place, (row, peers) in zip(range(len(groups))[::-1], groups, strict=True):
        colour = "tab:red" if row["misses"] else "tab:blue"
        for peer in filter(_known, peers):
            left.plot(peer["rmse_over_bound"][0], place, marks[peer["name"].strip()], color="0.55")
        _bar(left, row["rmse_over_bound"], place, "o", colour)
        _bar(right, row["coverage_68"], place, "o", "tab:green")
        _bar(right, row["coverage_95"], place, "s", colour)
    left.set_yticks(
        range(len(groups))[::-1], [f"{r['name']}, {r['range']}" for r, _ in groups], fontsize=7
    )
    left.set_ylim(-0.6, len(groups) - 0.4)
    left.set_xscale("log")
    left.axvline(1.0, color="0.3", lw=1)
    low, high = left.get_xlim()
    low, high = min(low, 0.8), max(high, 1.6)
    left.set_xlim(low, high)
    ticks = [t for t in (_TICKS if high > 4.0 * low else _CLOSE_TICKS) if low <= t <= high]
    left.set_xticks(ticks, [f"{t:g}" for t in ticks], fontsize=8)
    left.minorticks_off()
    left.set_xlabel("rmse / bound, ± 3 std. errors", fontsize=8)
    for nominal in (0.68, 0.95):
        right.axvline(nominal, color="0.3", lw=1)
    right.set_xlim(0.4, 1.02)
    right.tick_params(labelsize=8)
    right.set_xlabel("coverage: 68 % (o), 95 % (□)", fontsize=8)
    if names:
        handles = [
            plt.Line2D([], [], color="0.55", marker=marks[name], ls="", label=name)
            for name in names
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7)
    figure.savefig(path, dpi=80 if len(groups) <= 16 else 66)  # files stay small
    plt.close(figure)


def _known(row: Stored) -> bool:
    return row["rmse_over_bound"][0] is not None


def _bar(axes: Any, pair: Sequence[float | None], place: int, mark: str, colour: str) -> None:
    value, error = pair
    if value is not None:
        axes.errorbar(value, place, xerr=3.0 * (error or 0.0), fmt=mark, ms=4, color=colour)


def _pair(pair: Sequence[float | None], digits: int) -> str:
    value, error = pair
    if value is None or error is None:
        return "–"
    digits = digits if abs(value) < 10.0 else 1
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _peer(row: Stored) -> str:
    if row.get("note"):
        return str(row["note"])
    value = row["rmse_over_bound"][0]
    if value is None:
        bias = row["bias_over_sigma"][0]
        return "no answer" if bias is None else f"bias/sigma {bias:.1f}"
    return f"{value:.3g}" + (f" ({row['failures']} failed)" if row["failures"] else "")


def _time(pair: Sequence[float | None]) -> str:
    return "–" if pair[0] is None else f"{1e3 * pair[0]:.3g}"
