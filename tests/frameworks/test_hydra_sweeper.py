"""A sweep of Hydra by the sweeper ``cloudtune``: real applications, and the grammar of its overrides as a space."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("hydra")
from hydra.core.override_parser.overrides_parser import OverridesParser

from cloudtune.interop.hydra import SweepError, job_of, space_of

APP = """
import hydra
from omegaconf import DictConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    assert isinstance(cfg.model.width, int)
    return (cfg.lr - 0.1) ** 2 + (0 if cfg.act == "re lu" else 1) + cfg.model.width + cfg.get("extra", 0)


if __name__ == "__main__":
    main()
"""


def app(folder: Path, *words: str, code: str = APP) -> "subprocess.CompletedProcess[str]":
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "app.py").write_text(code)
    (folder / "conf" / "config.yaml").write_text("defaults: [_self_, {model: small}]\nlr: 0.5\nact: tanh\n")
    for name, width in {"small": 1, "large": 9}.items():
        (folder / "conf" / "model" / f"{name}.yaml").write_text(f"width: {width}\n")
    given = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDTUNE")}
    command = [sys.executable, "app.py", "--multirun", "hydra/sweeper=cloudtune", "hydra.sweep.dir=swept", *words]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True)


def test_an_application_is_searched(tmp_path: Path) -> None:
    words = ["hydra.sweeper.n_trials=8", "hydra.sweeper.seed=1", "hydra.sweeper.strategy=random", "+extra=2",
             "+hydra.sweeper.job.trial.source=.", "lr=tag(log,interval(0.01,1))", "act='re lu',tanh", "model=glob(*)"]  # fmt: skip
    ended = app(tmp_path, *words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = yaml.safe_load((tmp_path / "swept" / "optimization_results.yaml").read_text())
    best = found["best_evaluated_params"]
    assert found["name"] == "cloudtune"
    assert set(best) == {"lr", "act", "model"}
    width = {"small": 1, "large": 9}[best["model"]]
    expected = (best["lr"] - 0.1) ** 2 + ("lu" not in best["act"]) + width + 2
    assert found["best_evaluated_result"] == pytest.approx(expected)
    assert len(list((tmp_path / ".cloudtune" / "runs" / found["run"] / "trials").glob("0000?/output/.hydra"))) == 8


def test_an_application_that_fails_gives_its_reason(tmp_path: Path) -> None:
    code = APP.replace("    assert", "    raise SystemExit('no such luck')\n    assert")
    ended = app(tmp_path, "hydra.sweeper.n_trials=1", "lr=interval(0,1)", code=code)
    assert ended.returncode != 0
    assert "no such luck" in ended.stderr or "exit code" in ended.stderr


def test_nothing_swept_is_refused(tmp_path: Path) -> None:
    ended = app(tmp_path, "hydra.sweeper.n_trials=1")
    assert ended.returncode != 0
    assert "nothing is swept" in ended.stderr


def parsed(*lines: str) -> list[Any]:
    return list(OverridesParser.create().parse_overrides(list(lines)))


@pytest.mark.parametrize(("line", "parameter"), [
    ("x=interval(0,1)", {"type": "float", "low": 0.0, "high": 1.0}),
    ("x=int(interval(1,8))", {"type": "int", "low": 1, "high": 8}),
    ("x=tag(log,interval(0.1,10))", {"type": "float", "low": 0.1, "high": 10.0, "scale": "log"}),
    ("x=range(1,9)", {"type": "int", "low": 1, "high": 8}),
    ("x=range(1,9,3)", {"type": "int", "low": 1, "high": 7, "step": 3}),
    ("x=range(0,1,0.25)", {"type": "float", "low": 0.0, "high": 0.75, "step": 0.25}),
    ("x=shuffle(range(1,4))", {"type": "int", "low": 1, "high": 3}),
    ("x=1,2.5,true,null,abc", {"type": "categorical", "values": [1, 2.5, True, None, "abc"]}),
    ("x=choice(a,b)", {"type": "categorical", "values": ["a", "b"]}),
    ("x=tag(ordinal,choice(8,16))", {"type": "ordinal", "values": [8, 16]}),
    ("x=[1,2],[3]", {"type": "categorical", "values": ["[1,2]", "[3]"]}),
    ("+a.x=choice(1)", {"type": "constant", "value": 1}),
])  # fmt: skip
def test_a_sweep_becomes_a_parameter(line: str, parameter: dict[str, Any]) -> None:
    (found,) = space_of(parsed(line)).values()
    assert found == parameter


@pytest.mark.parametrize(("lines", "said"), [
    (["x=1,2", "x=3,4"], "x is swept twice"),
    (["hydra.job.chdir=true,false"], "settings of Hydra itself"),
    (["x=tag(wide,interval(0,1))"], "the tag 'wide' means nothing here"),
    (["x=tag(log,choice(1,2))"], "a choice has no scale"),
    (["x=range(3,3)"], "the range is empty"),
])  # fmt: skip
def test_what_cannot_be_searched_is_refused(lines: list[str], said: str) -> None:
    with pytest.raises(SweepError, match=said):
        space_of(parsed(*lines))


def test_a_job_says_all_that_the_sweeper_does() -> None:
    settings = {"n_trials": 9, "parallel": 2, "metric": ["loss", "size"], "direction": ["minimize", "minimize"],
                "strategy": "random", "seed": 3, "job": {"limits": {"failed": 2}, "retries": 1}}  # fmt: skip
    overrides = parsed("+a.x=interval(0,1)", "y={z:1}")
    job = job_of(settings, overrides, ["python", "app.py"], "my app")
    assert isinstance(job.trial.command, tuple)
    assert job.trial.command[:4] == ("python", "app.py", "+a.x={a.x}", "y={z:1}")
    assert (job.limits.trials, job.limits.parallel, job.limits.failed, job.retries) == (9, 2, 2, 1)
    assert [each.metric for each in job.objective] == ["loss", "size"]
