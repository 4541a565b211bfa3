"""The QCoDeS Station underneath: fed with the text that was checked, not with the file again."""

from __future__ import annotations

from functools import lru_cache
from io import StringIO

from qcodes.station import Station as QcodesStation
from ruamel.yaml import YAML

from .station_file import StationFile

__all__ = ["ValidatedStation"]


class ValidatedStation(QcodesStation):
    """A QCoDeS Station of one checked file.

    QCoDeS reads its file again for every instrument that it loads; between the
    check and the last of them the file may have changed.
    """

    def __init__(self, file: StationFile) -> None:
        self._checked_text = file.text
        self._loaded = False
        super().__init__(use_monitor=False, default=False, update_snapshot=False)

    def load_config_files(self, *filenames: str) -> None:
        """Load the checked text, once."""
        if not self._loaded:
            self._loaded = True
            self.load_config(_without_wanted(self._checked_text))


@lru_cache(maxsize=16)
def _without_wanted(text: str) -> str:
    """The text without the key that QCoDeS does not know; unchanged if it is not used."""
    yaml = YAML()
    content = yaml.load(text)
    entries = [entry for entry in content["instruments"].values() if "wanted" in entry]
    if not entries:
        return text
    for entry in entries:
        del entry["wanted"]
    shortened = StringIO()
    yaml.dump(content, shortened)
    return shortened.getvalue()
