"""`cavitylab estimate` on files as laboratories have them: read, or refused with the place."""

from __future__ import annotations

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from cavitylab.console.cli import app
from cavitylab.console.refit_files import RecordsError, read_beliefs, read_records
from cavitylab.estimators import EllipseSchedule
from cavitylab.estimators.registry import BeliefError, estimators, find_estimator

TABLE = "pump,counts_1\n0.9,12\n1.0,31\n1.1,55\n"
SCAN = ("--estimator", "pumping_snapshots", "--set", "atoms=20")


def _said(*words) -> tuple[int, str]:
    answer = CliRunner().invoke(app, ["estimate", *(str(word) for word in words)])
    assert answer.exception is None or isinstance(answer.exception, SystemExit)
    return answer.exit_code, " ".join(answer.output.split())


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", " "),
        "\ufeff" + TABLE,
        "# a comment\n\n" + TABLE.replace("1.0", "# at the transition\n 1.0"),
        "# " + TABLE,
        '"pump","counts_1"\n' + TABLE.partition("\n")[2] + "\n  \n",
    ],
    ids=[
        "plain",
        "CRLF",
        "CR",
        "semicolon",
        "tab",
        "space",
        "BOM",
        "comments",
        "savetxt",
        "quoted",
    ],
)
def test_one_table_in_every_dress(tmp_path, text) -> None:
    """Line ends, separators, byte-order marks, comments and quotes change nothing."""
    path = tmp_path / "scan.csv"
    path.write_bytes(text.encode())
    found = read_records(path)
    assert found.columns["pump"].tolist() == [0.9, 1.0, 1.1]
    assert found.columns["counts"].tolist() == [[12.0], [31.0], [55.0]]


def test_missing_numbers_are_for_shots_that_are_marked_bad(tmp_path) -> None:
    """Empty and NaN in a shot of another status are no harm; in a good one they are refused."""
    path = tmp_path / "scan.csv"
    path.write_text("pump,counts_1,status\n0.9,12,1\n1.0,,0\n1.1,nan,0\n")
    assert read_records(path).columns["counts"][0, 0] == 12.0
    path.write_text("pump,counts_1,status\n0.9,12,1\n1.0,,1\n")
    with pytest.raises(RecordsError, match=":3, column counts_1.*not finite"):
        read_records(path)


def test_the_line_of_a_shot_counts_comments_and_blank_lines(tmp_path) -> None:
    """What an estimator refuses is told with the line of the file, the column and its own name."""
    path = tmp_path / "scan.csv"
    path.write_text("# taken at noon\npump,counts_1\n\n0.9,12\n# high\n1.0,-4\n")
    code, text = _said(path, *SCAN)
    assert code == 2
    assert "scan.csv: line 6: pumping_snapshots: Column `counts`" in text and "-4" in text
    path.write_text(path.read_text().replace("1.0,-4", "-1.0,4"))
    assert "scan.csv: line 6: pumping_snapshots: Column `pump`" in _said(path, *SCAN)[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# nothing else\n", "no heading and no shots"),
        ("0.9,12\n1.0,31\n", "the first line must name the columns"),
        (",pump,counts_1\n0,0.9,12\n", "column 1 has no name (pandas"),
        ("pump;counts_1\n0,9;12\n", "write decimals with a point"),
        ("pump,counts_1\n0.9,1e999\n", "not finite"),
        ("pump,counts_1\n0.9,\0\n", "not a text file"),
    ],
)
def test_tables_that_cannot_be_read_say_why(tmp_path, text, words) -> None:
    """Exit code 2 and a sentence, never a traceback."""
    path = tmp_path / "bad.csv"
    path.write_text(text)
    code, said = _said(path, *SCAN)
    assert code == 2 and "bad.csv" in said and words in said


def test_damaged_archives_and_other_files_say_what_they_are(tmp_path) -> None:
    """Truncated, damaged, empty, without names, of the wrong kind, a folder, other encodings."""
    whole = tmp_path / "scan.npz"
    np.savez(whole, pump=np.linspace(0.9, 1.1, 40), counts=np.arange(40))
    data = whole.read_bytes()
    wrong = {
        "cut.npz": (data[: len(data) // 2], "only the beginning"),
        "bent.npz": (data[:150] + bytes([data[150] ^ 255]) + data[151:], "no NPZ file of plain"),
        "empty.npz": (b"", "is empty"),
        "text.npz": (b"pump,counts\n", "no NPZ file"),
        "wide.csv": (TABLE.encode("utf-16"), "not a text file in UTF-8"),
    }
    for name, (content, words) in wrong.items():
        (tmp_path / name).write_bytes(content)
        code, said = _said(tmp_path / name, *SCAN)
        assert code == 2 and words in said, said
    arrays = {
        "number.npz": ({"pump": np.ones(3), "gain": np.array(20.0)}, "`gain` must have one entry"),
        "text.npz": ({"pump": np.array(["a"])}, "`pump` must hold numbers"),
        "uneven.npz": ({"pump": np.ones(3), "counts": np.ones(4)}, "pump 3, counts 4"),
    }
    for name, (columns, words) in arrays.items():
        np.savez(tmp_path / name, **columns)
        assert words in _said(tmp_path / name, *SCAN)[1]
    np.save(tmp_path / "one.npy", np.ones(3))
    assert "np.savez" in _said(tmp_path / "one.npy", *SCAN)[1]
    assert "holds no run" in _said(tmp_path, *SCAN)[1]


def test_a_million_rows_are_read_in_seconds(tmp_path) -> None:
    """The same numbers as a row at a time."""
    path = tmp_path / "long.csv"
    rows = "\n".join(f"{0.5 + k / 997:.6f},{k % 91}" for k in range(997))
    path.write_text("pump,counts_1\n" + "\n".join([rows] * 100))
    found = read_records(path)
    assert found.columns["pump"].size == 99_700
    assert found.columns["pump"][1] == float(f"{0.5 + 1 / 997:.6f}")
    assert found.place(99_699).endswith("line 99701")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("atoms: {a: 1\n", "b.yaml:2: is no YAML"),
        ("- atoms\n", "must hold `key: value` lines"),
        ("atoms: [20, 30]\n", "pumping_snapshots: atoms: must be number"),
        ("atoms: true\n", "pumping_snapshots: atoms: must be a number"),
        ("atoms: 20\ngain: 20\n", "pumping_snapshots: gain: give value+-std"),
        ("atom: 20\n", "did you mean atoms"),
    ],
)
def test_beliefs_that_do_not_fit_are_named(tmp_path, content, words) -> None:
    """The estimator, the key, and how to write it."""
    (tmp_path / "scan.csv").write_text(TABLE)
    (tmp_path / "b.yaml").write_text(content)
    code, said = _said(tmp_path / "scan.csv", *SCAN[:2], "--beliefs", tmp_path / "b.yaml")
    assert code == 2 and words in said, said
    with pytest.raises(RecordsError, match="no such file"):
        read_beliefs(tmp_path / "none.yaml")


def test_pairs_have_two_numbers_and_flags_are_true_or_false() -> None:
    """Three numbers for a range, one for a pair, a word for a flag."""
    rabi, ellipse = find_estimator("rabi_calibration"), find_estimator("ellipse_contrasts")
    for text in ("1e4", "1e4,2e5,3e5"):
        with pytest.raises(BeliefError, match="frequency_range: give 2 numbers with commas"):
            rabi.build({"atoms": "100", "frequency_range": text})
    with pytest.raises(BeliefError, match="noise_free: must be true or false"):
        ellipse.build({"atoms": "20,20", "noise_free": "yes"})


def test_near_names_are_offered_and_class_names_understood() -> None:
    """A wrong estimator is answered with the nearest; PumpingSnapshots is pumping_snapshots."""
    assert find_estimator("PumpingSnapshots").name == "pumping_snapshots"
    assert find_estimator("wineland-from-shots").name == "wineland_from_shots"
    assert find_estimator("rotor_mixture").name == "ellipse_phase"
    with pytest.raises(BeliefError, match="did you mean pumping_snapshots"):
        find_estimator("pumping_snapshot")


def test_intervals_are_printed_beside_the_values(tmp_path) -> None:
    """A whole range too: a value without one would look sure of itself."""
    (tmp_path / "scan.csv").write_text(TABLE)
    code, said = _said(tmp_path / "scan.csv", *SCAN)
    assert code == 0 and "note: not determined" in said
    ends = re.search(r"critical_pump = .*? 95 %: (\S+) to (\S+) gain", said)
    assert ends is not None and float(ends.group(1)) < 0.2 and float(ends.group(2)) > 5.0
    assert "identifiable: critical_pump from" in said


def test_figures_that_cannot_be_written_are_refused_before_the_fit(tmp_path) -> None:
    """No folder, no known ending."""
    (tmp_path / "scan.csv").write_text(TABLE)
    where = (tmp_path / "scan.csv", *SCAN, "--figure")
    assert _said(*where, tmp_path / "none" / "fit.png")[0] == 2
    assert "ending must be" in _said(*where, tmp_path / "fit.doc")[1]


def test_every_column_and_every_belief_is_explained() -> None:
    """`--help` names each column that an estimator reads; `--describe` says what each belief is."""
    said = _said("--help")[1]
    for name in ("counts", "populations", "light", "reading", "value", "std", "pump", "direction",
                 "stairs", "time", "pulse_time", "decay_time", "current", "power", "drive",
                 "bias_phase", "angle", "setting", "level", "status", "shot"):  # fmt: skip
        assert re.search(rf"\b{name}\b", said), name
    for entry in estimators().values():
        for belief in entry.beliefs():
            assert belief.meaning, f"{entry.name}: {belief.key}"


def test_pulsed_calibrations_name_their_columns(tmp_path) -> None:
    """The settings of a class that shares its `update` with others."""
    drive = find_estimator("drive_calibration")
    assert drive.reads("power") and drive.reads("pulse_time") and not drive.reads("current")
    code, said = _said("--describe", "drive_calibration")
    assert code == 0 and "power (W), pulse_time (s)" in said


def test_a_schedule_is_built_from_a_file(tmp_path) -> None:
    """Settings as mappings, the covariance as a list of lists."""
    (tmp_path / "b.yaml").write_text(
        "spin: 5\ndetuning_ratio: 1.0\npulse_area: 1.5708\ngain: 100\nbackground: 50\n"
        "covariance: "
        + str(np.diag([4e-4, 4e-4, 9e-4, 6.0, 2e-4, 4e-4]).tolist())
        + "\nsettings:\n  - {prepared: true, bias_phase: 0.5}\n"
        "  - {prepared: false, bias_phase: 0.7, by_rabi: 0.7}\n"
    )
    beliefs = read_beliefs(tmp_path / "b.yaml")
    built = find_estimator("ellipse_schedule").build(beliefs)
    assert isinstance(built, EllipseSchedule)
    beliefs["settings"][0]["colour"] = 3
    with pytest.raises(BeliefError, match="unknown colour"):
        find_estimator("ellipse_schedule").build(beliefs)
