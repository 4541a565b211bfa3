"""Two-tone Raman drive and squeezed-light source, on the synthesizer's wire."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qcodes.instrument import Instrument

from cavitylab.instruments.errors import LimitError, StationFileError
from cavitylab.instruments.laws import RamanExchange, TwoModeRaman
from cavitylab.instruments.simulated.faults import FaultRule
from cavitylab.instruments.station import Station
from cavitylab.models.raman_couplings import raman_exchange
from cavitylab.models.two_mode_squeezing_cavity import RamanSettings, squeezing_error

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))
Opened = Callable[..., Station]
RF = """\
instruments:
  rf:
    type: cavitylab.instruments.drivers.moglabs_xrf.MOGLabsXRF
    address: TCPIP0::192.168.10.21::7802::SOCKET
"""
TONES = "".join(
    f"""\
  {name}:
    type: cavitylab.instruments.roles.aom.Aom
    init: {{source: rf.{channel}, calibration: calibrations/raman_aom.yaml, frequency: 80.0e+6,
           max_power: 30.0}}
"""
    for name, channel in (("lowering", "ch1"), ("raising", "ch2"))
)
RAMAN = (
    TONES
    + """\
  raman:
    type: cavitylab.instruments.roles.raman_drive.RamanDrive
    init:
      source: rf
      minus: lowering
      plus: raising
      coupling: 0.5e+6
      linewidth: 2.0e+6
      detuning_minus: 1.0e+9
      detuning_plus: 1.1e+9
      max_squeezing: 1.5
      max_decay: 300.0
"""
)
EXCHANGE = (
    TONES
    + """\
  exchange:
    type: cavitylab.instruments.roles.exchange_drive.ExchangeDrive
    init:
      source: rf
      minus: lowering
      plus: raising
      coupling: 0.5e+6
      excited_detuning: 1.0e+9
      cavity_detuning: -20.0e+6
      max_exchange: 50.0
"""
)
SQUEEZED = """\
  squeezer:
    type: cavitylab.instruments.roles.squeezed_source.SqueezedSource
    init: {source: rf.ch1, calibration: calibrations/opo.yaml, frequency: 80.0e+6, max_power: 30.0,
           max_squeezing: 1.6, max_carrier: 2.0e+6, order: -1, phase_offset: 0.4}
"""
OPO = """\
kind: opo_squeezing
date: 2026-11-02
input: {name: RF power, unit: W, domain: [0.01, 1.2]}
output: {name: squeezing, unit: "1"}
parameters:
  pump_max: {value: 0.8, relative_std: 0.01}
  P_sat: {value: 1.6, unit: W, relative_std: 0.02}
"""
"""An OPO at 64 % of its threshold when the modulator diffracts best."""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens a station of one synthesizer with these roles; nothing stays open."""
    shutil.copytree(SHIPPED / "calibrations", tmp_path / "calibrations")
    (tmp_path / "calibrations" / "opo.yaml").write_text(OPO)
    aom = (SHIPPED / "calibrations" / "drive_aom.yaml").read_text()
    (tmp_path / "calibrations" / "raman_aom.yaml").write_text(aom.replace("60.0e+3", "60.0e+6"))

    def open_it(text: str) -> Station:
        (tmp_path / "station.yaml").write_text(RF + text)
        return Station.open(tmp_path / "station.yaml", rehearse="two_ensemble", seed=1)

    yield open_it
    left = [instrument.name for instrument in Instrument.instances()]
    Instrument.close_all()
    assert not left


# ---- the closed forms ---------------------------------------------------------------


@given(
    r=st.floats(0.05, 3.0),
    decay=st.floats(1.0, 1e4),
    ratio=st.floats(0.2, 5.0),
    convention=st.sampled_from(["half", "full"]),
)
def test_the_closed_forms_are_those_of_the_model(
    r: float, decay: float, ratio: float, convention: Any
) -> None:
    """Rates to Rabi frequencies and back, and the same r and gamma from the physics' own module."""
    scheme = TwoModeRaman(1e5, 1e6, (1e9, ratio * 1e9), convention == "half")
    minus, plus = scheme.rabi_frequencies(r, decay)
    assert scheme.rates(minus, plus) == (
        pytest.approx(r, rel=1e-6),
        pytest.approx(decay, rel=1e-6),
    )
    model = RamanSettings(1e5, 1e6, minus, 1e9, plus, ratio * 1e9, convention)
    assert model.squeezing == pytest.approx(r, rel=1e-6)
    assert model.collective_rate == pytest.approx(decay, rel=1e-6)
    assert scheme.squeezing_std(r, 0.006, 0.008) == pytest.approx(squeezing_error(r, 0.01))


def test_too_strong_a_raising_tone_has_no_steady_state() -> None:
    """G_+ at or above G_-."""
    scheme = TwoModeRaman(1e5, 1e6, (1e9, 1e9))
    with pytest.raises(ValueError, match="no steady state"):
        scheme.rates(1e6, 1e6)


# ---- the two-tone drive -------------------------------------------------------------


def test_r_and_gamma_reach_the_wire_as_two_powers(opened: Opened) -> None:
    """Read back from the synthesizer; r alone moves both tones, the raising one last when it grows.

    The grid of 0.01 dB of the synthesizer moves r by up to 0.12 % * sinh(2r)/2.
    """
    with opened(RAMAN) as station:
        raman: Any = station.roles["raman"]
        station.journal.clear()
        raman.set_rates(1.0, 100.0)
        assert raman.rates() == (pytest.approx(1.0, abs=5e-3), pytest.approx(100.0, rel=2e-2))
        minus = station.roles["lowering"].parameters["amplitude"]()
        assert minus == pytest.approx(math.sqrt(100 * 2e6) / 0.5e6 * math.cosh(1) * 1e9, rel=2e-3)
        station.journal.clear()
        raman.squeezing(1.1)
        raman.squeezing(0.8)
        changed = [line.split(",")[1] for line in powers(station)]
        assert changed == ["1", "2", "2", "1"]
        raman.decay(80.0)
        assert raman.rates() == (pytest.approx(0.8, abs=1e-2), pytest.approx(80.0, rel=3e-2))
        assert raman.squeezing_std(1.0, 100.0) == pytest.approx(0.5 * math.sinh(2) * 0.029, rel=0.2)
        tones = raman.tones(1.0, 100.0, 0.0, 1e-3)
        assert list(tones) == ["lowering", "raising"]
        assert station.roles["lowering"].compile(tones["lowering"]).duration >= 1e-3


def powers(station: Station) -> list[str]:
    """Settings of the power that were sent."""
    lines = [m.text for m in station.journal if m.direction == ">"]
    return [line for line in lines if line.startswith("POW,") and line.count(",") == 2]


@pytest.mark.parametrize(
    ("r", "decay", "words"),
    [
        (1.6, 50.0, "squeezing 1.6 lies outside"),
        (1.0, 400.0, "decay 400 lies outside"),
        (0.0, 100.0, "squeezing 0 lies outside"),
        (1.4, 300.0, "lowering: Rabi frequency"),
        (0.001, 1.0, "Rabi frequency"),
    ],
)
def test_what_a_limit_forbids_is_refused_before_anything_is_sent(
    opened: Opened, r: float, decay: float, words: str
) -> None:
    """The station file's r and gamma, and each modulator's own power."""
    with opened(RAMAN) as station:
        raman: Any = station.roles["raman"]
        station.journal.clear()
        with pytest.raises(LimitError, match=words):
            raman.set_rates(r, decay)
        assert not powers(station)


def test_limits_of_the_drive_only_narrow(opened: Opened) -> None:
    """A wider wish changes nothing; a narrower one holds."""
    with opened(RAMAN) as station:
        raman: Any = station.roles["raman"]
        raman.narrow("squeezing", high=9.0)
        with pytest.raises(LimitError):
            raman.set_rates(1.6, 50.0)
        raman.narrow("squeezing", high=0.5)
        with pytest.raises(LimitError, match=r"\[0, 0\.5\]"):
            raman.set_rates(0.6, 50.0)


def test_the_drive_is_safe_with_the_raising_tone_first(opened: Opened) -> None:
    """Alone it would drive all atoms up; a dead synthesizer is named."""
    with opened(RAMAN) as station:
        raman: Any = station.roles["raman"]
        raman.set_rates(1.0, 100.0)
        station.journal.clear()
        assert raman.safe().message == "both tones off"
        off = [m.text for m in station.journal if m.direction == ">" and m.text.startswith("OFF,")]
        assert off == ["OFF,2", "OFF,1"]
        assert raman.health().ok and "minus: signal off" in raman.health().text
        rehearsal: Any = station._rehearsal
        rehearsal._library.laboratory.spoil([FaultRule("rf", "mute")])
        assert not raman.health().ok
        result = raman.safe()
        assert not result.ok and "rf at" in result.message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("plus: raising", "plus: raising_tone", r"`plus` must name a role of the kind Aom"),
        ("plus: raising", "plus: rf", r"`plus` must name a role of the kind Aom"),
        ("plus: raising", "plus: lowering", "two tones need two modulators"),
        ("1.1e+9", "-1.1e+9", "must have the sign of detuning_minus"),
        ("linewidth: 2.0e+6", "linewidth: 0.0", "linewidth"),
    ],
)
def test_mistakes_of_the_drive_are_found_in_the_file(
    opened: Opened, old: str, new: str, words: str
) -> None:
    """Before anything is opened."""
    with pytest.raises(StationFileError, match=words):
        opened(RAMAN.replace(old, new))


def test_a_tone_whose_amplitude_is_a_rate_is_refused(opened: Opened) -> None:
    """r and gamma come from Rabi frequencies; found in the file, by that role's calibration."""
    before, last = RAMAN.rsplit("raman_aom.yaml", 1)
    with pytest.raises(StationFileError, match=r"`plus` names `raising`.*of kind aom_power"):
        opened(f"{before}coupling_aom.yaml{last}")


# ---- the exchange -------------------------------------------------------------------


@given(
    rabi=st.floats(1e3, 1e8), excited=st.floats(1e8, 1e10), cavity=st.floats(1e6, 1e8),
    sign=st.sampled_from([-1, 1]),
)  # fmt: skip
def test_the_exchange_is_that_of_the_model(
    rabi: float, excited: float, cavity: float, sign: int
) -> None:
    """chi of a pair of tones, to and fro."""
    scheme = RamanExchange(1e6, excited, sign * cavity)
    expected = raman_exchange(rabi, 1e6, excited, sign * cavity)
    assert scheme.exchange(rabi, rabi) == pytest.approx(expected, rel=1e-12)
    assert scheme.rabi_frequency(expected) == pytest.approx(rabi, rel=1e-12)


def test_chi_reaches_the_wire_within_its_limits(opened: Opened) -> None:
    """Two equal amplitudes, the second tone a quarter of a turn later; safe as every drive."""
    with opened(EXCHANGE) as station:
        drive: Any = station.roles["exchange"]
        drive.exchange(-25.0)
        assert drive.exchange() == pytest.approx(-25.0, rel=5e-3)
        both = [station.roles[name].parameters["amplitude"]() for name in ("lowering", "raising")]
        assert both[0] == pytest.approx(math.sqrt(25 * 20e6 / 2) / 0.5e6 * 1e9, rel=2e-3)
        assert both[0] == pytest.approx(both[1])
        tones = drive.tones(-25.0, 0.0, 1e-3)
        assert tones["raising"][0].phase_rad == pytest.approx(math.pi / 2)
        assert drive.exchange_std(-25.0) == pytest.approx(25.0 * 0.04, rel=0.3)
        station.journal.clear()
        drive.narrow("exchange", low=-30.0)
        for chi in (-51.0, 25.0, -35.0, 0.0):
            with pytest.raises(LimitError, match="exchange"):
                drive.exchange(chi)
        assert not powers(station)
        assert drive.safe().ok and drive.health().ok


def test_a_resonant_exchange_is_refused(opened: Opened) -> None:
    """With the file."""
    with pytest.raises(StationFileError, match="`cavity_detuning` must not be 0"):
        opened(EXCHANGE.replace("-20.0e+6", "0.0"))


# ---- the squeezed-light source ------------------------------------------------------


def test_r_alpha_and_carrier_reach_the_wire(opened: Opened) -> None:
    """Power for r, phase for alpha, frequency for the carrier: order -1 turns both around."""
    with opened(SQUEEZED) as station:
        source: Any = station.roles["squeezer"]
        rf: Any = station.instruments["rf"]
        source.squeezing(1.2)
        source.carrier(0.5e6)
        source.alpha(1.0)
        sine = math.tanh(0.6) / 0.8
        watts = 1.6 * (2 / math.pi * math.asin(sine)) ** 2
        assert rf.ch1.power() == pytest.approx(10 * math.log10(watts / 1e-3), abs=0.006)
        assert rf.ch1.frequency() == pytest.approx(79.0e6, abs=1.0)
        assert rf.ch1.phase() == pytest.approx(math.degrees(-0.6) % 360, abs=0.03)
        assert source.squeezing() == pytest.approx(1.2, abs=4e-3)
        assert source.carrier() == pytest.approx(0.5e6, abs=1.0)
        assert source.alpha() == pytest.approx(1.0, abs=1e-3)
        for alpha in (-3.1, 0.0, 3.1):
            source.alpha(alpha)
            assert source.alpha() == pytest.approx(alpha, abs=1e-3)
        assert 0.01 < source.squeezing_std(1.2) < 0.1


def test_limits_of_the_source_only_narrow(opened: Opened) -> None:
    """Station file, calibration, synthesizer: the narrowest; nothing is sent beyond it."""
    with opened(SQUEEZED) as station:
        source: Any = station.roles["squeezer"]
        assert source.limits("squeezing")[1] == pytest.approx(1.6)
        station.journal.clear()
        for parameter, value in (("squeezing", 1.7), ("carrier", -2.1e6), ("squeezing", -0.1)):
            with pytest.raises(LimitError, match=parameter):
                source.parameters[parameter](value)
        source.narrow("squeezing", high=1.0)
        source.narrow("carrier", low=-1e5, high=1e5)
        with pytest.raises(LimitError, match=r"squeezing 1\.2"):
            source.squeezing(1.2)
        with pytest.raises(LimitError, match="carrier 200000 Hz"):
            source.carrier(2e5)
        assert not [m for m in station.journal if m.text.startswith(("POW,1,", "FREQ,1,"))]


def test_health_and_safe_state_of_the_source(opened: Opened) -> None:
    """Vacuum is safe; light beyond the limits, set by whomever, is unfit."""
    with opened(SQUEEZED) as station:
        source: Any = station.roles["squeezer"]
        assert source.health().text == "pump off: vacuum"
        source.squeezing(0.7)
        source.carrier(0.0)
        source.start()
        assert source.health().ok and source.health().text.startswith("r = 0.7")
        station.instruments["rf"].ch1.frequency(90e6)
        assert not source.health().ok and "carrier" in source.health().text
        assert source.safe().message == "pump off: vacuum"
        assert source.health().ok
        rehearsal: Any = station._rehearsal
        rehearsal._library.laboratory.spoil([FaultRule("rf", "mute")])
        assert not source.safe().ok and not source.health().ok


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_power: 30.0", "max_power: 5.0", "max_power"),
        ("max_squeezing: 1.6", "max_squeezing: 0.01", "max_squeezing"),
        ("max_carrier: 2.0e+6", "max_carrier: 4.0e+7", "max_carrier"),
        ("opo.yaml", "drive_aom.yaml", "must be of kind opo_squeezing"),
    ],
)
def test_mistakes_of_the_source_are_found_in_the_file(
    opened: Opened, old: str, new: str, words: str
) -> None:
    """Before anything is opened."""
    with pytest.raises(StationFileError, match=words):
        opened(SQUEEZED.replace(old, new))


def test_an_opo_beyond_its_threshold_is_no_calibration(opened: Opened, tmp_path: Path) -> None:
    """There r has no value."""
    path = tmp_path / "calibrations" / "opo.yaml"
    path.write_text(OPO.replace("value: 0.8", "value: 1.2"))
    with pytest.raises(StationFileError, match="passes its threshold"):
        opened(SQUEEZED)
