"""Every command that cloudtune prints works as it is printed, in a shell, in the folder where it was printed."""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import job_of
from command_server import served_commands
from places import profile_of, write_profiles

from cloudtune import api
from cloudtune.cli.app import run_app

pytestmark = pytest.mark.xdist_group("commands")  # whose server is started once

JOB = """\
name: line
trial: {source: ., command: python train.py}
objective: {metric: score, goal: maximize}
space: {x: {type: float, low: 0, high: 1}}
strategy: {type: random}
limits: {trials: 2, parallel: 1}
"""
SCRIPT = "import cloudtune.trial as t\nt.report(score=t.params()['x'])\n"
WAITS = """\
import pathlib, time
import cloudtune.trial as t
pathlib.Path({begun!r}).touch()
while not pathlib.Path({go!r}).exists():
    time.sleep(0.02)
t.report(score=t.params()['x'])
"""
OPTIONS = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--x', type=float, default=1.0)\nprint(p.parse_args())\n"
SWEEP = (
    "method: random\nmetric: {name: score, goal: maximize}\nprogram: train.py\nparameters: {x: {min: 0.1, max: 1.0}}\n"
)

_WORD = r"(?!and\b|or\b|in\b)(?:'[^']*'|[\w./=@:+-]*[\w/])"
COMMAND = re.compile(rf"`((?:cd [^`]* && )?cloudtune [^`]*)`|((?:cd (?:'[^']*'|\S+) && )?\bcloudtune(?: {_WORD})+)")
"""A command in a text: between backticks, or as many words as read like a command's."""


def commands_in(text: str) -> list[str]:
    """The commands of a text, each once."""
    told = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("Usage: ", "Try ")))
    return list(dict.fromkeys(found[1] or found[2] for found in COMMAND.finditer(told)))


@dataclass
class Shell:
    """Runs what stands in a line of text, in a folder."""

    folder: Path
    environment: Mapping[str, str]

    def __call__(self, line: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", line], cwd=folder or self.folder, env=dict(self.environment), text=True, timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip

    def popen(self, line: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["bash", "-c", f"exec {line}"], cwd=self.folder, env=dict(self.environment), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def all_work(self, text: str) -> list[str]:
        """Run each command of a text, which shall do what it says, and return their verbs."""
        verbs = []
        for line in commands_in(text):
            assert self.works(line), line
            verbs.append(next(word for word in re.sub(r"^.*cloudtune( -C ('[^']*'|\S+))?", "", line).split()))
        return sorted(verbs)

    def works(self, line: str) -> bool:
        if " emulate " in line:
            serving = self.popen(line)
            assert serving.stdout is not None
            for said in serving.stdout:
                if said.startswith("# "):
                    break
            serving.send_signal(signal.SIGINT)
            serving.stdout.close()
            return serving.wait(100) == 0
        done = self(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}"
        return True


LOADED = (
    *("cloudtune.cli.launching", "cloudtune.cli.looking", "cloudtune.cli.jobfile", "cloudtune.looking.progress"),
    *("cloudtune.report", "cloudtune.process.tail", "cloudtune_local.provider", "cloudtune_local.processes"),
    *("cloudtune_sagemaker.provider", "cloudtune_sagemaker.translate", "cloudtune_sagemaker.tuner"),
    *("cloudtune_sagemaker.emulator.server", "numpy", "boto3", "moto.backends"),
)
"""What the commands here load."""


@pytest.fixture(scope="module")
def commands() -> Iterator[Path]:
    """The folder of the command ``cloudtune``, which need not import everything each time."""
    with served_commands(*LOADED) as folder:
        yield folder


@pytest.fixture
def shell(tmp_path: Path, commands: Path) -> Shell:
    folder = tmp_path / "my tuning"
    folder.mkdir()
    (folder / "job.yaml").write_text(JOB)
    (folder / "train.py").write_text(SCRIPT)
    temporary = tmp_path / "for a while"
    temporary.mkdir()
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    return Shell(folder, {**os.environ, "PATH": path, "TMPDIR": str(temporary), "NO_COLOR": "1"})


def unremembered(shell: Shell) -> Shell:
    """The shell of a user whose index of projects cannot be written, in another folder than the project's."""
    elsewhere = shell.folder.parent / "else where"
    elsewhere.mkdir()
    return Shell(elsewhere, {**shell.environment, "XDG_DATA_HOME": "/dev/null/none"})


def test_commands_are_found_in_what_is_printed() -> None:
    text = (
        "see why with: cloudtune trials a-1 and cloudtune logs a-1\n`cloudtune resume a-1` goes on; "
        "next: cd 'a b' && cloudtune run job.yaml, more: cloudtune -C '/x y' show a-1."
    )
    assert commands_in(text) == [
        "cloudtune trials a-1",
        "cloudtune logs a-1",
        "cloudtune resume a-1",
        "cd 'a b' && cloudtune run job.yaml",
        "cloudtune -C '/x y' show a-1",
    ]


PLACES: list[Any] = [
    ("local", True),
    ("local", False),  # the user's index of projects, by which runs are found from everywhere, cannot be written
    ("aws --emulate", True),
    pytest.param("aws --emulate", False, marks=pytest.mark.complete),
]


def test_after_an_emulated_run(shell: Shell) -> None:
    done = shell("cloudtune run job.yaml --on aws --emulate")
    assert done.returncode == 0, done.stdout
    assert shell.all_work(done.stdout) == ["report", "trials"]


@pytest.mark.parametrize(
    ("on", "remembered"), [*PLACES[:2], pytest.param(*PLACES[2], marks=pytest.mark.complete), PLACES[3]]
)
def test_after_a_run_that_failed(shell: Shell, on: str, remembered: bool) -> None:
    (shell.folder / "train.py").write_text("raise SystemExit(3)\n")
    line = f"cloudtune run job.yaml --on {on}"
    if not remembered:
        shell = unremembered(shell)
        line = f"cloudtune -C ../'my tuning' run ../'my tuning/job.yaml' --on {on}"
    done = shell(line)
    assert done.returncode == 1, done.stdout
    verbs = shell.all_work(done.stdout)
    assert {"logs", "trials"} <= set(verbs), done.stdout
    shown = shell("cloudtune show" if remembered else "cloudtune -C ../'my tuning' show")
    assert set(shell.all_work(shown.stdout)) <= {"trials"}


@pytest.mark.parametrize(("on", "remembered"), PLACES)
def test_after_a_run_that_was_interrupted(shell: Shell, on: str, remembered: bool) -> None:
    folder, begun, go = shell.folder, shell.folder / "begun", shell.folder / "go"
    (folder / "train.py").write_text(WAITS.format(begun=str(begun), go=str(go)))
    line = f"cloudtune run job.yaml --set mode=driven --on {on}"
    if not remembered:
        shell = unremembered(shell)
        line = f"cloudtune -C ../'my tuning' run ../'my tuning/job.yaml' --set mode=driven --on {on}"
    running = shell.popen(line)

    def until(seen: Callable[[], bool]) -> None:
        while not seen():
            assert running.poll() is None, running.stdout and running.stdout.read()
            threading.Event().wait(0.02)

    until(begun.exists)
    running.send_signal(signal.SIGINT)
    events = api.attach("latest", project=folder).events
    until(
        lambda: any("no more are launched" in event for _, _, event in events())
    )  # the signal goes by way of a server
    go.touch()
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 130, said
    shown = shell("cloudtune show" if remembered else "cloudtune -C ../'my tuning' show")
    assert set(commands_in(shown.stdout)) <= set(commands_in(said))
    assert shell.all_work(said) == ["report", "resume", "trials"]


def test_an_error_on_the_way_says_what_goes_on_and_one_before_leads_to_no_other_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cloudtune_vertex.emulator import Emulator  # beside the provider, where that is installed

    with Emulator() as emulator:
        write_profiles(tmp_path, there=profile_of("vertex", emulator.environment))
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "job.yaml").write_text(job_of(tmp_path).to_yaml())
        emulator.faults.expired = 1.0
        assert run_app(["run", "job.yaml", "--on", "there", "-q"]) == 4
        refused = capsys.readouterr().err
        assert "log in again" in refused
        assert commands_in(refused) == []
        emulator.faults.expired = 0.0
        assert run_app(["run", "job.yaml", "--on", "there", "--detach"]) in (0, None)
        capsys.readouterr()
        emulator.faults.expired = 1.0
        assert run_app(["resume", "-q"]) == 4
        said = capsys.readouterr().err
        (record,) = api.runs()
        assert commands_in(said) == [f"cloudtune resume {record.id}"], said
        emulator.faults.expired = 0.0
        assert run_app(["resume", record.id, "-q"]) in (0, None)


def test_a_run_that_is_refused_leads_nowhere(shell: Shell) -> None:
    done = shell("cloudtune run job.yaml --on aws")
    assert done.returncode == 3, done.stdout
    assert commands_in(done.stdout) == []
    told = shell("cloudtune run job.yaml --on aws --emulate --detach")
    assert told.returncode == 2
    assert shell.all_work(told.stdout) == ["emulate"]


REFUSED: dict[str, tuple[str, Callable[[Path], Any], list[str]]] = {
    "a sweep": ("cloudtune run 'a sweep.yaml'", lambda at: (at / "a sweep.yaml").write_text(SWEEP), ["import"]),
    "a sweep like an option": ("cloudtune run -- -a.yaml", lambda at: (at / "-a.yaml").write_text(SWEEP), ["import"]),
    "a program": ("cloudtune run 'the code/a b.py'", lambda at: program(at / "the code" / "a b.py"), ["init"]),
    "nothing": ("cloudtune run", lambda at: (at / "job.yaml").unlink(), ["init"]),
    "no export": ("cloudtune export job.yaml --to local", lambda at: None, ["plan"]),
    "no run": ("cloudtune show", lambda at: None, ["ls"]),
    "no such run": ("cloudtune run job.yaml -q >/dev/null; cloudtune show none", lambda at: None, ["ls"]),
    "no such trial": ("cloudtune run job.yaml -q >/dev/null; cloudtune logs 77", lambda at: None, ["trials"]),
}


def program(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(OPTIONS)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_what_to_do(case: str, shell: Shell) -> None:
    line, prepare, verbs = REFUSED[case]
    prepare(shell.folder)
    done = shell(line)
    assert done.returncode, done.stdout
    assert shell.all_work(done.stdout) == verbs, done.stdout


def test_from_another_folder_the_lists_of_a_project_are_asked_for_there(shell: Shell) -> None:
    assert shell("cloudtune run job.yaml -q").returncode == 0
    other = unremembered(shell)
    for line in ("cloudtune -C ../'my tuning' show none", "cloudtune -C ../'my tuning' logs 77"):
        done = other(line)
        assert done.returncode, done.stdout
        assert "'../my tuning'" in done.stdout or f"'{shell.folder}'" in done.stdout
        assert len(other.all_work(done.stdout)) == 1


BY_DEFAULT = (("--from 'FOLDER/a b.py'", "''"), ("--from 'FOLDER/a b.py'", "'a b'"), ("", "-- -x"))
"""Of where `init` writes and what from: each of these once."""


@pytest.mark.parametrize(
    ("origin", "folder"),
    [
        pytest.param(*cell, marks=() if cell in BY_DEFAULT else pytest.mark.complete)
        for cell in itertools.product(("", "--from 'FOLDER/a b.py'"), ("''", "'a b'", "-- -x"))
    ],
)
def test_what_init_says_and_writes(folder: str, origin: str, shell: Shell) -> None:
    name = folder.removeprefix("-- ").strip("'") or "."
    start = shell.folder.parent / "start"
    start.mkdir()
    shell = Shell(start, shell.environment)
    if origin:
        (start / name).mkdir(exist_ok=True)
        (start / name / "a b.py").write_text(OPTIONS)
    where = "" if folder == "''" else folder
    done = shell(f"cloudtune init {origin.replace('FOLDER', f'./{name}')} {where}")
    assert done.returncode == 0, done.stdout
    told = commands_in(done.stdout)
    assert [line.partition("cloudtune ")[2] for line in told] == ["run job.yaml --report report.html"]
    entered = told[0].partition(" && ")[0] if " && " in told[0] else "true"
    for line in commands_in((start / name / "job.yaml").read_text()):
        ran = shell(f"{entered} && {line}{'' if 'run' not in line or origin else ' --trials 1'} ")
        assert (ran.returncode == 0) != (bool(origin) and "run" in line), (
            ran.stdout
        )  # what argparse prints is no metric
    if not origin:
        assert shell.all_work(f"{done.stdout}") == ["run"]


def test_what_import_export_plan_and_cancel_say(shell: Shell) -> None:
    (shell.folder / "a sweep.yaml").write_text(SWEEP)
    lines = (
        "cloudtune import 'a sweep.yaml' --from wandb -o 'a job.yaml'",
        "cloudtune export job.yaml --to katib --set trial.image=a -o 'an experiment.yaml'",
        "cloudtune plan job.yaml",
        "cloudtune plan job.yaml --on local,aws",
        "cloudtune run job.yaml --detach -q",
        "cloudtune cancel",
        "cloudtune cancel",
        "cloudtune rm --all-ended",
        "cloudtune gc",
    )
    for line in lines:
        done = shell(line)
        assert done.returncode in (0, 3), done.stdout
        assert set(shell.all_work(done.stdout)) <= {"show"}, done.stdout


def test_the_list_of_all_projects_and_that_of_an_empty_one(shell: Shell) -> None:
    empty = shell("cloudtune ls")
    assert shell.all_work(empty.stdout) == ["ls", "run"], empty.stdout
    elsewhere = Shell(shell.folder.parent / "else where", shell.environment)
    elsewhere.folder.mkdir()
    listed = elsewhere("cloudtune ls --all-projects")
    assert str(shell.folder) in listed.stdout
    assert elsewhere("cloudtune ls").returncode == 0
    there = f"cloudtune -C '{elsewhere.folder}' ls"
    assert shell.all_work(shell(there).stdout) == ["init", "ls"]
    (elsewhere.folder / "job.yaml").write_text(JOB)
    (elsewhere.folder / "train.py").write_text(SCRIPT)
    assert shell.all_work(shell(there).stdout) == ["ls", "run"]


@pytest.mark.parametrize(
    "provider", ["sagemaker", *(pytest.param(name, marks=pytest.mark.complete) for name in ("vertex", "azureml"))]
)
def test_a_shell_takes_the_variables_that_emulate_prints(provider: str, shell: Shell) -> None:
    (shell.folder / "cloudtune.toml").write_text(f'[profiles.team]\nprovider = "{provider}"\n')
    line = (
        "cloudtune emulate team >../variables 2>../said & trap 'kill -INT $!; wait $!' EXIT; "
        "until grep -q '^# ' ../said; do kill -0 $! || exit 9; sleep 0.05; done; . ../variables && "
        "cloudtune run job.yaml --on team -q"
    )
    done = shell(line)
    assert done.returncode == 0, done.stdout + (shell.folder.parent / "said").read_text()
    assert "2 completed" in done.stdout
