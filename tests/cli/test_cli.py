"""The command line, as a user meets it."""

import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import click
import pytest

from cloudtune.cli.app import app, run_app
from cloudtune.store.records import RunState
from cloudtune.testing.conformance import wait_until

JOB = """\
name: line
trial: {command: python train.py}
objective: {metric: score, goal: maximize}
space:
  x: {type: float, low: 0, high: 1}
  kind: {type: categorical, values: [a, null]}
strategy: {type: random, seed: 3}
limits: {trials: 4, parallel: 2}
local: {grace: 0.2}
"""

SCRIPT = """\
import cloudtune.trial as trial
print("hello from", trial.number())
trial.report(score=trial.params()["x"])
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cli(capfdbinary: pytest.CaptureFixture[bytes]) -> Any:
    def call(*arguments: str) -> Result:
        code = run_app(list(arguments))
        captured = capfdbinary.readouterr()
        return Result(code, captured.out.decode(), captured.err.decode())

    return call


def test_init_gives_a_job_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Any) -> None:
    monkeypatch.chdir(tmp_path)
    made = cli("init", "first")
    assert made.code == 0
    assert "cd first && cloudtune run job.yaml" in made.out
    monkeypatch.chdir(tmp_path / "first")
    done = cli("run", "job.yaml", "--trials", "6", "--report", "report.html")
    assert done.code == 0, done.err
    assert "completed" in done.out
    assert "best trial" in done.out
    assert (tmp_path / "first" / "report.html").stat().st_size > 50_000
    again = cli("init")
    assert again.code == 2
    assert "--force" in again.err


def test_run_shows_progress_on_stderr_and_the_result_on_stdout(project: Path, cli: Any) -> None:
    done = cli("run", "job.yaml")
    assert done.code == 0
    assert "best so far: score = " in done.err
    assert "hello" not in done.out + done.err
    assert done.out.startswith("completed\n4 completed")


def test_run_prints_json_alone_and_takes_overrides(project: Path, cli: Any) -> None:
    done = cli(
        "run", "job.yaml", "--json", "--trials", "3", "--seed", "9", "--set", "space.x.high=0.5", "--set", "retries=2"
    )
    result = done.json
    assert result["state"] == "completed"
    assert result["counts"] == {"completed": 3}
    assert result["best"]["parameters"]["x"] <= 0.5
    assert result["best"]["metrics"]["score"] == result["best"]["parameters"]["x"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "nothing.yaml"], 2, "nothing.yaml"),
        (["run", "job.yaml", "--set", "limits.trails=3"], 2, "did you mean 'trials'?"),
        (["run", "job.yaml", "--set", "limits"], 2, "PATH=VALUE"),
        (["run", "job.yaml", "--on", "lokal"], 2, "did you mean 'local'?"),
        (["run", "job.yaml", "--set", "data.train=s3://b/x"], 3, "data.train"),
        (["plan", "job.yaml", "--set", "data.train=s3://b/x"], 3, "data.train"),
        (["show", "nobody"], 5, "no run"),
        (["rnu"], 2, "Did you mean 'run'?"),
        (["trials", "--sort", "speed"], 5, "no runs"),
    ],
)
def test_mistakes_are_messages_with_exit_codes(
    project: Path, cli: Any, arguments: list[str], code: int, says: str
) -> None:
    done = cli(*arguments)
    assert done.code == code, done.err
    assert says in done.err
    assert "Traceback" not in done.err


def test_a_mistake_in_the_job_names_its_line(project: Path, cli: Any) -> None:
    (project / "job.yaml").write_text(JOB.replace("goal: maximize", "goal: maximise").replace("parallel", "paralel"))
    done = cli("run", "job.yaml")
    assert done.code == 2
    assert "line 3" in done.err
    assert "did you mean 'maximize'?" in done.err
    assert "line 8" in done.err
    assert "did you mean 'parallel'?" in done.err


def test_a_failed_run_exits_with_one_and_says_where_to_look(project: Path, cli: Any) -> None:
    (project / "train.py").write_text("raise SystemExit('out of luck')")
    done = cli("run", "job.yaml")
    assert done.code == 1
    assert "cloudtune logs" in done.out
    assert "out of luck" in cli("trials").out
    assert cli("logs").out == "out of luck\n"


def test_an_unexpected_error_is_one_line(project: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("cloudtune.store.store.Store.records", breaks)
    done = cli("ls")
    assert done.code == 1
    assert done.err == "error: unexpected: ZeroDivisionError: oh\n(CLOUDTUNE_DEBUG=1 shows where)\n"


def test_what_was_run_can_be_looked_at(project: Path, cli: Any) -> None:
    run_id = cli("run", "job.yaml", "--json").json["id"]
    listed = cli("ls").out.splitlines()[-1].split()
    assert (listed[0], listed[1], listed[2]) == (run_id, "local", "completed")
    assert listed[-4] == "4"
    assert cli("best", "--json").json["metrics"] == {listed[-3]: pytest.approx(float(listed[-1]))}
    assert [run["id"] for run in cli("ls", "--json").json] == [run_id]
    shown = cli("show", run_id[:8]).out
    assert "4 completed" in shown
    assert "best" in shown
    trials = cli("trials", "--json").json
    best = max(trials, key=lambda trial: trial["metrics"]["score"])
    assert cli("best", "--json").json == {**best, "confirmed": None}
    assert cli("best", "--params-only").json == best["parameters"]
    table = cli("trials", "--sort", "score", "--limit", "2").out.splitlines()
    assert table[0].split() == ["trial", "state", "score", "x", "kind", "took", "why"]
    assert int(table[1].split()[0]) == best["number"]
    assert len(table) == 3
    assert cli("logs", "2").out == "hello from 2\n"
    assert cli("logs", run_id, "1").out == "hello from 1\n"
    assert cli("trials", "--state", "failed", "--json").json == []
    assert cli("show", "--json").json["counts"] == {"completed": 4}
    assert cli("report", "-o", "r.html", "--json").json == {"run": run_id, "emulated": False, "report": "r.html"}


def test_trials_are_written_as_tables(project: Path, cli: Any) -> None:
    import pyarrow.parquet as pq

    cli("run", "job.yaml", "-q")
    rows = list(csv.DictReader(io.StringIO(cli("trials", "-o", "csv").out)))
    assert [row["state"] for row in rows] == ["completed"] * 4
    assert cli("trials", "-o", "trials.parquet").code == 0
    table = pq.read_table(project / "trials.parquet").to_pylist()
    assert [row["params_x"] for row in table] == [float(row["params_x"]) for row in rows]
    assert {row["params_kind"] for row in table} <= {"a", None}
    assert cli("ls", "-o", "runs.csv").code == 0
    wrong = cli("trials", "-o", "xlsx")
    assert wrong.code == 2
    assert "parquet" in wrong.err


def test_plan_accounts_for_every_field_and_compares_profiles(project: Path, cli: Any) -> None:
    few, table = (cli("plan", "job.yaml", "--set", "compute.instance=large", *more).out for more in ([], ["--all"]))
    assert "space.x.high" in table
    assert "approximate" in table
    assert "space.x.high" not in few
    assert "compute.instance" in few
    assert "more exact; see them with: --all" in few
    assert cli("plan", "job.yaml", "--strict", "--set", "compute.instance=large").code == 3
    (project / "cloudtune.toml").write_text('[profiles.mine]\nprovider = "local"\n')
    header = cli("plan", "job.yaml", "--on", "local,mine").out.splitlines()
    assert [line.partition(":")[0] for line in header[:2]] == ["local", "mine"]
    assert header[2].split() == ["field", "value", "local", "mine"]
    shown = cli("plan", "job.yaml", "--json").json
    assert shown["request"]["name"] == "line"
    assert shown["summary"]["mode"] == "driven"


def test_no_value_of_the_environment_is_printed(project: Path, cli: Any) -> None:
    (project / "job.yaml").write_text(JOB.replace("train.py}", "train.py, environment: {TOKEN: s3cr3t}}"))
    printed = [
        cli("plan", "job.yaml"),
        cli("plan", "job.yaml", "--json"),
        cli("run", "job.yaml"),
        cli("show", "--json"),
    ]
    assert all("s3cr3t" not in result.out + result.err for result in printed)


def test_the_schema_check_and_providers_answer(project: Path, cli: Any) -> None:
    assert cli("schema").json["title"] == "cloudtune job"
    assert cli("schema", "-o", "schema.json").code == 0
    assert json.loads((project / "schema.json").read_text())["title"] == "cloudtune job"
    found = cli("check", "--json").json
    assert {finding["subject"] for finding in found["local"]} >= {"python", "disk"}
    listed = [each["name"] for each in cli("providers", "--json").json]
    assert listed == ["azureml", "databricks", "kubernetes", "local", "mixed", "ray", "sagemaker", "slurm", "vertex"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(cli: Any, shell: str) -> None:
    script = cli("completion", shell).out
    assert "_CLOUDTUNE_COMPLETE" in script
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_run_ids_complete(project: Path, cli: Any) -> None:
    run_id = cli("run", "job.yaml", "--json").json["id"]
    environment = {
        **os.environ,
        "_CLOUDTUNE_COMPLETE": "bash_complete",
        "COMP_WORDS": "cloudtune show li",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [sys.executable, "-m", "cloudtune"], env=environment, capture_output=True, text=True, cwd=project
    )
    assert run_id in done.stdout


@pytest.mark.parametrize(
    ("words", "offered", "not_offered"),
    [
        ("emulate ", ["azureml", "sagemaker", "vertex"], ["local"]),
        ("trials --state c", ["cancelled", "completed"], ["failed"]),
        ("trials --sort ", ["number", "duration", "state"], []),
        ("run job.yaml --on s", ["sagemaker"], ["local"]),
        ("import x --from k", ["katib"], ["wandb"]),
        ("export job.yaml --to v", ["vertex"], ["katib"]),
    ],
)
def test_words_that_an_option_knows_complete(
    project: Path, words: str, offered: list[str], not_offered: list[str]
) -> None:
    from click.shell_completion import ShellComplete

    *before, typed = words.split(" ")
    found = {each.value for each in ShellComplete(app, {}, "cloudtune", "_X").get_completions(before, typed)}
    assert found >= set(offered)
    assert not found & set(not_offered)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trials", "--state", "complete"], "did you mean 'completed'?"),
        (["trials", "--state", "done"], "completed"),
        (["trials", "--sort", "scor"], "did you mean 'score'?"),
        (["trials", "--state", "failed", "--sort", "nothing"], "score"),
    ],
)
def test_an_unknown_state_or_order_of_trials_is_refused_with_the_known(
    project: Path, cli: Any, arguments: list[str], says: str
) -> None:
    cli("run", "job.yaml", "-q", "--trials", "1")
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert cli("trials", "--state", "failed", "--sort", "score").code == 0


def test_an_emulator_that_is_not_there_is_refused_with_the_nearest(cli: Any) -> None:
    done = cli("emulate", "sagemakr")
    assert done.code == 2
    assert "did you mean 'sagemaker'?" in done.err


def test_a_detached_run_goes_on_without_its_terminal(project: Path, cli: Any) -> None:
    run_id = cli("run", "job.yaml", "--detach", "--json").json["id"]
    assert cli("resume", run_id, "-q").code == 0
    assert cli("show", "--json").json["state"] == "completed"


def test_interrupt_cancel_and_resume_from_the_command_line(project: Path, cli: Any) -> None:
    (project / "train.py").write_text(
        textwrap.dedent("""
            import pathlib, time
            import cloudtune.trial as trial
            pathlib.Path(f"begun-{trial.number()}").touch()
            while not pathlib.Path("go").exists():
                time.sleep(0.01)
            trial.report(score=1.0)
            """)
    )
    line = subprocess.Popen(
        [sys.executable, "-m", "cloudtune", "run", "job.yaml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: (project / "begun-0").exists() and (project / "begun-1").exists())
    line.send_signal(signal.SIGINT)
    (project / "go").touch()
    out, _ = line.communicate(timeout=100)
    assert line.returncode == 130
    assert "cloudtune resume line-" in out
    assert cli("show", "--json").json["state"] == RunState.INTERRUPTED.value
    assert cli("resume").code == 0
    assert cli("show", "--json").json["counts"] == {"completed": 4}
    (project / "go").unlink()
    (project / "begun-0").unlink()
    cli("run", "job.yaml", "--detach")
    wait_until(lambda: (project / "begun-0").exists())
    ended = cli("cancel")
    assert ended.code == 0
    assert "cancelled" in ended.out
    assert "has ended already" in cli("cancel").err


def test_output_into_a_closed_pipe_is_no_error(project: Path, cli: Any) -> None:
    cli("run", "job.yaml", "-q")
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m cloudtune schema | head -1"],
        capture_output=True,
        text=True,
        cwd=project,
    )
    assert done.returncode in (0, 141)
    assert "Traceback" not in done.stderr


def test_help_of_every_command_has_examples_whose_options_exist(cli: Any) -> None:
    for name in app.list_commands(click.Context(app)):
        done = cli(name, "--help")
        assert done.code == 0
        assert "Usage: cloudtune" in done.out
        lines = [line.strip() for line in done.out.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()]
        assert lines, name
        for line in lines:
            program, *words = shlex.split(line.partition(" >")[0])
            _, called, _ = app.make_parser(click.Context(app)).parse_args(words)
            assert (program, called[0]) == ("cloudtune", name), "an example is one line of help"
            command = app.get_command(click.Context(app), name)
            assert command is not None
            _, left, _ = command.make_parser(click.Context(command)).parse_args(called[1:])
            if left and isinstance(command, click.Group):
                command = command.commands[left[0]]
                _, left, _ = command.make_parser(click.Context(command)).parse_args(left[1:])
            assert not left, line
    assert "Exit codes" in cli("--help").out
    assert cli("--version").out.startswith("cloudtune 0.")


@pytest.mark.parametrize("name", ["run", "plan", "export"])
def test_a_job_that_is_not_named_is_asked_for(cli: Any, name: str) -> None:
    done = cli(name, *(["--to", "katib"] if name == "export" else []))
    assert done.code == 2
    assert "cloudtune init" in done.err


@pytest.mark.parametrize("many", [2, 8, 30])
def test_a_narrow_terminal_loses_no_cell_of_a_table(
    many: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cloudtune.cli.output import print_table

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table([f"p{index}" for index in range(many)], [[1.5] * many])
    shown = capsys.readouterr().out
    assert shown.count("1.5") == many
    assert all(f"p{index}" in shown for index in range(many))


def test_the_best_trial_and_tables_into_a_pipe_have_all_digits(project: Path, cli: Any) -> None:
    cli("run", "job.yaml", "-q", "--trials", "1")
    score = cli("best", "--json").json["metrics"]["score"]
    assert f"score = {score!r}\n" in cli("best").out
    assert f" {score!r} " in cli("trials").out


def test_nothing_heavy_is_loaded_for_help() -> None:
    code = "import sys; from cloudtune.cli.app import app, run_app; run_app(['--help']); print(sorted({'pydantic', 'numpy', 'rich', 'yaml', 'sqlite3'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_plan_into_a_pipe_has_whole_values(project: Path, cli: Any) -> None:
    values = [f"value-{number}" for number in range(2000)]
    (project / "job.yaml").write_text(JOB + "\n")
    said = cli("plan", "job.yaml", "--all", "--set", f"space.kind={{type: categorical, values: [{', '.join(values)}]}}")
    assert said.code == 0, said.err
    (line,) = [line for line in said.out.splitlines() if line.startswith("space.kind.values ")]
    assert ", ".join(values) in line
