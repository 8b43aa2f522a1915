"""Targets of another package: published to by their name, in Python and on the command line."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up import install
from published_runs import StagedRun, finished_run, trial

from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError
from cloudtune.plugins.entry_points import TARGETS
from cloudtune.publishing import publisher_of

BOARD = '''
    """A target as somebody else would publish it: a text file with a line for each ended trial."""

    from pathlib import Path

    from cloudtune.publishing import Target


    class BoardTarget(Target):
        name = "board"

        @property
        def place(self):
            return f"board {self.run_id}"

        @property
        def look(self):
            return f"cat {self.address}"

        def open(self):
            self.path = Path(self.raw_address)
            self.find()

        def find(self):
            self.lines = self.path.read_text().splitlines() if self.path.exists() else []

        def take_trial(self, trial, reports):
            line = f"{self.run_id} {trial.number} {trial.state.value}"
            if trial.state.ended and line not in self.lines:
                self.lines.append(line)
                self.path.write_text("\\n".join(self.lines) + "\\n")

        def take_run(self, record, ended):
            self.note(f"{len(ended)} trials")


    class NoTarget: ...
'''


@pytest.fixture(autouse=True)
def _board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))
    points = {"board": "tune_board:BoardTarget", "none": "tune_board:NoTarget", "gone": "tune_gone:Target"}
    install(place, "tune-board", {TARGETS: points}, {"tune_board": BOARD})
    yield
    sys.modules.pop("tune_board", None)


def test_a_run_is_published_to_it_once_however_often(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "board")
    (first,) = run.publish(to={"board": tmp_path / "board.txt"})
    lines = (tmp_path / "board.txt").read_text().splitlines()
    assert len(lines) == len(run.trials())
    assert first.target == "board"
    assert first.look == f"cat {tmp_path / 'board.txt'}"
    assert run.publish(to={"board": str(tmp_path / "board.txt")}) == [first]
    assert (tmp_path / "board.txt").read_text().splitlines() == lines


def test_the_command_line_takes_its_name_and_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished_run(tmp_path, "board")
    monkeypatch.chdir(tmp_path)
    assert run_app(["publish", run.id, "--to", "board=here.txt"]) == 0
    assert f"board: board {run.id}" in capsys.readouterr().out
    assert len(Path("here.txt").read_text().splitlines()) == len(run.trials())
    assert run_app(["publish", run.id, "--to", "tensorboard=logs"]) == 0, "ours have names as well"
    assert list(Path("logs").rglob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "bord=x"], "there is no target 'bord'; did you mean 'board'?"),
        (["--to", "nothing=x"], "those of other packages have to be installed: entry points cloudtune.targets"),
        (["--to", "board"], "--to takes NAME=ADDRESS, not 'board'"),
        (["--to", "board=x", "--to", "board=y"], "two addresses of board"),
        (["--optuna", "sqlite:///a.db", "--to", "optuna=x"], "two addresses of optuna"),
        (["--to", "none=x"], "the target 'none' (tune_board:NoTarget of tune-board) is no subclass"),
        (["--to", "gone=x"], "the target 'gone' (tune_gone:Target of tune-board) cannot be loaded"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = finished_run(tmp_path, "board")
    monkeypatch.chdir(tmp_path)
    assert run_app(["publish", run.id, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_target_that_is_no_target_is_named(tmp_path: Path) -> None:
    staged = StagedRun(tmp_path)
    staged.tell(trial(0))
    with pytest.raises(ConfigError, match=r"'none' .tune_board:NoTarget of tune-board. is no subclass of"):
        publisher_of(staged, to={"none": "x"})
