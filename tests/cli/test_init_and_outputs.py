"""init beside one's own files, jobs proposed from scripts, and outputs that replace nothing."""

import ast
import shlex
from pathlib import Path
from typing import Any

import pytest

from cloudtune import TuningJob
from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError
from cloudtune.interop.argparse_script import job_text, options_of, proposal_of

SCRIPT = """
import argparse
raise SystemExit("it was run")
RATE = 1e-3
p = argparse.ArgumentParser()
p.add_argument("--lr", "-l", type=float, default=RATE, help="step: size")
p.add_argument("--batch-size", type=int, default=64)
p.add_argument("--optimizer", choices=["adam", "sgd"], default="adam")
p.add_argument("--layers", choices=range(1, 4), type=int)
p.add_argument("--decay", default=10 ** -4, type=float)
p.add_argument("--data-dir", required=True)
p.add_argument("--epochs", type=int, default=10)
p.add_argument("--fast", action="store_true")
p.add_argument("positional")
print(f"epoch 1: train_loss={1:.3f} val_accuracy={2:.3f}")
"""


def test_a_scripts_options_become_a_space_without_running_it(tmp_path: Path) -> None:
    script = tmp_path / "my train.py"
    script.write_text(SCRIPT)
    found = proposal_of(script)
    assert found.space == {
        "lr": {"type": "float", "low": 1e-5, "high": 0.1, "scale": "log"},
        "batch-size": {"type": "int", "low": 16, "high": 256, "scale": "log"},
        "optimizer": {"type": "categorical", "values": ["adam", "sgd"]},
        "layers": {"type": "categorical", "values": [1, 2, 3]},
        "decay": {"type": "float", "low": 1e-6, "high": 0.01, "scale": "log"},
    }
    assert (found.metric, found.goal) == ("val_accuracy", "maximize")
    job = TuningJob.from_yaml(job_text("my train.py", "train", found))
    assert job.trial.source == "."
    assert shlex.split(str(job.trial.command)) == ["python", "my train.py", "--data-dir", "VALUE"]


def test_click_options_and_parameters_asked_for_are_found(tmp_path: Path) -> None:
    text = '@click.option("--rate/--no", default=0.1)\n@click.option("--kind", type=click.Choice(["a", "b"]))\n@click.option("--go", is_flag=True)\ndef f(): ...\n'
    kinds = {each.name: (each.kind, each.choices, each.flag) for each in options_of(ast.parse(text))}
    assert kinds == {"rate": ("float", (), False), "kind": ("str", ("a", "b"), False), "go": ("bool", (), True)}
    (tmp_path / "t.py").write_text(
        "import cloudtune.trial as trial\np = trial.params()\nx = p.get('gain', 0.5)\ntrial.report(rmse=x, step=1)\n"
    )
    found = proposal_of(tmp_path / "t.py")
    assert set(found.space) == {"gain"}
    assert (found.metric, found.goal) == ("rmse", "minimize")


@pytest.mark.parametrize("text", ["def (", "\0", "x = " + "(" * 5000])
def test_what_is_no_python_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.py").write_text(text)
    with pytest.raises(ConfigError, match=r"t\.py is not read as Python"):
        proposal_of(tmp_path / "t.py")


def test_init_keeps_my_script_and_proposes_a_job_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    (folder / "cloudtune.toml").write_text("# mine\n")
    monkeypatch.chdir(tmp_path)
    assert run_app(["init", "a b"]) == 0
    shown = capsys.readouterr().out
    assert "kept cloudtune.toml" in shown
    assert "next: cd 'a b' && cloudtune run job.yaml" in shown
    assert run_app(["init", "a b", "--force"]) == 0
    assert (folder / "train.py").read_text() == SCRIPT
    text = (folder / "job.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=cloudtune.schema.json\n")
    assert (folder / "cloudtune.schema.json").exists()
    assert set(TuningJob.from_yaml(text).space) >= {"lr", "batch-size"}
    assert run_app(["init", "a b"]) == 2
    assert run_app(["init", "elsewhere", "--from", "a b/train.py"]) == 2
    assert "lies outside" in capsys.readouterr().err


@pytest.mark.parametrize("on", ["local", "sagemaker", "vertex", "azureml"])
def test_inits_own_job_carries_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: str) -> None:
    from cloudtune import api

    monkeypatch.chdir(tmp_path)
    assert run_app(["init"]) == 0
    job = TuningJob.from_yaml(tmp_path / "job.yaml")
    plan = api.plan(job, on, base=tmp_path)
    assert [note for note in plan.notes if note.path.startswith("trial.") and note.support.value == "unsupported" and "source" in note.message] == []  # fmt: skip
    assert job.trial.source == "."


def test_an_output_replaces_nothing_unless_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("print('loss=1')\n")
    (tmp_path / "job.yaml").write_text(
        "name: j\ntrial: {command: python train.py}\nobjective: {metric: loss, goal: minimize}\n"
        "space: {x: {type: float, low: 0, high: 1}}\nstrategy: {type: random}\nlimits: {trials: 1}\n"
    )
    run = ["run", "job.yaml", "--quiet", "--report", "report.html"]
    assert run_app(run) == 0
    assert run_app(run) == 0, "a report of its own may be written again"
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    (tmp_path / "study.yaml").write_text("method: random\nmetric: {name: loss, goal: minimize}\nparameters: {x: {min: 0.0, max: 1.0}}\nprogram: train.py\n")  # fmt: skip
    attempts: list[list[Any]] = [
        ["run", "job.yaml", "--quiet", "--report", "mine.html"],
        ["report", "-o", "mine.html"],
        ["report", "-o", "report.html"],
        ["schema", "-o", "job.yaml"],
        ["export", "job.yaml", "--to", "katib", "-o", "mine.html"],
        ["import", "study.yaml", "--from", "wandb", "-o", "job.yaml"],
        ["ls", "-o", "table.csv"],
        ["trials", "-o", "table.csv"],
        ["fetch", "-o", "full"],
    ]
    (tmp_path / "table.csv").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for attempt in attempts:
        capsys.readouterr()
        assert run_app(attempt) == 2, attempt
        assert "--force" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert run_app(["trials", "-o", "table.csv", "--force"]) == 0
    assert run_app(["trials", "--force", "-o", "table.csv"]) == 0
    assert run_app(["trials", "-o", "csv"]) == 0
    assert run_app(["schema", "-o", "/dev/null"]) == 0
    assert "mine" not in (tmp_path / "table.csv").read_text()


def test_a_dash_is_standard_output_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_text("mine")
    assert run_app(["schema", "-o", "-"]) in (0, None)
    assert '"$schema"' in capsys.readouterr().out
    assert run_app(["report", "-o", "-"]) == 2
    assert "--output takes a file, not -" in capsys.readouterr().err
    assert (tmp_path / "-").read_text() == "mine"
