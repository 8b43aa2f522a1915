"""What others say to our Experiments: the models of Katib's own API, and a real kube-apiserver with Katib's definitions, where one is given."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from late import LATE

from cloudtune.spec.job import TuningJob
from cloudtune_kubernetes.katib.experiment import with_trial
from cloudtune_kubernetes.settings import KubernetesSettings
from cloudtune_kubernetes.translate import translate
from cloudtune_kubernetes.workload import job_in

if LATE:
    import requests

NAMESPACE = "experiments"
X = {"type": "float", "low": 0.0, "high": 1.0}
CONDITIONAL = {
    "k": {"type": "categorical", "values": ["a", 1, None]},
    "n": {"type": "int", "low": 1, "high": 64, "scale": "log", "when": {"k": ["a"]}},
}
PLAIN = {"spec": {"containers": [{"name": "trial", "command": ["python", "/train.py"]}]}}

JOBS: dict[str, dict[str, Any]] = {
    "search": {"strategy": {"type": "bayesian", "seed": 3}, "stopping": {"type": "median", "grace": 2}, "limits": {"trials": 9, "parallel": 3, "failed": 2, "target": 0.5, "trial_time": "1h"}},
    "conditions": {"space": {"x": X, **CONDITIONAL}, "strategy": {"type": "random"}, "metrics": {"loss": r"loss (\S+)"}},
    "machines": {"compute": {"count": 2, "cpus": 1.5, "memory": "2GB", "accelerators": {"type": "nvidia-a100-80gb", "count": 1}, "instance": ["a", "b"]}},
    "volumes": {"data": {"d": "pvc://inputs/d"}, "output": "pvc://outputs/o", "trial": {"environment": {"A": "b"}}, "tags": {"team": "a"}},
    "plain": {"kubernetes": {**PLAIN, "katib": {"spec": {"resumePolicy": "FromVolume"}}}, "strategy": {"type": "random"}},
    "grid": {"strategy": {"type": "grid", "levels": 3}},
}  # fmt: skip


def experiment(name: str) -> dict[str, Any]:
    """The Experiment of a job, as it is sent."""
    fields = JOBS[name]
    data = {
        "name": name,
        "trial": {"source": "src", "command": "python train.py", "image": "own:1", **fields.get("trial", {})},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": X},
        "limits": {"trials": 9, "parallel": 3},
        "mode": "managed",
        **{key: value for key, value in fields.items() if key != "trial"},
    }
    plan = translate(TuningJob.from_data(data), KubernetesSettings())
    plan.refuse()
    text = re.sub(r"\$\{code\}|\$\{data:[^}]*\}", "code", json.dumps(job_in(plan.request)))
    called = f"e-{name}"
    return with_trial(plan.request, called, json.loads(text.replace("${run}", called)))


def trial_of(made: dict[str, Any]) -> dict[str, Any]:
    """The Job that Katib would make for a trial."""
    text = json.dumps(made["spec"]["trialTemplate"]["trialSpec"])
    job: dict[str, Any] = json.loads(re.sub(r"\$\{trialParameters\.[^}]+\}", "a-1", text))
    return {**job, "metadata": {**job["metadata"], "name": f"{made['metadata']['name']}-abcdefgh"}}


@pytest.mark.complete
@pytest.mark.parametrize("name", JOBS)
def test_the_models_of_katibs_own_api_take_the_whole_of_an_experiment(name: str) -> None:
    models = pytest.importorskip("kubeflow_katib_api.models")
    made = experiment(name)
    assert models.V1beta1Experiment.from_dict(made).to_dict() == made


def test_no_place_in_a_template_is_left_out_of_its_parameters_or_has_none() -> None:
    """pkg/webhook/v1beta1/experiment/validator/validator.go of Katib refuses both."""
    for name in JOBS:
        template = experiment(name)["spec"]["trialTemplate"]
        found = set(re.findall(r"\$\{trialParameters\.([^}]+)\}", json.dumps(template["trialSpec"])))
        assert found == {each["name"] for each in template["trialParameters"]}, name
        assert not {"name", "namespace"} & template["trialSpec"]["metadata"].keys()


class RealServer:
    """A real API server, in which Katib's kinds are defined as Katib's manifests define them."""

    def __init__(self) -> None:
        self._url, self._token = os.environ["KUBE_APISERVER"], os.environ["KUBE_TOKEN"]

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self._token}"}
        return requests.request(
            method, f"{self._url}{path}", json=body, headers=headers, verify=False, timeout=30
        )  # of this machine

    def prepare(self) -> None:
        from cloudtune_kubernetes.emulator.katib.resources import KINDS, definition

        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        place = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for kind in KINDS:
            answer = self.call("POST", place, {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", **definition(kind)})  # fmt: skip
            assert answer.status_code in (201, 409), answer.text


@pytest.fixture(scope="module")
def real() -> Iterator[RealServer]:
    if "KUBE_APISERVER" not in os.environ:
        pytest.skip("no real API server is given")
    server = RealServer()
    server.prepare()
    yield server
    server.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


@pytest.mark.complete
@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("name", JOBS)
def test_a_real_server_takes_an_experiment_and_the_jobs_of_its_trials(name: str, real: RealServer) -> None:
    from cloudtune.testing.conformance import wait_until

    made = experiment(name)
    place = f"/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/experiments"
    wait_until(lambda: real.call("GET", place).status_code == 200)  # a definition is served after a while
    answer = real.call("POST", f"{place}?fieldValidation=Strict", made)
    assert answer.status_code in (201, 409), answer.text
    kept = real.call("GET", f"{place}/{made['metadata']['name']}").json()
    assert kept["spec"] == made["spec"]
    job = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs?dryRun=All&fieldValidation=Strict"
    answer = real.call("POST", job, trial_of(made))
    assert answer.status_code == 201, answer.text
