"""Images by neutral names, and images of one service on another."""

from typing import Any

import pytest
from late import LATE

from cloudtune import TuningJob
from cloudtune.errors import UnsupportedError
from cloudtune.planning.plan import Support
from cloudtune.porting.adapted import Adapted
from cloudtune.porting.adapting import adapt
from cloudtune.porting.frameworks import Framework, NoRegion
from cloudtune.porting.tables import Tables
from cloudtune.porting.words import ServiceWords
from cloudtune_azureml.words import AzureMlWords
from cloudtune_sagemaker.images import SageMakerImages
from cloudtune_sagemaker.words import SageMakerWords
from cloudtune_vertex.words import VertexWords

if LATE:
    from sagemaker.core import image_uris

AWS, GCP, AZURE = SageMakerWords(), VertexWords(), AzureMlWords()
SAGEMAKER = ".dkr.ecr.eu-west-1.amazonaws.com/"
GOOGLE = "europe-docker.pkg.dev/vertex-ai/training/"
CURATED = "azureml://registries/azureml/environments/"


def ported(written: Any, words: ServiceWords, *, gpu: bool = False, command: str | None = "python t.py", **said: str) -> Adapted:  # fmt: skip
    fields: dict[str, Any] = {"compute": {"accelerators": "T4:1"}} if gpu else {}
    trial = {"image": written, **({} if command is None else {"command": command})}
    data = {"name": "x", "trial": trial, "objective": {"metric": "m", "goal": "minimize"}, "limits": {"trials": 1}}
    job = TuningJob.from_data({**data, "space": {"x": {"type": "float", "low": 0, "high": 1}}, **fields})
    return adapt(job, words, Tables(profile="p", settings={"region": "eu-west-1", **said}))


@pytest.mark.parametrize(
    ("name", "words", "gpu", "address"),
    [
        ("pytorch:2.4", AWS, False, "763104351884" + SAGEMAKER + "pytorch-training:2.4.0-cpu-py311"),
        ("torch:2.6", AWS, True, "763104351884" + SAGEMAKER + "pytorch-training:2.6.0-gpu-py312"),
        ("sklearn:1.4", AWS, True, "141502667606" + SAGEMAKER + "sagemaker-scikit-learn:1.4-2-py312-cpu-py3"),
        ("xgboost:1.7", AWS, False, "141502667606" + SAGEMAKER + "sagemaker-xgboost:1.7-1"),
        ("python:3.11", AWS, True, "763104351884" + SAGEMAKER + "pytorch-training:2.5.1-cpu-py311"),
        ("pytorch:2.4", GCP, False, GOOGLE + "pytorch-xla.2-4.py310:latest"),
        ("pytorch:2.4", GCP, True, GOOGLE + "pytorch-gpu.2-4.py310:latest"),
        ("tf:2.11", GCP, True, GOOGLE + "tf-gpu.2-11.py310:latest"),
        ("scikit-learn:1.6", GCP, False, GOOGLE + "sklearn-cpu.1-6:latest"),
        ("pytorch:1.13", GCP, False, GOOGLE + "pytorch-gpu.1-13.py310:latest"),
        ("python:3.11", GCP, False, "python:3.11"),
        ("pytorch:2.8", AZURE, True, CURATED + "acpt-pytorch-2.8-cuda12.6/labels/latest"),
        ("sklearn:1.5", AZURE, False, CURATED + "sklearn-1.5/labels/latest"),
        ("xgboost:1.7", AZURE, False, CURATED + "lightgbm-3.3/labels/latest"),
    ],
)
def test_a_neutral_name_is_looked_up_on_each_service(name: str, words: ServiceWords, gpu: bool, address: str) -> None:
    region = "europe-west4" if words is GCP else "eu-west-1"
    done = ported(name, words, gpu=gpu, region=region)
    assert done.job.trial.image == address
    notes = {note.path: note for note in done.notes}
    if address != name:
        assert notes["trial.image"].support is Support.ENCODED
        assert address in notes["trial.image"].message
        assert any(source in notes["trial.image"].message for source in ("sagemaker-core", "https://"))
    again = adapt(done.job, words, Tables(settings={"region": region}))
    assert (again.job, again.notes) == (done.job, ())


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        (
            "pytorch:2.6",
            GCP,
            r"Vertex AI has no image of pytorch:2\.6; the nearest is pytorch:2\.4 \(it has 1\.4, .*2\.4\)",
        ),
        ("sklearn:1.6", AWS, r"SageMaker has no image of sklearn:1\.6; the nearest is sklearn:1\.4 "),
        ("lightgbm:4.6", AWS, r"SageMaker has no image of lightgbm; it has: "),
        ("xgboost:2.1", AZURE, r"the nearest is xgboost:1\.7"),
        ("pytroch:2.4", GCP, r"no image 'pytroch:2\.4'; did you mean 'pytorch:2\.4'\?"),
    ],
)
def test_a_name_of_nothing_is_refused_with_the_nearest(name: str, words: ServiceWords, says: str) -> None:
    done = ported(name, words)
    (note,) = [note for note in done.notes if note.path == "trial.image"]
    assert note.support is Support.UNSUPPORTED
    with pytest.raises(UnsupportedError, match=says):
        done.refuse(words.provider)
    assert done.job.trial.image == name


def test_a_profiles_own_image_may_be_a_neutral_name() -> None:
    job = ported({"vertex": "gcr.io/x/y:1"}, AZURE, environment="sklearn:1.5").job
    assert job.trial.image == {"vertex": "gcr.io/x/y:1", "azureml": CURATED + "sklearn-1.5/labels/latest"}


OLD_PYTORCH = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:2.2.0-gpu-py310"
MINE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/mine:1"


@pytest.mark.parametrize(
    ("image", "words", "said", "address"),
    [
        (OLD_PYTORCH, GCP, {"image": "gcr.io/x/y"}, "us-docker.pkg.dev/vertex-ai/training/pytorch-xla.2-2.py310:latest"),
        (OLD_PYTORCH, AZURE, {}, CURATED + "acpt-pytorch-2.2-cuda12.1/labels/latest"),
        ("builtin:pytorch:2.2", AZURE, {}, CURATED + "acpt-pytorch-2.2-cuda12.1/labels/latest"),
        ("gcr.io/cloud-aiplatform/training/tf-gpu.2-1:latest", AWS, {}, "763104351884" + SAGEMAKER + "tensorflow-training:2.1.3-cpu-py36"),
        ("us-docker.pkg.dev/vertex-ai/training/xgboost-cpu.1-6:latest", AZURE, {}, CURATED + "lightgbm-3.3/labels/latest"),
        ({"azureml": "azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu:33"}, AWS, {}, "141502667606" + SAGEMAKER + "sagemaker-scikit-learn:1.0-1-cpu-py3"),
        ("azureml:AzureML-lightgbm-3.3@latest", GCP, {"image": "gcr.io/x/y"}, "gcr.io/x/y"),
        (MINE, GCP, {"image": "gcr.io/x/y"}, "gcr.io/x/y"),
    ],
)  # fmt: skip
def test_an_image_of_one_service_becomes_its_equivalent_or_the_profiles_own(
    image: Any, words: ServiceWords, said: dict[str, str], address: str
) -> None:
    done = ported(image, words, **said)
    found = done.job.trial.image
    assert (found[words.provider] if isinstance(found, dict) else found) == address
    assert [(note.path, note.support) for note in done.notes] == [("trial.image", Support.APPROXIMATE)]
    assert done.missing == ()


def test_what_is_no_other_services_stays() -> None:
    for words in (AWS, GCP, AZURE):
        for image in ("registry.example.com/team/x:1", "ubuntu:24.04", {words.provider: "gcr.io/x/y", "mixed": "z"}):
            assert ported(image, words).notes == ()
    assert ported(MINE, AWS).notes == ()


def test_an_algorithm_of_one_service_has_no_equivalent_and_a_profiles_image_does_not_stand_in() -> None:
    for image in ("174872318107.dkr.ecr.us-west-2.amazonaws.com/linear-learner:1", "builtin:linear-learner"):
        done = ported(image, GCP, command=None, image="gcr.io/x/y")
        assert done.job.trial.image == image
        assert ("SageMaker's own algorithm linear-learner") in done.notes[0].message
        assert done.notes[0].support is Support.UNSUPPORTED
    tabular = "us-docker.pkg.dev/vertex-ai-restricted/builtin-algorithm/tab_net_v2"
    assert "own algorithm tab_net_v2" in ported(tabular, AWS, command=None).notes[0].message


def test_a_missing_image_and_a_missing_region_are_lines_to_add(monkeypatch: pytest.MonkeyPatch) -> None:
    (image,) = ported(MINE, GCP).missing
    assert (image.table, image.key, image.value) == ("profiles.p", "image", "….pkg.dev/…")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    (region,) = ported("pytorch:2.4", AWS, region="").missing
    assert (region.table, region.key) == ("profiles.p", "region")
    with pytest.raises(NoRegion):
        SageMakerImages().find(Framework("pytorch", "2.4"), None, gpu=False)


@pytest.mark.complete
@pytest.mark.parametrize("region", ["us-west-2", "cn-north-1"])
def test_sagemakers_images_are_those_that_its_sdk_retrieves(region: str) -> None:
    images = SageMakerImages()
    rows = [row for row in images.rows(region) if row.framework != "python"]
    assert len(rows) > 60
    for row in rows:
        machine = "ml.g5.xlarge" if row.hardware == "gpu" else "ml.m5.xlarge"
        python = ([part for part in row.address.rpartition(":")[2].split("-") if part.startswith("py")] or [None])[-1]
        said = {"version": row.version, "instance_type": machine, "py_version": python, "image_scope": "training"}
        assert image_uris.retrieve(row.framework, region, **said) == row.address
        assert images.recognise(row.address) is not None
