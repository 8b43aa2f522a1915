"""What a command names is looked for before anything is launched, on every provider."""

import ast
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from cloudtune import TuningJob, api
from cloudtune.bundle.program import Kind, named_in
from cloudtune.bundle.survey import Where, survey
from cloudtune.errors import SpecError, UnsupportedError
from cloudtune.planning.plan import Support

CONFIG = """
[profiles.aws]
provider = "sagemaker"
role = "arn:aws:iam::123456789012:role/tuning"
image = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.6-cpu-py312"
region = "eu-west-1"
[profiles.gcp]
provider = "vertex"
project = "my-project"
location = "europe-west4"
bucket = "my-bucket"
image = "europe-docker.pkg.dev/vertex-ai/training/sklearn-cpu.1-6:latest"
[profiles.azure]
provider = "azureml"
subscription = "00000000-0000-0000-0000-000000000000"
resource_group = "my-group"
workspace = "my-workspace"
compute = "cpu-cluster"
environment = "azureml:my-environment@latest"
[profiles.cluster]
provider = "ray"
address = "ray://head.example.com:10001"
[profiles.both]
provider = "mixed"
profiles = ["aws", "local"]
"""
REMOTE = ["aws", "gcp", "azure", "cluster", "both"]
EVERYWHERE = ["local", *REMOTE]
HERE_AND_FAR = ["local", "aws", *(pytest.param(each, marks=pytest.mark.complete) for each in REMOTE[1:])]
"""Where commands are read, which is the same everywhere."""


def job_of(**trial: Any) -> TuningJob:
    return TuningJob.from_data(
        {
            "name": "found",
            "trial": trial,
            "objective": {"metric": "loss", "goal": "minimize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}},
            "strategy": {"type": "random"},
            "limits": {"trials": 1},
            "data": trial.pop("data", {}),
        }
    )


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "cloudtune.toml").write_text(CONFIG)
    (tmp_path / "train.py").write_text("from util import f\n\n\ndef fit(x):\n    return x\n")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/__init__.py").write_text("")
    (tmp_path / "pkg/steps.py").write_text("if True:\n    def fit(x): ...\nfrom os import path as there\nvalue = 1\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\npython train.py\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/deep.py").write_text("")
    return tmp_path


def refusals(base: Path, on: str, **trial: Any) -> str:
    plan = api.plan(job_of(**trial), on, project=base, base=base)
    return "; ".join(note.message for note in plan.notes if note.support is Support.UNSUPPORTED)


@pytest.mark.parametrize("on", EVERYWHERE)
def test_a_source_that_is_not_there_is_refused_with_what_may_be_meant(base: Path, on: str) -> None:
    assert "did you mean 'pkg'?" in refusals(base, on, source="./pgk", command="python steps.py")
    assert "write source: ." in refusals(base, on, source="train.py", command="python train.py")


@pytest.mark.parametrize("on", HERE_AND_FAR)
@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("python trian.py", "'train.py'"),
        (["python", "trian.py"], "'train.py'"),
        ("python -u trian.py --x {x}", "'train.py'"),
        ("env A=1 B=2 python trian.py", "'train.py'"),
        ("A=1 python trian.py", "'train.py'"),
        ("torchrun --nproc_per_node=2 trian.py", "'train.py'"),
        ("accelerate launch trian.py", "'train.py'"),
        ("bash rnu.sh", "'run.sh'"),
        ("python deep.py", "'sub/deep.py'"),
        ("python -m pkg.stesp", "'pkg.steps'"),
        ("python -m pgk.steps", "'pkg.steps'"),
        ("cd sub && python deap.py", "'sub/deep.py'"),
        ("./run.sh", "chmod +x run.sh"),
        ("run.sh", "write bash run.sh, or ./run.sh"),
        ("pip install x && python trian.py", "'train.py'"),
        ("python ../elsewhere.py", "outside of the folder"),
    ],
)
def test_a_mistyped_command_is_refused_with_what_may_be_meant(base: Path, on: str, command: Any, meant: str) -> None:
    assert meant in refusals(base, on, source=".", command=command)


@pytest.mark.parametrize("on", HERE_AND_FAR)
@pytest.mark.parametrize(
    "command",
    [
        "python train.py", ["python", "train.py", "--x", "{x}"], "python -m pkg.steps", "bash run.sh", "sh -c 'python train.py'",
        "python -c 'print(1)'", "cd sub && python deep.py", "python $SCRIPT", "python {x}.py", "python train.py > out.txt 2>&1",
        "timeout 10m nice -n 5 python train.py", "env -u HOME python train.py", "python 'train.py", "python -m json.tool",
        "if true; then python trian.py; fi", "python train.py && python made-by-it.py", "python ./sub/../train.py",
    ],
)  # fmt: skip
def test_a_command_that_may_be_right_is_not_refused(base: Path, on: str, command: Any) -> None:
    assert refusals(base, on, source=".", command=command) == ""


@pytest.mark.parametrize("on", REMOTE)
@pytest.mark.parametrize("trial", [{"command": "python train.py"}, {"command": "./run.sh"}, {"command": "python -m pkg.steps"}, {"function": "train:fit"}])  # fmt: skip
def test_without_a_source_a_file_beside_the_job_is_refused_where_it_cannot_be(base: Path, on: str, trial: Any) -> None:
    assert "write source: ." in refusals(base, on, **trial)
    assert "write source: ." in refusals(base, on, command="python trian.py")


def test_without_a_source_this_machine_starts_beside_the_job(base: Path) -> None:
    assert refusals(base, "local", command="python train.py") == ""
    assert refusals(base, "local", function="pkg.steps:fit") == ""
    assert "did you mean 'train.py'?" in refusals(base, "local", command="python trian.py")


@pytest.mark.parametrize("on", ["aws", "gcp", "azure"])
def test_what_only_the_image_can_hold_is_noted(base: Path, on: str) -> None:
    plan = api.plan(job_of(command="python /opt/program/main.py"), on, project=base, base=base)
    plan.refuse()
    for command in ("python entry_of_the_image.py", "program-of-the-image --x {x}"):
        plan = api.plan(job_of(command=command), on, project=base, base=base)
        plan.refuse()
        assert any("the image must hold it" in note.message for note in plan.notes)
    assert "path of this machine" in refusals(base, on, command=f"python {base}/train.py", source=".")


def test_here_a_program_or_file_that_is_not_there_is_refused(base: Path) -> None:
    assert "no program 'pyhton3'" in refusals(base, "local", source=".", command="pyhton3 train.py")
    assert "'python3'?" in refusals(base, "local", source=".", command="pyhton3 train.py")
    assert "no file /nowhere/x.py" in refusals(base, "local", source=".", command="python /nowhere/x.py")
    assert refusals(base, "local", source=".", command="made-here || python train.py", environment={}) != ""


@pytest.mark.parametrize("on", EVERYWHERE)
def test_a_function_is_looked_for_without_being_imported(base: Path, on: str) -> None:
    (base / "pkg/boom.py").write_text("raise SystemExit\n\ndef fit(): ...\n")
    for good in ("train:fit", "pkg.steps:fit", "pkg.steps:there", "pkg.boom:fit", "math:sqrt"):
        assert refusals(base, on, source=".", function=good) == ""
    assert "did you mean 'fit'?" in refusals(base, on, source=".", function="train:fti")
    assert "did you mean 'train'?" in refusals(base, on, source=".", function="trian:fit")
    assert "did you mean 'pkg.steps'?" in refusals(base, on, source=".", function="pkg.step:fit")
    (base / "star.py").write_text("from os.path import *\n")
    assert refusals(base, on, source=".", function="star:join") == ""


@pytest.mark.parametrize("on", EVERYWHERE)
def test_a_script_that_stays_here_is_told_as_such(base: Path, on: str) -> None:
    assert "stays here: trial.ignore" in refusals(base, on, source=".", command="python train.py", ignore=["train.*"])
    (base / "pipe.py").unlink(missing_ok=True)
    os.mkfifo(base / "pipe.py")
    assert "socket, pipe" in refusals(base, on, source=".", command="python pipe.py")


@pytest.mark.parametrize("on", EVERYWHERE)
def test_data_that_is_not_there_or_empty_is_refused_alike(base: Path, on: str) -> None:
    (base / "empty/also").mkdir(parents=True)
    (base / "rows").mkdir()
    (base / "rows/a.csv").write_text("1")
    (base / "dangling").symlink_to("nowhere")
    os.mkfifo(base / "pipe")
    trial = {"source": ".", "command": "python train.py"}
    assert "did you mean 'rows'?" in refusals(base, on, **trial, data={"train": "./rwos"})
    assert "it is empty" in refusals(base, on, **trial, data={"train": "empty"})
    assert "leads to nothing" in refusals(base, on, **trial, data={"train": "dangling"})
    assert "a socket, pipe" in refusals(base, on, **trial, data={"train": "pipe"})
    assert refusals(base, on, **trial, data={"train": "rows/", "again": "./rows", "file": "rows/a.csv/"}) == ""


@pytest.mark.parametrize("on", EVERYWHERE)
def test_what_is_left_out_of_source_and_data_is_not_called_exact(base: Path, on: str) -> None:
    (base / "rows").mkdir()
    (base / "rows/a.csv").write_text("1")
    os.mkfifo(base / "rows/pipe")
    (base / "hollow").mkdir()
    job = job_of(source=".", command="python train.py", data={"train": "rows"})
    plan = api.plan(job, on, project=base, base=base)
    plan.refuse()
    for path in ("trial.source", "data.train"):
        support = plan.support(path)
        assert support is not None
        assert support.rank >= Support.APPROXIMATE.rank
    said = " ".join(note.message for note in plan.notes)
    assert "rows/pipe" in said
    assert "hollow (an empty folder)" in said


def test_a_large_source_is_refused_before_anything_is_written(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudtune.bundle.survey.MAX_SIZE", 10)
    with pytest.raises(SpecError, match=r"trial\.ignore"):
        api.prepare(job_of(source=".", command="python train.py"), "local", project=base, base=base)
    assert api.runs(project=base) == []


def test_a_run_is_refused_as_its_plan_is(base: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'train.py'"):
        api.prepare(job_of(source=".", command="python trian.py"), "local", project=base, base=base)
    with pytest.raises(UnsupportedError, match="did you mean 'train.py'"):
        api.plan(job_of(source=".", command="python trian.py"), "aws", project=base, base=base).refuse()
    assert api.runs(project=base) == []


def test_an_interpreter_of_the_jobs_own_has_modules_that_nobody_knows(base: Path) -> None:
    job = job_of(command="python -m strange_module")
    assert survey(job, base, Where(remote=False)).problems
    assert not survey(job, base, Where(remote=False, python="/elsewhere/bin/python")).problems


def test_a_line_is_read_as_far_as_it_can_be() -> None:
    assert named_in("python 'unbalanced") == []
    assert named_in("(cd x; python y.py)") == []
    assert named_in([]) == []
    assert named_in("") == []
    names = [(each.kind, each.name, each.folder, each.sure) for each in named_in("cd a; python b.py; python c.py")]
    assert (Kind.SCRIPT, "b.py", "a", True) in names
    assert (Kind.SCRIPT, "c.py", "a", False) in names


def test_a_link_that_was_checked_out_as_text_is_refused_where_it_is_code(base: Path) -> None:
    (base / "common").mkdir()
    (base / "src").mkdir(exist_ok=True)
    for name, target in (("util.py", "print('real')"), ("notes.csv", "1,2,3")):
        (base / "common" / name).write_text(target)
        (base / "src" / name).write_text(f"../common/{name}")
    (base / "src" / "path.txt").write_text("notes.csv")  # a pointer of the user's own: another ending
    (base / "src" / "train.py").write_text("import util")
    job = TuningJob.from_data(
        {
            "name": "links",
            "trial": {"source": "src", "command": "python train.py"},
            "objective": {"metric": "loss", "goal": "minimize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}},
            "limits": {"trials": 1},
        }
    )
    found = survey(job, base, Where(remote=False))
    assert [problem.path for problem in found.problems] == ["trial.source"]
    assert "util.py holds nothing but the path ../common/util.py" in found.problems[0].message
    assert "ln -sf ../common/util.py util.py" in found.problems[0].hint
    assert any("notes.csv" in note.message and "travels as it is" in note.message for note in found.notes)
    assert not any("path.txt" in note.message for note in found.notes)


def test_modules_are_parsed_one_after_the_other(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else Python 3.11 may raise SystemError: https://github.com/python/cpython/issues/106905."""
    parse, inside, seen = ast.parse, list[int](), list[int]()

    def watched(source: Any) -> ast.Module:
        inside.append(1)
        threading.Event().wait(0.01)
        seen.append(len(inside))
        inside.pop()
        return parse(source)

    monkeypatch.setattr(ast, "parse", watched)
    job = job_of(function="train:main")
    threads = [threading.Thread(target=survey, args=[job, base, Where(remote=False)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 4
