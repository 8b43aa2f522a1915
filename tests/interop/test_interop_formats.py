"""What formats there are, how the command line takes them, and that each place takes what is exported for it."""

import io
import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from cloudtune import TuningJob
from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError
from cloudtune.interop import legal_job_name, legal_names, python_spaces
from cloudtune.interop.documents import read_documents
from cloudtune.interop.formats import Format, Imported, Note, load_format
from cloudtune.plugins import entry_points

JOB = """
name: everywhere
trial:
  source: src
  command: python train.py --rate {lr}
  image: {sagemaker: 1.dkr.ecr.eu-west-1.amazonaws.com/own:1, vertex: own:1, azureml: own:1, katib: own:1}
objective: {metric: score, goal: maximize}
space:
  lr: {type: float, low: 1.0e-4, high: 1.0, scale: log}
  batch: {type: int, low: 8, high: 64, step: 8}
  flag: {type: categorical, values: [true, false]}
strategy: {type: random}
limits: {trials: 5, parallel: 2}
compute: {instance: {sagemaker: ml.m5.large, vertex: n1-standard-4}}
output: {sagemaker: s3://bucket/out, vertex: gs://bucket/out}
identity: {sagemaker: "arn:aws:iam::123456789012:role/own"}
"""
CONFIG = """
[profiles.vertex]
provider = "vertex"
project = "p"
location = "us-central1"
bucket = "b"
[profiles.azureml]
provider = "azureml"
subscription = "s"
resource_group = "g"
workspace = "w"
compute = "cpu"
"""


def sagemaker_takes(text: str, folder: Path) -> None:
    session = pytest.importorskip("botocore.session").get_session()
    from botocore.validate import ParamValidator

    model = session.get_service_model("sagemaker").operation_model("CreateHyperParameterTuningJob")
    report = ParamValidator().validate(json.loads(text), model.input_shape)
    assert not report.has_errors(), report.generate_report()


def vertex_takes(text: str, folder: Path) -> None:
    v1 = pytest.importorskip("google.cloud.aiplatform_v1")
    job = v1.HyperparameterTuningJob.from_json(text, ignore_unknown_fields=False)
    assert [each.parameter_id for each in job.study_spec.parameters] == ["lr", "batch", "flag"]


def azureml_takes(text: str, folder: Path) -> None:
    ml = pytest.importorskip("azure.ai.ml")
    (folder / "exported.yml").write_text(text.replace("${code}", "src"), "utf-8")  # which a run would pack
    job = ml.load_job(folder / "exported.yml")
    assert (job.type, job.limits.max_total_trials) == ("sweep", 5)


def katib_takes(text: str, folder: Path) -> None:
    models = pytest.importorskip("kubeflow_katib_api.models")
    data = yaml.safe_load(text)
    assert models.V1beta1Experiment.from_dict(data).to_dict() == data


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "job.yaml").write_text(JOB, "utf-8")
    (tmp_path / "cloudtune.toml").write_text(CONFIG, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.mark.parametrize("takes", [sagemaker_takes, vertex_takes, azureml_takes, katib_takes], ids=lambda each: each.__name__)  # fmt: skip
def test_what_is_exported_is_what_the_places_own_library_takes(
    takes: Any, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = takes.__name__.removesuffix("_takes")
    assert run_app(["export", "job.yaml", "--to", place]) == 0
    exported, said = capsys.readouterr()
    assert ("note: ${code}" in said) == ("${code}" in exported)
    takes(exported, project)
    (project / "exported").write_text(exported, "utf-8")
    assert run_app(["import", "exported", "--from", place, "-o", "again.yaml"]) == 0
    again = TuningJob.from_yaml(project / "again.yaml")
    assert again.limits.trials == 5
    assert set(again.space) == {"lr", "batch", "flag"}
    assert run_app(["export", "again.yaml", "--to", place]) == 0
    out = capsys.readouterr().out
    assert yaml.safe_load(out) == yaml.safe_load(exported)


# The register


def test_formats_of_other_packages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Format):
        name: ClassVar[str] = "mine"
        summary: ClassVar[str] = "mine"

        def read(self, source: str, *, study: str | None = None) -> Imported:
            return Imported(TuningJob.from_yaml(JOB), (Note("here", source),))

    monkeypatch.setattr(python_spaces, "Mine", Mine, raising=False)
    point = EntryPoint("mine", "cloudtune.interop.python_spaces:Mine", entry_points.FORMATS)
    monkeypatch.setattr(entry_points, "entry_points", lambda group: [point])
    assert list(entry_points.formats()) == ["katib", "wandb", "optuna", "hyperopt", "ray-tune", "kubeflow", "mine"]
    assert load_format("mine").read("it").notes == (Note("here", "it"),)
    with pytest.raises(ConfigError, match="mine can be imported only"):
        load_format("mine").write(TuningJob.from_yaml(JOB))


def test_a_format_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("other", "no_such_package:Format", entry_points.FORMATS)
    monkeypatch.setattr(entry_points, "entry_points", lambda group: [point])
    with pytest.raises(ConfigError, match=r"pip install .*\[other\]"):
        load_format("other")
    with pytest.raises(ConfigError, match="there is no format 'kati'; did you mean 'katib'"):
        load_format("kati")


@pytest.mark.parametrize(("kind", "package"), [("hyperopt", "hyperopt"), ("ray-tune", "ray.tune")])
def test_a_space_whose_library_is_missing_says_what_to_install(
    kind: str, package: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "plain_space.py").write_text("space = {'x': 1}\n", "utf-8")
    for name in [name for name in sys.modules if f"{name}.".startswith((f"{package}.", "cloudtune.interop.ray_tune.", "cloudtune.interop.hyperopt."))]:  # fmt: skip
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"pip install .*\[{kind}\]"):
        load_format(kind).read("plain_space:space")


def test_nothing_heavy_is_loaded_to_name_the_formats() -> None:
    code = "import sys; from cloudtune.plugins import entry_points; entry_points.formats(); print(*sorted({'numpy', 'yaml', 'optuna', 'ray', 'hyperopt'} & set(sys.modules)))"  # fmt: skip
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "optuna" not in loaded
    assert "ray" not in loaded
    assert "yaml" not in loaded


# Spaces in Python


def test_a_space_of_ones_code_becomes_a_job(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("hyperopt")
    (project / "my_hyperopt.py").write_text(
        "from hyperopt import hp\nclass Deep:\n    space = {'C': hp.loguniform('C', -1, 1), 'q': hp.quniform('q', 1, 9, 2)}\n",
        "utf-8",
    )
    assert run_app(["import", "my_hyperopt:Deep.space", "--from", "hyperopt", "-o", "job.yaml", "--force"]) == 0
    said = capsys.readouterr().err
    assert "note: what runs is not known: python train.py stands in its place" in said
    assert "note: rounded distributions" in said
    job = TuningJob.from_yaml(project / "job.yaml")
    assert (job.name, list(job.space), job.objective[0].metric) == ("my_hyperopt", ["C", "q"], "loss")
    assert (project / "job.yaml").read_text("utf-8").startswith("# Made of hyperopt my_hyperopt:Deep.space. To know:\n")


def test_a_grid_of_ray_tune_becomes_a_grid_and_a_mixture_does_not(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray.tune", exc_type=ImportError)
    (project / "my_ray.py").write_text(
        "from ray import tune\ndef grid():\n    return {'x': tune.grid_search([1, 2]), 'c': 3}\n"
        "mixed = {'x': tune.grid_search([1, 2]), 'y': tune.uniform(0, 1)}\n"
        "computed = {'net': {'x': tune.sample_from(lambda config: 1)}}\n",
        "utf-8",
    )
    assert run_app(["import", "my_ray:grid", "--from", "ray-tune"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["strategy"] == {"type": "grid"}
    assert run_app(["import", "my_ray:mixed", "--from", "ray-tune"]) == 0
    assert "note: x: Ray tries each of these values in turn" in capsys.readouterr().err
    assert run_app(["import", "my_ray:computed", "--from", "ray-tune"]) == 2
    assert "net.x: it is computed (sample_from)" in capsys.readouterr().err


@pytest.mark.parametrize(("place", "message"), [
    ("nothing", "write module:attribute"),
    ("no_such_module:x", "the module 'no_such_module' cannot be loaded"),
    ("broken_module:x", "RuntimeError: by design"),
    ("json:nothing", "'json' has no 'nothing'"),
    ("plain:space", "a space of Ray Tune is a dict, not list"),
])  # fmt: skip
def test_a_place_without_a_space_is_refused_in_one_sentence(
    place: str, message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "broken_module.py").write_text("raise RuntimeError('by design')\n", "utf-8")
    (project / "plain.py").write_text("space = [1]\n", "utf-8")
    assert run_app(["import", place, "--from", "ray-tune"]) == 2
    assert message in capsys.readouterr().err


# The command line


@pytest.mark.parametrize(("command", "message"), [
    (["import", "nothing.yaml", "--from", "katib"], "there is no file 'nothing.yaml'"),
    (["import", "nothing.yaml", "--from", "sagemaker"], "there is no file 'nothing.yaml'"),
    (["import", "job.yaml", "--from", "kati"], "other formats are: katib, wandb, optuna, hyperopt, ray-tune"),
    (["import", "job.yaml", "--from", "sagemaker", "--study", "x"], "--study and --trials have no meaning for sagemaker"),
    (["import", "sweep.yaml", "--from", "wandb", "--trials", "t.csv"], "tells of no finished trials"),
    (["export", "job.yaml", "--to", "wandb"], "wandb can be imported only"),
])  # fmt: skip
def test_what_cannot_be_done_is_told(
    command: list[str], message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "sweep.yaml").write_text("method: grid\nparameters: {x: {value: 1}}\n", "utf-8")
    assert run_app(command) == 2
    assert message in capsys.readouterr().err
    assert not (project / "t.csv").exists()


def test_standard_input_is_read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("method: grid\nparameters: {x: {values: [1, 2]}}\n"))
    assert run_app(["import", "-", "--from", "wandb"]) == 0
    out = capsys.readouterr().out
    assert TuningJob.from_yaml(out).strategy.type == "grid"
    assert out.startswith("# Made of wandb -. To know:\n# - ")


def test_json_that_is_indented_by_tabs_is_read(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text('{\n\t"method":\t"grid",\n\t"a": "é"\n}', "utf-8")
    (document,) = read_documents(str(tmp_path / "sweep.json"))
    assert document.data == {"method": "grid", "a": "é"}


def test_names_become_legal_and_stay_apart() -> None:
    assert legal_names(["--lr", "lr", "a b", "a_b", "{}", "ok.x/y"]) == {"--lr": "lr_", "lr": "lr", "a b": "a_b_", "a_b": "a_b", "{}": "_", "ok.x/y": "ok.x/y"}  # fmt: skip
    assert [legal_job_name(said, "job") for said in ("my sweep!", "---", "x" * 99)] == ["my-sweep", "job", "x" * 63]
