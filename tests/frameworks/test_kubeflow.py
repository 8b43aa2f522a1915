"""kfp loads and compiles the component of a job; in an environment of its own, since kfp pins what others want newer."""

from pathlib import Path

import pytest
import yaml

from cloudtune.cli.app import run_app

kfp = pytest.importorskip("kfp")

_JOB = """
name: as-step
trial: {command: "python train.py", environment: {GREETING: "it's"}}
objective: {metric: loss, goal: minimize}
space: {x: {type: float, low: 0, high: 1}}
limits: {trials: 4}
"""


def test_kfp_compiles_the_component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(_JOB)
    assert run_app(["export", "job.yaml", "--to", "kubeflow", "-o", "component.yaml"]) == 0
    tune = kfp.components.load_component_from_file("component.yaml")

    @kfp.dsl.pipeline(name="p")
    def pipeline(profile: str = "local") -> None:
        tune(profile=profile)

    kfp.compiler.Compiler().compile(pipeline, "pipeline.yaml")
    compiled = next(yaml.safe_load_all(Path("pipeline.yaml").read_text()))
    (executor,) = compiled["deploymentSpec"]["executors"].values()
    container = executor["container"]
    assert container["image"].startswith("cloudtune:")
    assert "cloudtune run" in "".join(container["command"])
    assert "it's" in container["args"][0]
    (component,) = (each for name, each in compiled["components"].items() if name.startswith("comp-"))
    assert set(component["inputDefinitions"]["parameters"]) == {"profile"}
