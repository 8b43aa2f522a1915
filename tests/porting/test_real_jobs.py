"""Real jobs of three services, each planned on the two others by ``--on`` alone; those that cannot be are listed with why.

What the jobs name (images, machines, places, identities) stands in ``real_jobs.csv``, each with where it is from.
"""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cloudtune import TuningJob, api
from cloudtune.planning.plan import Support, leaves
from cloudtune.remote.resolving import resolve

TABLE = Path(__file__).with_name("real_jobs.csv")
PROFILES = {"sagemaker": "aws", "vertex": "gcp", "azureml": "azure"}

TOML = """
[profiles.aws]
provider = "sagemaker"
region = "us-west-2"
identity = "arn:aws:iam::123456789012:role/train"
image = "123456789012.dkr.ecr.us-west-2.amazonaws.com/train:1"
output = "s3://corp/out"

[profiles.gcp]
provider = "vertex"
image = "us-docker.pkg.dev/corp/train/train:1"
output = "gs://corp/out"
isolated = true

[profiles.azure]
provider = "azureml"
image = "azureml:train@latest"
output = "azureml://datastores/corp/paths/out"
isolated = true

[places]
"s3://sagemaker-us-west-2-123456789012" = {gcp = "gs://corp", azure = "azureml://datastores/corp/paths/corp"}
"s3://jumpstart-cache-prod-us-west-2" = {gcp = "gs://jumpstart", azure = "azureml://datastores/corp/paths/jumpstart"}
"s3://my-bucket" = {gcp = "gs://my-bucket", azure = "azureml://datastores/corp/paths/my-bucket"}
"s3://sagemaker-rapids-hpo-us-west-2" = {gcp = "gs://rapids", azure = "azureml://datastores/corp/paths/rapids"}
"gs://my-project-bucket" = {aws = "s3://my-project", azure = "azureml://datastores/corp/paths/my-project"}
"https://azuremlexamples.blob.core.windows.net/datasets" = {aws = "s3://examples", gcp = "gs://examples"}
"azureml:diabetes-data:1" = {aws = "s3://diabetes", gcp = "gs://diabetes"}
"""

ALGORITHM = "own algorithm"
ENTRYPOINT = "starts no image by itself"
NO_K80 = "no machine of Azure Machine Learning that is known has K80"
CANNOT: dict[tuple[str, str], set[str]] = {
    **{
        (job, service): {ALGORITHM, *({ENTRYPOINT} if service == "azureml" else ())}
        for job in (
            "k8s_operator_spot_xgboost_mnist",
            "object2vec_snli",
            "pipelines_xgboost_warm_start",
            "sdk_integ_multi_algorithm_fm_knn",
            "syn_multi_algorithm_spot",
            "warmstart_image_classification_identical",
        )
        for service in ("vertex", "azureml")
    },
    ("tabnet_gcloud", "sagemaker"): {ALGORITHM},
    ("tabnet_gcloud", "azureml"): {ALGORITHM, ENTRYPOINT},
    **{
        (job, "azureml"): {ENTRYPOINT}
        for job in (
            "rapids_xgboost_airline",
            "model_garden_openllama_peft",
            "movielens_bandits",
            "syn_decay_curve_multi_objective",
        )
    },
    ("model_builder_sample_all_kinds", "azureml"): {ENTRYPOINT, NO_K80},
    ("unit_test_conditional_spot_web_access", "azureml"): {ENTRYPOINT, NO_K80},
    ("showcase_text_grid", "azureml"): {NO_K80},
}
"""Why a job cannot run on a service: what messages say, by the job and the service."""


def read() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def job_of(row: dict[str, str]) -> TuningJob:
    """The job as its service's importer makes it."""

    def said(value: str) -> Any:  # Azure's importer says what it finds for Azure alone
        return {"azureml": value} if row["service"] == "azureml" else value

    data = dict(each.split("=", 1) for each in row["data"].split())
    compute = {
        **({"instance": said(row["instance"])} if row["instance"] else {}),
        **({"accelerators": row["accelerators"]} if row["accelerators"] else {}),
        **({"spot": True} if row["spot"] else {}),
    }
    return TuningJob.from_data(
        {
            "name": row["job"].replace("_", "-"),
            "trial": {"image": said(row["image"]), **({"command": "python t.py"} if row["program"] == "command" else {})},
            "objective": {"metric": "validation:rmse", "goal": "minimize"},
            "space": {"x": {"type": "categorical", "values": [1, 2]}},
            "strategy": {"type": row["strategy"]},
            "limits": {"trials": 2, "parallel": 2},
            "compute": compute,
            "data": {name: said(place) for name, place in data.items()},
            **({"output": said(row["output"])} if row["output"] else {}),
            **({"identity": row["identity"]} if row["identity"] else {}),
            **({"network": {"isolated": True}} if row["isolated"] else {}),
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "cloudtune.toml").write_text(TOML)
    return folder


@pytest.mark.parametrize("row", read(), ids=lambda row: row["job"])
def test_a_real_job_is_planned_on_each_other_service_by_on_alone(row: dict[str, str], project: Path) -> None:
    job = job_of(row)
    for service, profile in PROFILES.items():
        if service == row["service"]:
            continue
        plan = api.plan(job, profile, project=project)
        assert all(plan.support(path) is not None for path, _ in leaves(job)), service
        refused = [note.message for note in plan.notes if note.support is Support.UNSUPPORTED]
        why = CANNOT.get((row["job"], service), set())
        assert [message for message in refused if not any(each in message for each in why)] == [], service
        assert [each for each in why if not any(each in message for message in refused)] == [], service
        assert plan.missing == ()


@pytest.mark.parametrize("row", read(), ids=lambda row: row["job"])
def test_a_real_job_stays_as_it_is_on_its_own_service(row: dict[str, str], project: Path) -> None:
    provider, _, _ = resolve(PROFILES[row["service"]], project)
    adapted = provider.adapt(job_of(row))
    assert not any("another service's" in note.message or note.support is Support.UNSUPPORTED for note in adapted.notes)
    assert adapted.job.trial == job_of(row).trial
    assert adapted.job.data == job_of(row).data


def test_so_many_of_the_real_jobs_move() -> None:
    rows = read()
    assert Counter(row["service"] for row in rows) == {"sagemaker": 14, "vertex": 10, "azureml": 6}
    moves = Counter(
        (row["service"], other)
        for row in rows
        for other in PROFILES
        if other != row["service"] and (row["job"], other) not in CANNOT
    )
    assert moves == {
        ("sagemaker", "vertex"): 8,
        ("sagemaker", "azureml"): 7,
        ("vertex", "sagemaker"): 9,
        ("vertex", "azureml"): 3,
        ("azureml", "sagemaker"): 6,
        ("azureml", "vertex"): 6,
    }


def test_without_places_and_profiles_each_job_asks_for_all_it_lacks_at_once(tmp_path: Path) -> None:
    (row,) = [row for row in read() if row["job"] == "churn_multimodal_text_tabular"]
    plan = api.plan(job_of(row), "gcp", project=tmp_path)
    assert [(each.path, each.table) for each in plan.missing] == [
        ("data.train", "places"),
        ("data.validation", "places"),
        ("output", "places"),
    ]
    (tmp_path / "cloudtune.toml").write_text("\n".join(['default = "local"', *_filled(plan.missing)]))
    api.plan(job_of(row), "gcp", project=tmp_path).refuse()


def _filled(missing: Any) -> list[str]:
    from cloudtune.planning.missing import lines_to_add

    return [line.replace("…", "corp") for line in lines_to_add(missing)]
