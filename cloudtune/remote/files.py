"""Bring what trials left in the folder of a driver's run, which goes with the driver: their logs and outputs.

Launchers of providers that keep them there, such as Ray's, need no other place for them. They travel as the journal does.
"""

from pathlib import Path

from cloudtune.remote.journal import Journal
from cloudtune.spec.units import format_size
from cloudtune.store.records import Trial

MOST = 100 << 20
"""Bytes of one trial's outputs that travel."""

_FOLDERS = "trials/{:05d}", "parts/*/trials/{:05d}"
"""Where in a run's folder a trial's files are, also of a run on several profiles."""

_LOGS = "log*.txt", "printed-*.txt"
"""Files with what a trial has printed."""

_COMPARED = 4096
"""Bytes before the end of what was sent by which a file is known to have only grown."""

_PIECE = 120_000
"""Bytes of one entry: see `cloudtune.remote.journal`."""


class Sender:
    """Prints new parts of the logs of a run's trials, and the outputs of those that have ended.

    Args:
        run: whose driver this process is.
    """

    def __init__(self, run: Journal) -> None:
        self._run = run
        self._sent: dict[Path, tuple[int, bytes]] = {}  # how much, and the end of it
        self._done: set[int] = set()

    def look(self) -> None:
        """Send what is new."""
        for trial in self._run.trials():
            if trial.number not in self._done and trial.place:
                self._look_at(trial)

    def _look_at(self, trial: Trial) -> None:
        for folder in (each for name in _FOLDERS for each in self._run.folder.glob(name.format(trial.number))):
            for log in sorted(each for name in _LOGS for each in folder.glob(name)):
                self._send(log)
            if trial.state.ended:
                self._send_outputs(trial, folder / "output")
        if trial.state.ended:
            self._done.add(trial.number)

    def _send_outputs(self, trial: Trial, folder: Path) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        size = sum(path.stat().st_size for path in files)
        if size > MOST:
            said = f"its outputs are {format_size(size)}, and no more than {format_size(MOST)} travel; say where they go: output"
            self._run.write(events=[(trial.number, said)])
            return
        for path in files:
            self._send(path)

    def _send(self, path: Path) -> None:
        """Send a file from where it was sent to; all of it where it is another one there, as a log whose middle is taken out."""
        with path.open("rb") as file:
            size, known, end = file.seek(0, 2), *self._sent.get(path, (-1, b""))
            file.seek(max(known - len(end), 0))
            if known < 0 or size < known or file.read(len(end)) != end:
                known, end = 0, b""
            elif size == known:
                return
            file.seek(known)
            while True:
                piece = file.read(_PIECE)
                name = path.relative_to(self._run.folder).as_posix()
                self._run.send_file(name, known, piece, path.stat().st_mode & 0o777)
                known, end = known + len(piece), (end + piece)[-_COMPARED:]
                if len(piece) < _PIECE:
                    break
        self._sent[path] = known, end
