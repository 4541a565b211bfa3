"""Calibrations: the two directions agree, gradients are right, and bad ones are refused."""

from __future__ import annotations

import datetime
import math
from importlib import resources
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.instruments.calibration import Calibration
from cavitylab.instruments.errors import CalibrationError

DATE = datetime.date(2026, 11, 2)


def calibration(kind: Any = "aom_amplitude", **changes: Any) -> Calibration:
    """A sound calibration of each kind, with `changes`."""
    known: dict[str, dict[str, Any]] = {
        "aom_amplitude": {
            "parameters": {"f_max": 60e3, "P_sat": 1.6},
            "domain": (1e-4, 1.6),
            "input_unit": "W",
            "output_unit": "Hz",
        },
        "aom_power": {
            "parameters": {"G_max": 200.0, "P_sat": 1.6},
            "domain": (1e-4, 1.6),
            "input_unit": "W",
            "output_unit": "Hz",
        },
        "linear": {
            "parameters": {"slope": -250.0, "offset": 3.0},
            "domain": (-12.0, 12.0),
            "input_unit": "A",
            "output_unit": "Hz",
        },
        "counts": {
            "parameters": {"gain": 100.0, "background": 50.0},
            "domain": (0.0, 1000.0),
            "input_unit": "atoms",
            "output_unit": "counts",
            "conditions": {"gate_time": 5e-3},
        },
    }
    values = {"covariance": np.diag([1e-2, 1e-4]), "date": DATE, **known[kind], **changes}
    return Calibration(kind=kind, **values)


KINDS = st.sampled_from(["aom_amplitude", "aom_power", "linear", "counts"])
SHARE = st.floats(0.0, 1.0)


@given(kind=KINDS, share=SHARE)
def test_inverse_undoes_forward_on_the_whole_domain(kind: str, share: float) -> None:
    """From the instrument's value to the physicist's and back gives the same value."""
    one = calibration(kind)
    low, high = one.domain
    x = low + share * (high - low)
    # near P_sat the sine is flat: rounding of y moves x by sqrt(machine precision)
    assert one.inverse(one.forward(x)) == pytest.approx(x, rel=1e-6, abs=1e-7 * (high - low))


@given(kind=KINDS, share=SHARE)
def test_forward_undoes_inverse_on_the_whole_range(kind: str, share: float) -> None:
    """Every value of the range is reached by the setting that the inverse gives."""
    one = calibration(kind)
    low, high = one.range
    y = low + share * (high - low)
    assert one.forward(one.inverse(y)) == pytest.approx(y, rel=1e-9, abs=1e-9)


@given(kind=KINDS, share=st.floats(0.01, 0.97), index=st.sampled_from([0, 1]))
@settings(max_examples=50)
def test_gradient_is_the_derivative_by_each_parameter(kind: str, share: float, index: int) -> None:
    """The closed-form gradient agrees with finite differences."""
    one = calibration(kind, domain=(0.1, 1.5))
    x = 0.1 + share * 1.4
    name = one.names[index]
    step = 1e-6 * abs(one.parameters[name])

    def moved(by: float) -> float:
        changed = {**one.parameters, name: one.parameters[name] + by}
        return calibration(kind, domain=(0.1, 1.5), parameters=changed).forward(x)

    difference = (moved(step) - moved(-step)) / (2 * step)
    assert one.gradient(x)[index] == pytest.approx(difference, rel=1e-5, abs=1e-8)
    relative = one.gradient(x)[index] * one.parameters[name] / one.forward(x)
    assert one.relative_gradient(x)[index] == pytest.approx(relative)


def test_rabi_frequency_follows_the_sine_of_the_field() -> None:
    """A quarter of P_sat gives f_max / sqrt(2); a power calibration gives half of G_max."""
    assert calibration("aom_amplitude").forward(0.4) == pytest.approx(60e3 / math.sqrt(2))
    assert calibration("aom_power").forward(0.4) == pytest.approx(100.0)


def test_uncertainty_of_a_setpoint_is_propagated_with_correlations() -> None:
    """The spread of forward() over drawn parameters is the std that is stated (1e-4 alarm)."""
    covariance = np.array([[1.2e3**2, 0.5 * 1.2e3 * 0.03], [0.5 * 1.2e3 * 0.03, 0.03**2]])
    one = calibration(covariance=covariance, domain=(0.05, 0.9))
    rng = np.random.default_rng(7)
    draws = rng.multivariate_normal([60e3, 1.6], covariance, size=4000)
    values = [draw[0] * math.sin(math.pi / 2 * math.sqrt(0.6 / draw[1])) for draw in draws]
    # the relative error of a std of 4000 normal draws is 1/sqrt(8000) = 1.1 %: 4.5 sigma
    assert np.std(values) == pytest.approx(one.std(0.6), rel=0.05)
    gradient = one.relative_gradient(0.6)
    relative = math.sqrt(gradient @ one.relative_covariance @ gradient)
    assert relative == pytest.approx(one.relative_std(0.6))


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("aom_amplitude", {"domain": (0.0, 2.0)}, "passes its maximum"),
        ("aom_amplitude", {"domain": (-0.1, 1.0)}, "cannot be negative"),
        ("aom_power", {"parameters": {"G_max": 0.0, "P_sat": 1.6}}, "must be positive"),
        ("linear", {"parameters": {"slope": 0.0, "offset": 1.0}}, "slope is 0"),
        ("linear", {"domain": (2.0, 2.0)}, "the smaller first"),
        ("linear", {"domain": (0.0, math.inf)}, "finite"),
        ("counts", {"parameters": {"gain": 100.0}}, "gain, background"),
        ("counts", {"parameters": {"gain": math.nan, "background": 1.0}}, "finite"),
        ("linear", {"covariance": np.array([[1.0, 2.0], [2.0, 1.0]])}, "negative eigenvalue"),
        ("linear", {"covariance": np.eye(3)}, "2 x 2"),
    ],
)
def test_a_calibration_that_cannot_be_inverted_is_refused(
    kind: str, changes: dict[str, Any], words: str
) -> None:
    """Not monotone, incomplete or with an impossible covariance: an error that says which."""
    with pytest.raises(CalibrationError, match=words):
        calibration(kind, **changes)


def test_values_outside_the_domain_are_refused_with_the_limits() -> None:
    """Extrapolation is an error in both directions and names where the calibration holds."""
    one = calibration("linear", output_name="detuning difference")
    with pytest.raises(CalibrationError, match=r"12\.5 A lies outside \[-12, 12\] A"):
        one.forward(12.5)
    with pytest.raises(CalibrationError, match="detuning difference 4000 Hz lies outside"):
        one.inverse(4000.0)


def test_counts_scale_with_the_gate_time() -> None:
    """Twice the gate gives twice the gain and background, with the same relative spread."""
    one = calibration("counts").at_gate(10e-3)
    assert one.parameters == {"gain": 200.0, "background": 100.0}
    assert one.relative_covariance == pytest.approx(calibration("counts").relative_covariance)
    with pytest.raises(CalibrationError, match="gate_time"):
        calibration("linear").at_gate(1e-3)


def test_hash_is_of_the_content() -> None:
    """Equal content has an equal hash; any change of it another."""
    assert calibration() == calibration()
    assert calibration().hash == calibration().hash
    assert calibration().hash != calibration(domain=(1e-4, 1.5)).hash
    assert calibration() != calibration("linear")


GOOD = """\
# drive
kind: aom_amplitude
date: 2026-11-02
input: {name: RF power, unit: W, domain: [1.0e-4, 1.2]}
output: {name: Rabi frequency, unit: Hz}
parameters:
  f_max: {value: 60.0e+3, unit: Hz, relative_std: 0.02}
  P_sat: {value: 1.6, unit: W, std: 0.032}
correlations:
  - [f_max, P_sat, 0.3]
"""


def test_a_calibration_is_read_from_a_file(tmp_path: Any) -> None:
    """Absolute and relative spreads and correlations give the covariance."""
    path = tmp_path / "drive.yaml"
    path.write_text(GOOD)
    one = Calibration.load(path)
    assert one.parameters == {"f_max": 60e3, "P_sat": 1.6}
    assert one.covariance == pytest.approx(
        np.array([[1200.0**2, 0.3 * 1200 * 0.032], [0.3 * 1200 * 0.032, 0.032**2]])
    )
    assert one.domain == (1e-4, 1.2)
    assert one.date == DATE
    path.write_text(GOOD.replace("# drive", "# another remark"))
    assert Calibration.load(path).hash == one.hash


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("kind: aom_amplitude", "kind: aom_amplitud", 2, "`kind` must be 'aom_amplitude'"),
        ("date: 2026-11-02", "date: yesterday", 3, "date such as"),
        ("unit: W, domain", "unit: mW, domain", 4, "must be W, but is 'mW'"),
        ("domain: [1.0e-4, 1.2]", "domain: [1.0e-4, 2.5]", 4, "passes its maximum"),
        ("domain: [1.0e-4, 1.2]", "domian: [1.0e-4, 1.2]", 4, "did you mean `domain`"),
        ("f_max: {", "fmax: {", 7, "unknown parameter `fmax`.*did you mean `f_max`"),
        ("value: 1.6", "value: a lot", 8, "must be a number, but is 'a lot'"),
        (", std: 0.032", "", 8, "either `std`"),
        ("relative_std: 0.02", "relative_std: -1.0", 7, "greater than or equal to 0"),
        ("P_sat, 0.3]", "P_sat, 1.3]", 10, "between -1 and 1"),
        ("kind: aom_amplitude", "kind: [", 4, "not valid YAML.* from line 2"),
    ],
)
def test_mistakes_in_a_file_are_named_with_their_line(
    tmp_path: Any, old: str, new: str, line: int, words: str
) -> None:
    """Every mistake gives the file, the line, and what would be right."""
    path = tmp_path / "drive.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(CalibrationError, match=words) as caught:
        Calibration.load(path)
    assert f"{path}:{line}: " in str(caught.value)


def test_a_counts_calibration_needs_its_gate_time(tmp_path: Any) -> None:
    """Without it gain and background could not be scaled to another gate."""
    shipped = resources.files("cavitylab.station_configs") / "calibrations" / "detector.yaml"
    path = tmp_path / "detector.yaml"
    path.write_text(shipped.read_text().replace("conditions: {gate_time: 5.0e-3}\n", ""))
    with pytest.raises(CalibrationError, match="needs the gate time"):
        Calibration.load(path)


def test_all_mistakes_of_a_file_come_at_once(tmp_path: Any) -> None:
    """One reading shows everything there is to mend."""
    path = tmp_path / "drive.yaml"
    path.write_text(GOOD.replace("unit: W, domain", "unit: mW, domain").replace("f_max: {", "f: {"))
    with pytest.raises(CalibrationError, match="3 mistakes") as caught:
        Calibration.load(path)
    for words in ("must be W", "unknown parameter `f`", "`f_max` of kind"):
        assert words in str(caught.value)


def test_a_missing_file_is_a_calibration_error(tmp_path: Any) -> None:
    """No traceback of the file system: the file is named."""
    with pytest.raises(CalibrationError, match=r"nowhere\.yaml cannot be read"):
        Calibration.load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("name", ["drive_aom", "coupling_aom", "gradient_coil", "detector"])
def test_shipped_calibrations_are_sound(name: str) -> None:
    """Every calibration that travels with the package can be read."""
    folder = resources.files("cavitylab.station_configs") / "calibrations"
    one = Calibration.load(str(folder / f"{name}.yaml"))
    assert one.relative_std(one.domain[1]) > 0
