"""The tree at the root and the package `cavitylab` are one thing, and stay light to import."""

import importlib
import pickle
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

import cavitylab
from cavitylab.models.two_ensembles import TwoEnsembles

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("console", "estimators", "instruments", "models", "protocols", "station_configs")
BACKEND = Path("instruments/simulated/pyvisa_cavitylab")  # a top-level package of its own
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HEAVY = ("qcodes", "qutip", "xarray", "zarr", "scipy", "matplotlib", "numpy", "pyvisa")


def test_one_copy_of_every_class():
    """A class imported through the package is the only one of its name."""
    pair = TwoEnsembles(spin=2.0, rabi_frequency=1.0, detuning_difference=0.5)
    assert type(pair).__module__ == "cavitylab.models.two_ensembles"
    assert type(pickle.loads(pickle.dumps(pair))) is TwoEnsembles
    assert not set(FOLDERS) & set(sys.modules)


def test_every_folder_of_code_is_listed():
    """A package folder that pyproject.toml forgets would be missing from the wheel."""
    found = {
        ".".join(("cavitylab", *p.parent.relative_to(ROOT).parts))
        for f in FOLDERS
        for p in (ROOT / f).rglob("__init__.py")
        if p.parent != ROOT / BACKEND
    }
    assert set(CONFIG["tool"]["setuptools"]["packages"]) == found | {"cavitylab", BACKEND.name}
    bare = {
        p.parent
        for f in FOLDERS
        for p in (ROOT / f).rglob("*.py")
        if not (p.parent / "__init__.py").exists()
    }
    assert not bare


def test_root_holds_no_stray_module():
    """Only the package's own two modules lie at the root; tests are no package."""
    assert {p.name for p in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}
    assert not (ROOT / "tests" / "__init__.py").exists()


def test_editor_links_match_the_root():
    """Type checkers see the checkout under the package's name."""
    links = ROOT / "tests" / "typings" / "cavitylab"
    want = {*FOLDERS, "__init__.py", "__main__.py", "py.typed"}
    assert {p.name for p in links.iterdir()} == want
    if all(p.is_symlink() for p in links.iterdir()):  # a checkout without links has text files
        assert all(p.resolve() == ROOT / p.name for p in links.iterdir())


def test_station_files_are_found_as_package_data():
    """The shipped station, its laboratory and its calibrations are readable from the package."""
    configs = files("cavitylab.station_configs")
    assert "instruments:" in configs.joinpath("two_ensemble.yaml").read_text(encoding="utf-8")
    assert configs.joinpath("two_ensemble.lab.yaml").is_file()
    assert any(p.name.endswith(".yaml") for p in configs.joinpath("calibrations").iterdir())


@pytest.mark.parametrize("name", ["estimators", "instruments", "protocols"])
def test_bare_folder_names_do_not_import(name, monkeypatch):
    """A room that needs another one cannot be loaded as a second copy from the checkout."""
    monkeypatch.syspath_prepend(str(ROOT))
    leaf = {
        "estimators": "ellipse_phase",
        "instruments": "simulated.two_ensemble_cavity",
        "protocols": "ramsey_ellipse",
    }[name]
    try:
        with pytest.raises(ImportError):
            importlib.import_module(f"{name}.{leaf}")
    finally:
        for key in [k for k in sys.modules if k.split(".")[0] == name]:
            del sys.modules[key]


def test_pyvisa_finds_the_simulated_laboratory():
    """pyvisa resolves "@cavitylab" in a fresh process that never imported the package."""
    code = "from pyvisa.highlevel import get_wrapper_class as g; print(g('cavitylab').__module__)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "cavitylab.instruments.simulated.visa"


@pytest.mark.parametrize(
    "statement",
    [
        "import cavitylab",
        "from cavitylab.console.cli import main; main(['--help'])",
        "from cavitylab.console.cli import main; main(['demo', '--help'])",
        "from cavitylab.console.cli import main; main(['station', 'check', '--help'])",
    ],
)
def test_import_and_help_load_nothing_heavy(statement):
    """The package and every --help stay instant: no scientific library is loaded for them."""
    code = (
        "import sys\n"
        f"try:\n    {statement}\nexcept SystemExit:\n    pass\n"
        f"loaded = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "print('LOADED', *loaded)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().splitlines()[-1] == "LOADED"


def test_command_and_module_tell_the_version():
    """`python -m cavitylab` is the command, and both know the version of pyproject.toml."""
    out = subprocess.run(
        [sys.executable, "-m", "cavitylab", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert cavitylab.__version__ == CONFIG["project"]["version"]
    assert out.stdout.split() == ["cavitylab", cavitylab.__version__]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """An sdist, and the wheel built from it, of a copy of the tree."""
    pytest.importorskip("build")
    pytest.importorskip("setuptools", minversion="77")
    tmp_path = tmp_path_factory.mktemp("dist")
    copy = tmp_path / "any name-1"  # built away from the tree: an old build/ would leak into it
    shutil.copytree(
        ROOT,
        copy,
        symlinks=True,
        ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "data", "*.egg-info"),
    )
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*command, str(copy)], check=True, capture_output=True)
    return next(tmp_path.glob("*.tar.gz")), next(tmp_path.glob("*.whl"))


def test_wheel_holds_the_package_and_nothing_beside_it(distributions):
    """Code, station files and the VISA entry are in the wheel; tests and benchmarks are not."""
    _, wheel = distributions
    names = zipfile.ZipFile(wheel).namelist()
    version = CONFIG["project"]["version"]
    assert {n.split("/")[0] for n in names} == {
        "cavitylab",
        "pyvisa_cavitylab",
        f"cavitylab-{version}.dist-info",
    }
    shipped = {n.removeprefix("cavitylab/") for n in names if n.startswith("cavitylab/")}
    tree = {
        p.relative_to(ROOT).as_posix()
        for f in FOLDERS
        for p in (ROOT / f).rglob("*")
        if p.suffix in {".py", ".yaml"} and p.parent != ROOT / BACKEND
    }
    assert shipped == tree | {"__init__.py", "__main__.py", "py.typed"}


def test_sdist_can_be_built_from(distributions):
    """The source distribution carries what a wheel needs."""
    sdist, _ = distributions
    with tarfile.open(sdist) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "station_configs/two_ensemble.yaml"} <= names
