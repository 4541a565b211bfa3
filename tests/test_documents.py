"""What the documents show runs: the README's Python, the examples, the paths it names."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readmes_script_runs(tmp_path, monkeypatch, capsys):
    """The first Python block of the README runs as it stands and prints an estimate."""
    block = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})  # the README is ours
    printed = capsys.readouterr().out
    assert "phase = " in printed and "counts" in printed


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_the_examples_run(example, tmp_path, capsys):
    """Every script under examples/ runs on the simulated laboratory."""
    runpy.run_path(str(example))["main"](tmp_path)
    assert capsys.readouterr().out.strip()


def test_the_readme_names_folders_and_commands_that_exist():
    """Folders and commands that a newcomer is sent to are there."""
    for folder in re.findall(r"`(\w+)/`", README):
        assert (ROOT / folder).is_dir(), folder
    for words in set(re.findall(r"cavitylab (demo|run|estimate|serve|runs|station)\b", README)):
        assert f"def {words}" in (ROOT / "console/cli.py").read_text(encoding="utf-8") or (
            f"{words}_app" in (ROOT / "console/cli.py").read_text(encoding="utf-8")
        )
