"""Mistakes in Katib's experiments, told with their places in the file."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from katib_experiments import double, experiment, template
from late import LATE

from cloudtune.errors import ConfigError, SpecError
from cloudtune.interop.formats import load_format

if LATE:
    katib = pytest.importorskip("kubeflow_katib_api.models")


@pytest.mark.parametrize(("changes", "path", "message"), [
    ({"objective": {"type": "min", "objectiveMetricName": "a"}}, "spec.objective.type", "must be 'minimize' or 'maximize'"),
    ({"objective": None}, "spec.objective", "is missing"),
    ({"parameters": []}, "spec.parameters", "at least one"),
    ({"parameters": [double("x", "0", "1"), double("x", "0", "1")]}, "spec.parameters[1].name", "stands twice"),
    ({"parameters": [double("x", "2", "1")]}, "spec.parameters[0].feasibleSpace.min", "is above max"),
    ({"parameters": [double("x", "a", "1")]}, "spec.parameters[0].feasibleSpace.min", "is no number"),
    ({"parameters": [double("x", "-1", "0", distribution="logUniform")]}, "spec.parameters[0].feasibleSpace.max", "above 0"),
    ({"parameters": [double("x", "0", "1", distribution="beta")]}, "spec.parameters[0].feasibleSpace.distribution", "must be"),
    ({"parameters": [{"name": "x", "parameterType": "int", "feasibleSpace": {"min": "0.5", "max": "3"}}]}, "spec.parameters[0].feasibleSpace.min", "no whole number"),
    ({"parameters": [{"name": "x", "parameterType": "int", "feasibleSpace": {"max": "3"}}]}, "spec.parameters[0].feasibleSpace.min", "is missing"),
    ({"parameters": [{"name": "x", "parameterType": "categorical", "feasibleSpace": {"min": "3"}}]}, "spec.parameters[0].feasibleSpace.list", "needs its values"),
    ({"algorithm": {"algorithmName": "grid"}}, "spec.parameters[0].feasibleSpace.step", "a grid needs the step"),
    ({"algorithm": {"algorithmName": "hyperband"}}, "spec.algorithm.algorithmSettings", "needs the settings"),
    ({"algorithm": {"algorithmName": "darts"}}, "spec.algorithm", "architecture"),
    ({"earlyStopping": {"algorithmName": "medianstop", "algorithmSettings": [{"name": "start_step", "value": "0"}]}}, "spec.earlyStopping.algorithmSettings", "from 1"),
    ({"trialTemplate": template(["p", "${trialParameters.nix}"])}, "spec.trialTemplate.trialSpec.spec.template.spec.containers[0].command[1]", "is not among trialParameters"),
    ({"trialTemplate": template([], primaryContainerName="nix")}, "spec.trialTemplate.primaryContainerName", "there is no container 'nix'"),
    ({"trialTemplate": template([], trialParameters=[{"name": "x", "reference": "nix"}])}, "spec.trialTemplate.trialParameters[0].reference", "no parameter 'nix'"),
    ({"trialTemplat": {}}, "spec.trialTemplat", "is no key"),
    ({"trialTemplate": template([], trialSpec={"spec": {}})}, "spec.trialTemplate.trialSpec.kind", "is missing"),
    ({"trialTemplate": template("p")}, "spec.trialTemplate.trialSpec.spec.template.spec.containers[0].command", "must be a list"),  # type: ignore[arg-type]
])  # fmt: skip
def test_a_mistake_is_told_with_its_place_in_the_file(
    changes: dict[str, Any], path: str, message: str, tmp_path: Path
) -> None:
    data = {**experiment(**changes)}
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), "utf-8")
    with pytest.raises(SpecError) as caught:
        load_format("katib").read(str(file))
    found = {problem.path: problem for problem in caught.value.problems}
    assert message in found[path].message
    line = file.read_text("utf-8").splitlines()[(found[path].line or 0) - 1]
    assert found[path].line is not None
    assert message == "is missing" or str(data["spec"].get("maxTrialCount")) not in line


def test_the_line_of_a_mistake_is_that_of_the_value(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment(parameters=[double("x", "7", "1")])), "utf-8")
    with pytest.raises(SpecError) as caught:
        load_format("katib").read(str(file))
    (problem,) = caught.value.problems[:1]
    assert file.read_text("utf-8").splitlines()[problem.line - 1].strip() == "min: '7'"  # type: ignore[operator]


@pytest.mark.parametrize(("text", "message"), [
    ("", "holds no Experiment"),
    ("kind: Pod\n", "holds no Experiment"),
    ("- 1\n", "holds no Experiment"),
    ("kind: \"a\n", "this quote is not closed"),
    ("a: &a [*a]\n", "stands within the value that it means"),
    ("kind: Experiment\n", "api"),
])  # fmt: skip
def test_a_file_without_an_experiment_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(SpecError, match=re.escape(message)):
        load_format("katib").read(str(file))


def test_one_of_several_experiments_is_chosen_by_its_name(tmp_path: Path) -> None:
    other = {**experiment(), "metadata": {"name": "other"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [experiment(), other]}
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all([{"kind": "ConfigMap"}, listed]), "utf-8")
    assert load_format("katib").read(str(file), study="other").job.name == "other"
    with pytest.raises(ConfigError, match="mnist, other; choose one with --study NAME"):
        load_format("katib").read(str(file))
