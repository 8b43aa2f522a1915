"""What a Ray cluster is told of a job: resources, places, notes; without Ray and without a cluster."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloudtune.errors import UnsupportedError
from cloudtune.planning.plan import Plan, Support
from cloudtune.spec.job import TuningJob
from cloudtune_ray.briefing import found_files, placement
from cloudtune_ray.capabilities import ACCELERATORS, SUPPORT, accelerator
from cloudtune_ray.translate import ActorOptions, translate


def plan(mounts: Any = None, **fields: Any) -> Plan:
    data = {
        "name": "j",
        "trial": {"source": "src", "command": "python train.py", **fields.pop("trial", {})},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0, "high": 1}},
        "limits": {"trials": 1},
        **fields,
    }
    return translate(TuningJob.from_data(data), mounts)


def actor(**fields: Any) -> Any:
    return plan(**fields).request["actor"]


def note(planned: Plan, path: str) -> str:
    return next(note.message for note in planned.notes if note.path == path)


def test_a_trial_takes_one_processor_unless_the_job_says_otherwise() -> None:
    assert actor()["num_cpus"] == 1
    assert actor()["num_gpus"] == 0
    assert actor(compute={"cpus": 3, "memory": "2GB"}) == {
        **actor(), "num_cpus": 3, "memory": 2_000_000_000,
    }  # fmt: skip
    assert actor(compute={"cpus": 3}, ray={"num_cpus": 0.5})["num_cpus"] == 0.5


@pytest.mark.parametrize(
    ("said", "kind", "count"),
    [
        ("A100:2", "A100", 2),
        ("NVIDIA_TESLA_T4", "T4", 1),
        ("nvidia-h100", "H100", 1),
        ("NVIDIA_A100_80G:8", "A100-80G", 8),
        ("amd-instinct-mi250x", "AMD-Instinct-MI250X", 1),
        ("GPU:4", None, 4),
    ],
)
def test_accelerators_have_rays_names(said: str, kind: str | None, count: int) -> None:
    options = actor(compute={"accelerators": said})
    assert (options["accelerator_type"], options["num_gpus"]) == (kind, count)


def test_an_accelerator_that_ray_does_not_know_is_refused_with_those_that_it_knows() -> None:
    planned = plan(compute={"accelerators": "ACME-9000:1"})
    with pytest.raises(
        UnsupportedError, match="no accelerator of this name; take GPU for any, or one of ray.util.accelerators: V100, "
    ):
        planned.refuse()


def test_the_known_accelerators_are_rays_own() -> None:
    import ray
    from ray.util.accelerators import accelerators

    if ray.__version__.split(".") < ["2", "60"]:
        pytest.skip("the table is of Ray 2.60; earlier versions know fewer, and take any name as a resource's")
    known = {value for name, value in vars(accelerators).items() if name.isupper() or name[0].isupper()}
    assert set(ACCELERATORS) <= known
    missing = {name for name in known - set(ACCELERATORS) if isinstance(name, str) and accelerator(name) is None}
    assert all(not name.startswith(("NVIDIA", "AMD-Instinct-MI3", "H", "B")) for name in missing), missing


def test_trials_share_a_gpu_where_they_ask_for_a_part_of_one() -> None:
    options = actor(compute={"accelerators": "T4:0.5"})
    assert (options["accelerator_type"], options["num_gpus"]) == ("T4", 0.5)


def test_a_part_of_a_gpu_and_custom_resources_are_native_settings() -> None:
    settings = {"num_gpus": 0.25, "resources": {"fpga": 1}, "scheduling_strategy": "SPREAD"}
    options = ActorOptions.model_validate(actor(ray=settings))
    assert placement(options, {}) == {
        "num_cpus": 1, "num_gpus": 0.25, "resources": {"fpga": 1}, "scheduling_strategy": "SPREAD",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        ({"gpus": 1}, "ray.gpus", "is no setting of ray; did you mean 'num_gpus'?"),
        ({"num_gpus": 1.5}, "ray.num_gpus", "a part of one GPU, or a whole number"),
        ({"resources": {"GPU": 1}}, "ray.resources", "GPU is no custom resource"),
        ({"runtime_env": {"pipp": []}}, "ray.runtime_env", "no 'pipp'; it has working_dir"),
        ({"runtime_env": {"working_dir": "src"}}, "ray.runtime_env", "write trial: {source: src}, or give"),
        ({"runtime_env": {"working_dir": "/home/me"}}, "ray.runtime_env", "write trial: {source: /home/me}, or give"),
        (
            {"runtime_env": {"py_modules": ["s3://b/m.zip", "./m"]}},
            "ray.runtime_env",
            "py_modules: './m' is of this machine",
        ),
        ({"runtime_env": {"java_jars": ["a.jar"]}}, "ray.runtime_env", "java_jars: 'a.jar' is of this machine"),
        ({"grace": -1}, "ray.grace", "greater than or equal to 0"),
        ({"linger": "soon"}, "ray.linger", "not a duration"),
    ],
)
def test_a_mistake_in_the_native_settings_is_refused_where_it_is(settings: Any, path: str, message: str) -> None:
    planned = plan(ray=settings)
    with pytest.raises(UnsupportedError) as refused:
        planned.refuse()
    assert [problem.path for problem in refused.value.problems] == [path]
    assert message in refused.value.problems[0].message


def test_values_of_a_runtime_environments_variables_are_masked() -> None:
    planned = plan(ray={"runtime_env": {"env_vars": {"TOKEN": "hidden"}, "pip": ["x"]}})
    assert planned.request["actor"]["runtime_env"] == {"env_vars": {"TOKEN": "***"}, "pip": ["x"]}  # type: ignore[index,call-overload]
    assert planned.support("ray.runtime_env.env_vars.TOKEN") is Support.ENCODED
    assert planned.support("ray.runtime_env.pip") is Support.EXACT


def test_the_plan_says_how_code_and_data_travel() -> None:
    planned = plan(data={"train": {"ray": "d", "sagemaker": "s3://b/d"}})
    assert "requirements.txt" in note(planned, "trial.source")
    assert "travels to each node once" in note(planned, "data.train.ray")
    assert "no effect here" in note(planned, "data.train.sagemaker")
    assert plan(data={"train": "d"}, ray={"data": "shared"}).support("data.train") is Support.EXACT
    with pytest.raises(UnsupportedError, match=r"data\.train: Ray fetches nothing from there"):
        plan(data={"train": "s3://b/d"}).refuse()
    mounted = plan({"s3://b": Path("/mnt")}, data={"train": "s3://b/d"})
    assert mounted.request["data"] == {"train": "/mnt/d"}
    assert mounted.support("data.train") is Support.APPROXIMATE


def test_a_job_without_a_source_says_where_trials_start() -> None:
    planned = plan(trial={"source": None})
    assert "without trial.source no code travels" in note(planned, "trial.command")
    assert planned.support("trial.command") is Support.APPROXIMATE
    assert plan().support("trial.command") is Support.EXACT


def test_what_a_cluster_decides_itself_is_noted() -> None:
    planned = plan(compute={"instance": "big", "count": 2, "spot": True, "disk": "1GB"}, identity="me", tags={"a": "b"})
    for path in ("compute.instance", "compute.count", "compute.spot", "compute.disk", "identity", "tags.a"):
        assert planned.support(path) is Support.APPROXIMATE
    assert "started again" in note(planned, "compute.spot")
    assert planned.mode == "driven"


def test_every_row_of_the_support_table_that_is_not_exact_says_something() -> None:
    assert all(remark or support is Support.EXACT for support, remark in SUPPORT.values())


def test_requirements_are_found_beside_the_job_or_in_its_source(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "requirements.txt").write_text("x\n")
    (tmp_path / "env.yaml").write_text("{}")
    found = found_files({"pip": "requirements.txt", "conda": "env.yaml", "uv": ["y"]}, tmp_path, "src")
    assert found == {
        "pip": str(tmp_path / "src" / "requirements.txt"),
        "conda": str(tmp_path / "env.yaml"),
        "uv": ["y"],
    }
    assert found_files({"conda": "base"}, tmp_path, None) == {"conda": "base"}


def test_a_plan_does_not_load_ray() -> None:
    code = (
        "import sys\nfrom cloudtune import TuningJob, plan\n"
        "job = TuningJob.from_data({'name': 'j', 'trial': {'command': 'c'}, 'objective': {'metric': 'm', 'goal': 'minimize'},"
        " 'space': {'x': {'type': 'float', 'low': 0, 'high': 1}}, 'limits': {'trials': 1}, 'compute': {'accelerators': 'T4'},"
        " 'ray': {'runtime_env': {'pip': ['x']}}})\n"
        "assert plan(job, 'ray').mode == 'driven'\nassert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
