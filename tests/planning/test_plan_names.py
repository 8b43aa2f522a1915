"""What a spec says for one provider alone: names are those of providers, or aliases, or a slip."""

from pathlib import Path
from typing import Any

import pytest

from cloudtune.errors import SpecError
from cloudtune.planning.plan import Support
from cloudtune.plugins.entry_points import providers
from cloudtune.provider.interface import load_provider
from cloudtune.spec.job import TuningJob

ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"


def job_of(**fields: Any) -> TuningJob:
    data = {
        "name": "names",
        "trial": {"command": "python train.py", **fields.pop("trial", {})},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0, "high": 1}},
        "limits": {"trials": 3},
        **fields,
    }
    return TuningJob.from_data(data)


PLACES: dict[str, Any] = {
    "trial.image": lambda said: {"trial": {"image": said}},
    "compute.instance": lambda said: {"compute": {"instance": said}},
    "data.train": lambda said: {"data": {"train": said}},
    "output": lambda said: {"output": said},
    "identity": lambda said: {"identity": said},
    "encryption.key": lambda said: {"encryption": {"key": said}},
    "encryption.volume_key": lambda said: {"encryption": {"volume_key": said}},
}


@pytest.mark.parametrize("on", [name for name in providers() if name != "mixed"])
@pytest.mark.parametrize("place", PLACES)
def test_a_misspelt_provider_is_refused_wherever_a_spec_may_name_one(place: str, on: str, tmp_path: Path) -> None:
    plan = load_provider(on)({}).plan(job_of(**PLACES[place]({"sagemakr": "x", "vertex": "y"})))
    (note,) = [note for note in plan.notes if note.path == f"{place}.sagemakr"]
    assert (note.support, note.message) == (
        Support.UNSUPPORTED,
        "there is no provider 'sagemakr'; did you mean 'sagemaker'?",
    )
    assert all("no provider" not in note.message for note in plan.notes if note.path == f"{place}.vertex")


@pytest.mark.parametrize("on", [name for name in providers() if name != "mixed"])
def test_a_misspelt_provider_under_native_is_refused(on: str) -> None:
    plan = load_provider(on)({}).plan(job_of(native={"vertexx": {"a": 1}, "katib": {"b": 2}}))
    assert plan.support("native.vertexx.a") is Support.UNSUPPORTED
    assert plan.support("native.katib.b") is Support.APPROXIMATE  # a format that a job can be written in
    assert any("did you mean 'vertex'" in note.message for note in plan.notes if note.path == "native.vertexx")


def test_an_alias_is_its_provider() -> None:
    job = job_of(
        trial={"image": {"aws": ECR, "gcp": "gcr.io/p/i"}},
        identity={"aws": "arn:aws:iam::123456789012:role/r"},
        native={"aws": {"Autotune": {"Mode": "Enabled"}}},
    )
    assert job.trial.image == {"sagemaker": ECR, "vertex": "gcr.io/p/i"}
    plan = load_provider("sagemaker")({}).plan(job)
    assert plan.request["Autotune"] == {"Mode": "Enabled"}
    assert plan.support("trial.image.sagemaker") is Support.EXACT
    assert TuningJob.from_yaml(job.to_yaml()) == job


def test_native_settings_of_a_provider_with_a_field_are_its_fields() -> None:
    own = {"Autotune": {"Mode": "Enabled"}}
    assert job_of(native={"sagemaker": own}) == job_of(sagemaker=own)
    with pytest.raises(SpecError, match=r"native\.sagemaker; keep one"):
        job_of(sagemaker=own, native={"sagemaker": own})


def test_one_provider_by_its_name_and_its_alias_is_refused() -> None:
    with pytest.raises(SpecError, match=r"'sagemaker' twice"):
        job_of(identity={"aws": "a", "sagemaker": "b"})
