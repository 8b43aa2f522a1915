"""A job in one service's words is ported to another before it is planned; nothing of it is lost."""

import json
from pathlib import Path
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings

from cloudtune import TuningJob, api
from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError, UnsupportedError
from cloudtune.planning.plan import Plan, Support, leaves
from cloudtune.porting.adapting import adapt
from cloudtune.porting.places import Place, Places
from cloudtune.porting.tables import Tables
from cloudtune.provider.interface import load_provider
from cloudtune.testing.specs import jobs
from cloudtune_sagemaker.words import SageMakerWords
from cloudtune_vertex.words import VertexWords

ROLE = "arn:aws:iam::123456789012:role/train"
TOML = """
[profiles.aws]
provider = "sagemaker"
identity = "arn:aws:iam::123456789012:role/train"
image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/train:1"
output = "s3://corp/out"

[profiles.gcp]
provider = "vertex"
identity = "train@corp.iam.gserviceaccount.com"
image = "europe-docker.pkg.dev/corp/train/train:1"
output = "gs://corp-out"
instance = "n1-standard-8"

[profiles.azure]
provider = "azureml"
image = "azureml:train@latest"

[places]
"s3://corp/train" = {vertex = "gs://corp-train", azure = "azureml://datastores/corp/paths/train", local = "./data"}
"s3://corp" = {gcp = "gs://all", azureml = "azureml://datastores/all/paths/all"}
"""


def job_with(**fields: Any) -> TuningJob:
    return TuningJob.from_data(
        {
            "name": "moves",
            "trial": {"source": ".", "command": "python train.py"},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}},
            "limits": {"trials": 2},
            **fields,
        }
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "cloudtune.toml").write_text(TOML)
    (tmp_path / "train.py").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "number.txt").write_text("2.5")
    return tmp_path


WRITTEN_FOR_AWS = {
    "data": {"train": "s3://corp/train", "all": "s3://corp/other/part"},
    "output": "s3://corp/models",
    "identity": ROLE,
    "compute": {"instance": "ml.m5.xlarge"},
}


def test_a_job_in_one_services_words_is_planned_on_another_by_its_profile_alone(project: Path) -> None:
    job = job_with(**WRITTEN_FOR_AWS)
    plan = api.plan(job, "gcp", project=project)
    plan.refuse()
    text = json.dumps(plan.request)
    assert "s3://" not in text
    assert ROLE not in text
    spec: Any = plan.request["trialJobSpec"]
    assert spec["baseOutputDirectory"]["outputUriPrefix"] == "gs://all/models/${run}"
    assert spec["serviceAccount"] == "train@corp.iam.gserviceaccount.com"
    assert spec["workerPoolSpecs"][0]["machineSpec"]["machineType"] == "n1-standard-8"
    variables = {each["name"]: each["value"] for each in spec["workerPoolSpecs"][0]["containerSpec"]["env"]}
    assert variables["CLOUDTUNE_DATA_TRAIN"] == "gs://corp-train"
    assert variables["CLOUDTUNE_DATA_ALL"] == "gs://all/other/part"
    supports = {path: plan.support(path) for path, _ in leaves(job)}
    assert None not in supports.values()
    assert supports["data.train"] is Support.ENCODED
    assert supports["identity"] is supports["compute.instance"] is Support.APPROXIMATE
    azure: Any = api.plan(job, "azure", project=project).request
    assert azure["inputs"]["train"]["path"] == "azureml://datastores/corp/paths/train"
    assert api.plan(job, "aws", project=project).support("data.train") is Support.EXACT


def test_any_of_the_places_is_a_key_to_the_others(project: Path) -> None:
    job = job_with(data={"train": "gs://corp-train/part", "own": "./data"})
    request: Any = api.plan(job, "aws", project=project, base=project).request
    inputs = request["TrainingJobDefinition"]["InputDataConfig"]
    uris = {each["ChannelName"]: each["DataSource"]["S3DataSource"]["S3Uri"] for each in inputs}
    assert (uris["train"], uris["own"]) == ("s3://corp/train/part", "s3://corp/train")
    local: Any = api.plan(job, "local", project=project).request
    assert local["data"]["train"] == str(project / "data" / "part")


def test_what_is_missing_is_one_message_with_the_lines_to_add(project: Path) -> None:
    (project / "cloudtune.toml").write_text('[profiles.team]\nprovider = "sagemaker"\n')
    job = job_with(data={"a": "gs://x/a", "b": "gs://x/b"}, output="gs://x/o", identity="a@b.iam.gserviceaccount.com")
    with pytest.raises(UnsupportedError) as caught:
        api.prepare(job, "team", project=project, base=project)
    assert caught.value.lines == (
        "[places]",
        '"gs://x/a" = {sagemaker = "s3://…/a"}',
        '"gs://x/b" = {sagemaker = "s3://…/b"}',
        '"gs://x/o" = {sagemaker = "s3://…/o"}',
        "[profiles.team]",
        'identity = "arn:aws:iam::…:role/…"',
    )
    assert str(caught.value).endswith("\n".join(caught.value.lines))
    assert [problem.path for problem in caught.value.problems].count("data.a") == 1
    plan = api.plan(job, "team", project=project)
    assert Plan.from_data(json.loads(json.dumps(plan.to_data()))) == plan
    assert api.plan(job, "aws", project=project).missing[-1].provider == "sagemaker"  # of no profile yet


def test_what_is_not_on_this_machine_is_a_line_to_add(project: Path) -> None:
    places = {"a": "s3://x/a", "b": {"aws": "s3://x/b", "gcp": "gs://x/b"}, "c": "azureml:c:1", "here": "data"}
    job = job_with(data={**places, "train": "s3://corp/train", "gcp": {"gcp": "gs://corp-train"}})
    plan = api.plan(job, "local", project=project)
    with pytest.raises(UnsupportedError) as caught:
        plan.refuse()
    assert caught.value.lines == (
        "[places]",
        '"s3://x/a" = {local = "./data/a"}',
        '"s3://x/b" = {local = "./data/b"}',
        '"azureml:c:1" = {local = "./data/c"}',
    )
    assert [problem.path for problem in caught.value.problems] == ["data.a", "data.b", "data.c"]
    assert plan.support("data.train") is plan.support("data.gcp.vertex") is Support.APPROXIMATE
    both = api.plan(job, "aws,local", project=project)
    assert {(each.path, each.service) for each in both.missing} == {
        ("data.a", "local"), ("data.b", "local"), ("data.c", "local"), ("data.c", "sagemaker"),
    }  # fmt: skip
    assert both.support("data.a") is Support.UNSUPPORTED
    (project / "cloudtune.toml").write_text("\n".join([TOML, *caught.value.lines[1:]]))
    api.plan(job, "local", project=project).refuse()


def test_the_store_keeps_the_job_as_written_and_as_it_was_sent(project: Path) -> None:
    job = job_with(**WRITTEN_FOR_AWS)
    run = api.prepare(job, "gcp", project=project, base=project)
    assert run.written == job
    assert run.job.data["train"] == "gs://corp-train"
    assert run.job.identity == "train@corp.iam.gserviceaccount.com"
    assert run.plan.support("data.train") is Support.ENCODED
    again = api.attach(run.id, project=project)
    (project / "cloudtune.toml").write_text('[profiles.gcp]\nprovider = "vertex"\n')
    assert (again.written, again.job) == (run.written, run.job)
    job = job_with(strategy={"type": "random"})  # what auto chooses would be a change, too
    untouched = api.prepare(job, "local", project=project, base=project)
    assert untouched.written == untouched.job == job


def test_several_profiles_have_each_the_job_in_their_own_words(project: Path) -> None:
    job = job_with(data={"train": "s3://corp/train"}, identity=ROLE, strategy={"type": "random"})
    plan = api.plan(job, "aws,gcp", project=project)
    plan.refuse()
    aws, gcp = json.dumps(plan.request["aws"]), json.dumps(plan.request["gcp"])
    assert "s3://corp/train" in aws
    assert "gs://corp-train" in gcp
    note = next(note for note in plan.notes if note.path == "data.train")
    assert "on gcp" in note.message
    run = api.prepare(job, "aws,gcp", project=project, base=project)
    assert run.job == run.written == job
    kept = TuningJob.from_data(json.loads(run.record.native["job:gcp"]))
    assert (kept.data["train"], kept.identity) == ("gs://corp-train", "train@corp.iam.gserviceaccount.com")
    (project / "cloudtune.toml").write_text(TOML.partition("[places]")[0])
    lacking = api.plan(job, "aws,gcp", project=project)
    assert [(each.path, each.service) for each in lacking.missing] == [("data.train", "vertex")]


def test_an_exported_request_is_in_the_services_words(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "job.yaml").write_text(job_with(**WRITTEN_FOR_AWS).to_yaml())
    assert run_app(["export", str(project / "job.yaml"), "--to", "gcp"]) == 0
    out, told = capsys.readouterr()
    assert "gs://corp-train" in out
    assert "s3://" not in out
    assert "data.train: encoded: is read from gs://corp-train" in told
    (project / "job.yaml").write_text(job_with(data={"x": "s3://elsewhere/x"}).to_yaml())
    assert run_app(["export", str(project / "job.yaml"), "--to", "gcp"]) == 3
    assert '"s3://elsewhere/x" = {vertex = "gs://…/x"}' in capsys.readouterr().err


@given(job=jobs())
@settings(max_examples=examples(60), deadline=None)
def test_a_ported_job_is_left_as_it_is_and_no_leaf_is_lost(job: TuningJob) -> None:
    tables = Tables(Places([Place("s3://bucket", {"vertex": "gs://bucket"})]), settings={"service_account": "a@b.c"})
    for words in (VertexWords(), SageMakerWords()):
        once = adapt(job, words, tables)
        again = adapt(once.job, words, tables)
        assert again.job == once.job
        assert [each.path for each in again.missing] == [each.path for each in once.missing]
        plan = once.on(load_provider(words.provider)({}).plan(once.job))
        assert all(plan.support(path) is not None for path, _ in leaves(job))


def test_port_writes_the_job_in_the_services_words_and_keeps_its_comments(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = """\
# mine
name: moves   # the name
trial: {command: python train.py, source: .}
objective: {metric: score, goal: maximize}
space:
  x: {type: float, low: 0, high: 1}
limits: {trials: 2}
data:
  train: s3://corp/train   # big
  other: {aws: s3://corp/other}
output: s3://corp/out
identity: arn:aws:iam::123456789012:role/train   # whose
"""
    (project / "job.yaml").write_text(written)
    target = project / "gcp.yaml"
    assert run_app(["port", str(project / "job.yaml"), "--to", "gcp", "-o", str(target)]) == 0
    text = target.read_text()
    assert "# mine\nname: moves   # the name\n" in text
    assert "  train: gs://corp-train   # big\n" in text
    assert "  other: {sagemaker: s3://corp/other, vertex: gs://all/other}\n" in text
    assert "identity: train@corp.iam.gserviceaccount.com   # whose\n" in text
    assert "# - data.train: encoded: is read from gs://corp-train" in text
    found = TuningJob.from_yaml(target)
    assert found == load_provider("vertex")({}).adapt(found).job
    assert api.plan(found, "gcp", project=project).support("data.train") is Support.ENCODED
    (project / "job.yaml").write_text(written.replace("s3://corp/train ", "s3://elsewhere/train "))
    capsys.readouterr()
    assert run_app(["port", str(project / "job.yaml"), "--to", "gcp"]) == 3
    out, told = capsys.readouterr()
    assert "train: s3://elsewhere/train   # big" in out
    assert told.endswith('[places]\n"s3://elsewhere/train" = {vertex = "gs://…/train"}\n')


@pytest.mark.parametrize(
    ("provider", "said", "own"),
    [
        ("sagemaker", {"identity": ROLE, "instance": "ml.m5.xlarge"}, {"role": ROLE, "instance": "ml.m5.xlarge"}),
        ("vertex", {"identity": "a@b.c", "instance": "n1-standard-8", "region": "europe-west4"}, {"service_account": "a@b.c", "machine": "n1-standard-8", "location": "europe-west4"}),
        ("azureml", {"image": "azureml:x@latest"}, {"environment": "azureml:x@latest"}),
    ],
)  # fmt: skip
def test_a_profile_may_say_things_by_names_that_mean_the_same_everywhere(
    provider: str, said: dict[str, str], own: dict[str, str]
) -> None:
    made = load_provider(provider)
    common = {"output": "azureml://datastores/x/paths/y"} if provider == "azureml" else {"output": f"{'gs' if provider == 'vertex' else 's3'}://b/x"}  # fmt: skip
    job = job_with()
    plan = made({**common, **said}).plan(job)
    assert plan == made({**common, **own}).plan(job)
    assert common["output"] in json.dumps(plan.request)
    assert all(value in json.dumps(plan.request) for name, value in own.items() if name != "location")
    for name, value in said.items():
        alias = made.words.settings.get(name, name) if made.words is not None else name
        if alias != name:
            with pytest.raises(ConfigError, match=f"says '{alias}' twice, once as '{name}'"):
                made({name: value, alias: value})


def test_a_slip_in_such_a_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="the vertex profile has no setting 'idenity'; did you mean 'identity'"):
        load_provider("vertex")({"idenity": "a@b.c"})


def test_azures_profile_says_identity_and_machine_size() -> None:
    settings = {"identity": "managed", "instance": "Standard_DS3_v2", "image": "azureml:x@latest"}
    request: Any = load_provider("azureml")(settings).plan(job_with()).request
    assert request["identity"] == {"type": "managed_identity"}
    assert request["resources"]["instance_type"] == "Standard_DS3_v2"
    request = load_provider("azureml")({**settings, "compute": "cpu"}).plan(job_with()).request
    assert (request["compute"], "resources" in request) == ("azureml:cpu", False)


def test_check_tells_of_mistakes_in_places(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (project / "cloudtune.toml").write_text(
        '[profiles.own]\nprovider = "local"\n[places]\n"s3://b" = {gpc = "gs://b"}\n'
    )
    monkeypatch.chdir(project)
    assert run_app(["check"]) == 1
    assert "did you mean 'gcp'" in capsys.readouterr().out


def test_the_signature_of_a_url_is_no_part_of_a_place_and_in_no_message(project: Path) -> None:
    signed = "https://corp.blob.core.windows.net/train/part?sv=2024&sig=c2VjcmV0c2VjcmV0c2VjcmV0"
    plan = api.plan(job_with(data={"train": signed}), "gcp", project=project)
    assert [each.key for each in plan.missing] == ["https://corp.blob.core.windows.net/train/part"]
    assert not any("c2VjcmV0" in note.message for note in plan.notes if note.path == "data.train")
    text = TOML + '"https://corp.blob.core.windows.net/train" = {gcp = "gs://corp-train"}\n'
    (project / "cloudtune.toml").write_text(text)
    ported = api.prepare(job_with(data={"train": signed}), "gcp", project=project, base=project)
    assert ported.job.data == {"train": "gs://corp-train/part"}


def test_what_else_is_wrong_is_told_beside_what_is_missing(tmp_path: Path) -> None:
    mine = "123456789012.dkr.ecr.us-west-2.amazonaws.com/mine:1"
    plan = api.plan(job_with(trial={"image": mine}), "azure", project=tmp_path)
    said = [note.path for note in plan.notes if note.support is Support.UNSUPPORTED]
    assert sorted(said) == ["trial", "trial.image"]
