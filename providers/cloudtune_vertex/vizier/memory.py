"""What a run keeps of its study for the next driver: its name, and whether it was an emulator's."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cloudtune.driver.listeners import on_this_machine
from cloudtune.errors import ConfigError
from cloudtune_vertex.client import Google

_FILE = "vizier.json"


@dataclass(frozen=True, slots=True)
class Memory:
    """What the run's folder keeps.

    Attributes:
        file: in which it is kept; None for a search apart from any run.
        name: of the study, in full; "" before there is one.
        emulator: the address of the emulator that the study is in; "" at the service itself.
    """

    file: Path | None
    name: str = ""
    emulator: str = ""

    @classmethod
    def of(cls, folder: Path | None) -> Self:
        """Return what a run's folder keeps."""
        if folder is None or not (folder / _FILE).is_file():
            return cls(None if folder is None else folder / _FILE)
        said = json.loads((folder / _FILE).read_text("utf-8"))
        return cls(folder / _FILE, said["study"], said["emulator"])

    def study(self, google: Google) -> str:
        """Return the full name of the run's study; "" where there is none yet, or another emulator would have it.

        Raises:
            ConfigError: the study was in an emulator, and here the service itself would be asked, or the other way round.
        """
        here = _emulator(google)
        if self.name and bool(self.emulator) != bool(here):
            raise ConfigError(
                f"the study of the run is in the emulator at {self.emulator}, and here Vertex AI itself would be asked; run "
                "`cloudtune emulate vertex` in another terminal, set the variables that it prints, and resume"
                if self.emulator
                else f"the study of the run, {self.name}, is at Vertex AI, and here an emulator would be asked ({here})"
            )
        return self.name if self.emulator == here else ""

    def keep(self, google: Google, name: str) -> None:
        """Keep the name of the study."""
        if self.file is not None and (name, _emulator(google)) != (self.name, self.emulator):
            text = json.dumps({"study": name, "emulator": _emulator(google)})
            written = self.file.with_suffix(".new")
            written.write_text(text, "utf-8")
            written.replace(self.file)


def _emulator(google: Google) -> str:
    endpoint = google.settings.endpoint
    return endpoint if endpoint is not None and on_this_machine(endpoint) else ""
