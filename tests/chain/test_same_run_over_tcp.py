"""The same run through the in-process library and through sockets: transport only."""

import json
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from filelock import FileLock

from cavitylab import Station, run
from cavitylab.instruments.shipped import find_file
from cavitylab.protocols import RamseyEllipse

HOSTS = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"]
PORTS = [7802, 5025, 5025, 5025, 1998]
SETTINGS = {"shots": 60, "block": 30, "shot_period": 0.03}

pytestmark = pytest.mark.skipif(
    sys.platform == "darwin", reason="only 127.0.0.1 is up by default there"
)


def copy_of_the_station(folder):
    """The shipped station file with loopback addresses; nothing else differs."""
    source = find_file("two_ensemble", ".yaml")
    text = source.read_text(encoding="utf-8")
    for k, host in enumerate(HOSTS):
        text = text.replace(f"192.168.10.{21 + k}", host)
    target = folder / "station.yaml"
    target.write_text(text, encoding="utf-8")
    (folder / "calibrations").mkdir()
    for file in (source.parent / "calibrations").glob("*.yaml"):
        (folder / "calibrations" / file.name).write_bytes(file.read_bytes())
    return target


@pytest.fixture(autouse=True)
def alone():
    """The instruments' own ports exist once on a machine; tests may run side by side."""
    with FileLock(Path(tempfile.gettempdir()) / "cavitylab-native-ports.lock"):
        yield


def listening():
    """Whether anything answers already at the loopback addresses."""
    for host, port in zip(HOSTS, PORTS, strict=True):
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex((host, port)) == 0:
                return True
    return False


@pytest.fixture
def served():
    """`cavitylab serve --native` in a process of its own."""
    if listening():
        pytest.skip("something else listens at the instruments' ports on loopback")
    process = subprocess.Popen(
        [sys.executable, "-m", "cavitylab", "serve", "two_ensemble", "--native", "--no-drifts"]
        + ["--seed", "4"],
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith("ready"):
            break
    yield lines
    process.terminate()
    assert process.wait(timeout=250) == 0


def sent(trace):
    """Instrument and text of everything sent, in order, without times."""
    pattern = re.compile(r"^\s*[\d.]+\s+(\S+)\s+> (.*)$", re.MULTILINE)
    return pattern.findall(Path(trace).read_text(encoding="utf-8"))


def test_tcp_and_in_process_send_the_same_and_count_the_same(served, tmp_path):
    """With drifts off the two worlds differ in nothing but the transport."""
    assert len(served) == 6
    assert served[0].split() == ["rf", "127.0.0.2:7802", "TCPIP0::127.0.0.2::7802::SOCKET"]
    station = copy_of_the_station(tmp_path)
    settings = [x for k, v in SETTINGS.items() for x in ("--set", f"{k}={v}")]
    done = subprocess.run(
        [sys.executable, "-m", "cavitylab", "run", "ramsey_ellipse", "--station", str(station)]
        + [*settings, "--data", str(tmp_path / "tcp"), "--json", "--no-figure"]
        + ["--trace", str(tmp_path / "tcp.txt")],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert "truth" not in document, "on hardware there is no truth to reveal"
    with Station.open(
        "two_ensemble", rehearse="two_ensemble", seed=4, options={"drifts": "off"}
    ) as opened:
        opened.journal.write_trace(tmp_path / "opening.txt")
        result = run(RamseyEllipse(**SETTINGS), opened, data=tmp_path / "in_process")
        opened.journal.write_trace(tmp_path / "in_process.txt")
    tcp = xr.open_zarr(Path(document["run"]) / "data.zarr")
    assert np.array_equal(tcp["counts"].values, result.records["counts"].values)
    assert np.array_equal(tcp["status"].values, result.records["status"].values)
    over_tcp, in_process = sent(tmp_path / "tcp.txt"), sent(tmp_path / "in_process.txt")
    opening = len(sent(tmp_path / "opening.txt"))
    assert len(in_process) > opening + 200
    # Instruments open beside one another: only each one's own order is fixed until all are open.
    for name in {name for name, _ in in_process}:
        first = [text for where, text in in_process[:opening] if where == name]
        assert [text for where, text in over_tcp[:opening] if where == name] == first
    assert over_tcp[opening : len(in_process)] == in_process[opening:]
    assert document["estimates"]["phase"]["value"] == result.estimate["phase"].value


def test_nothing_behind_the_addresses_gives_one_message_with_every_name(tmp_path):
    """Five dead addresses: one error naming each, exit code 1, nothing recorded."""
    if listening():
        pytest.skip("something else listens at the instruments' ports on loopback")
    station = copy_of_the_station(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "cavitylab", "run", "ramsey_ellipse", "--station", str(station)]
        + ["--data", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    for name, host in zip(
        ("rf", "timing_box", "counter", "coil_supply", "laser_head"), HOSTS, strict=True
    ):
        assert re.search(rf"\b{name}\b.*{re.escape(host)}", done.stderr), (name, done.stderr)
    assert not (tmp_path / "data").exists()


def test_the_station_file_has_no_word_of_the_simulation():
    """One file serves both worlds; it knows only hardware."""
    text = find_file("two_ensemble", ".yaml").read_text(encoding="utf-8").lower()
    for word in ("simul", "rehears", "lab.yaml", "virtual", "@cavitylab", "laboratory"):
        assert word not in text, word
