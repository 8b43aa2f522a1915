"""Runs are found from the folder that they were started in, and from any other by their ids; printed commands work."""

import json
import re
import shlex
from pathlib import Path

import pytest

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.driver.warm_start import kept
from cloudtune.store.projects import known_projects

JOB = """\
name: line
trial: {command: python train.py}
objective: {metric: score, goal: maximize}
space: {x: {type: float, low: 0, high: 1}}
limits: {trials: 1}
"""
SCRIPT = "import cloudtune.trial as t\nt.report(score=t.params()['x'])\n"
COMMAND = re.compile(r"cloudtune (?:-C \S+ )?(?:trials|report|logs|best|show|resume|cancel|rm|ls)\b[^,;`\n]*")


def test_what_a_run_prints_works_where_it_was_started_and_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = tmp_path / "some" / "where"
    deep.mkdir(parents=True)
    (deep / "job.yaml").write_text(JOB)
    (deep / "train.py").write_text(SCRIPT)
    (deep / "cloudtune.toml").write_text('default = "near"\n[profiles.near]\nprovider = "local"\n')
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run_app(["run", "some/where/job.yaml"]) in (0, None)
    said = capsys.readouterr()
    assert "line on near" in said.err, "the config beside the job counts"
    printed = [shlex.split(found) for found in COMMAND.findall(said.out)]
    assert {words[1] for words in printed} == {"trials", "report"}
    (record,) = api.runs()
    for folder in (tmp_path, tmp_path / "other", deep):
        monkeypatch.chdir(folder)
        for words in [*(words[1:] for words in printed), ["show", record.id], ["best", record.id]]:
            assert run_app(words) in (0, None), words
    monkeypatch.chdir(tmp_path / "other")
    capsys.readouterr()
    assert run_app(["ls", "--all-projects"]) in (0, None)
    assert record.id in capsys.readouterr().out
    assert run_app(["-C", "..", "best"]) in (0, None)
    assert known_projects() == [tmp_path]
    for verb in ("rm", "cancel"):
        assert run_app(["-C", "..", verb, record.id[:-1]]) == 5, "what removes or ends a run wants its whole id"
        assert f"is the beginning of '{record.id}'; give the whole id" in capsys.readouterr().err
    assert run_app(["rm", record.id]) in (0, None)
    assert run_app(["show", record.id]) == 5


def test_an_export_reads_the_config_where_a_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The project's config around the working folder, and that near the job, which wins."""
    deep = tmp_path / "jobs" / "one"
    deep.mkdir(parents=True)
    (deep / "job.yaml").write_text(JOB.replace("python train.py", "[a]"))
    (tmp_path / "jobs" / "cloudtune.toml").write_text('[profiles.team]\nimage = "near:1"\n')
    work = tmp_path / "work"
    work.mkdir()
    (work / "cloudtune.toml").write_text(
        '[profiles.team]\nprovider = "sagemaker"\nimage = "far:1"\nrole = "arn:aws:iam::123456789012:role/r"\n'
        'bucket = "b"\nregion = "eu-west-1"\n'
    )
    monkeypatch.chdir(work)
    assert run_app(["export", "../jobs/one/job.yaml", "--to", "team"]) in (0, None), capsys.readouterr().err
    request = capsys.readouterr().out
    assert "near:1" in request
    assert "arn:aws:iam::123456789012:role/r" in request


def test_a_warm_start_finds_a_run_of_another_project_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.yaml").write_text(JOB)
        (tmp_path / name / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path / "one")
    assert run_app(["run", "job.yaml", "-q"]) in (0, None)
    (earlier,) = api.runs()
    monkeypatch.chdir(tmp_path / "other")
    assert run_app(["run", "job.yaml", "-q", "--set", f"warm_start=[{earlier.id}]"]) in (0, None)
    (later,) = api.runs()
    assert [known.origin for known in kept(api.attach(later.id).folder)] == [earlier.id]
    assert run_app(["run", "job.yaml", "-q", "--set", "warm_start=[none]"]) == 5
    assert [record.id for record in api.runs()] == [later.id], "a run that was refused stays"


def test_json_of_reports_and_removals_says_whether_the_run_was_emulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.yaml").write_text(JOB.replace("{command", "{source: ., command"))
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    for options, emulated in (([], False), (["--on", "gcp", "--emulate"], True)):
        assert run_app(["run", "job.yaml", "-q", *options]) in (0, None)
        for words in (["report", "--json"], ["rm", "--json", api.runs()[0].id]):
            capsys.readouterr()
            assert run_app(words) in (0, None)
            said = json.loads(capsys.readouterr().out)
            assert (said[0] if isinstance(said, list) else said)["emulated"] is emulated
