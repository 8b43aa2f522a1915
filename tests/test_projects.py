"""Runs are found from the folder that they were started in, and from any other by their ids; printed commands work."""

import re
import shlex
from pathlib import Path

import pytest

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.projects import known_projects

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
    assert run_app(["rm", record.id]) in (0, None)
    assert run_app(["show", record.id]) == 5
