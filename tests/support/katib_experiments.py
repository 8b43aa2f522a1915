"""Experiments of Katib, as its users write them."""

from typing import Any

from cloudtune import TuningJob
from cloudtune.interop.documents import Document
from cloudtune.interop.formats import Imported
from cloudtune.interop.katib.reading import parse
from cloudtune.space.parameters import Float


def experiment(**changes: Any) -> dict[str, Any]:
    """A random search for two parameters; changes are members of its spec, None takes one away."""
    spec = {
        "objective": {"type": "minimize", "goal": 0.001, "objectiveMetricName": "loss"},
        "algorithm": {"algorithmName": "random"},
        "parallelTrialCount": 3,
        "maxTrialCount": 12,
        "maxFailedTrialCount": 3,
        "parameters": [double("lr", "0.01", "0.05"), double("momentum", "0.5", "0.9")],
        "trialTemplate": template(["python3", "/opt/mnist.py", "--epochs=1", "--lr=${trialParameters.learningRate}", "--momentum=${trialParameters.momentum}"]),
    }  # fmt: skip
    given = {name: part for name, part in {**spec, **changes}.items() if part is not None}
    return {"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment", "metadata": {"name": "mnist", "namespace": "kubeflow"}, "spec": given}  # fmt: skip


def double(name: str, low: str, high: str, **more: str) -> dict[str, Any]:
    return {"name": name, "parameterType": "double", "feasibleSpace": {"min": low, "max": high, **more}}


def template(command: list[str], **more: Any) -> dict[str, Any]:
    container = {"name": "training-container", "image": "ghcr.io/me/mnist:1", "command": command}
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}}}  # fmt: skip
    named = [{"name": "learningRate", "reference": "lr", "description": "of the optimizer"}, {"name": "momentum", "reference": "momentum"}]  # fmt: skip
    return {"primaryContainerName": "training-container", "trialParameters": named, "trialSpec": job, **more}


def with_container(**members: Any) -> dict[str, Any]:
    """An experiment whose container has these members; None takes one away."""
    found = experiment()
    containers = found["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
    containers[0] = {name: part for name, part in {**containers[0], **members}.items() if part is not None}
    return found


def pytorch() -> dict[str, Any]:
    found = experiment()
    trial_template = found["spec"]["trialTemplate"]
    pod = trial_template["trialSpec"]["spec"]["template"]
    pod["spec"]["containers"][0]["name"] = trial_template["primaryContainerName"] = "pytorch"
    replicas = {kind: {"replicas": count, "restartPolicy": "OnFailure", "template": pod} for kind, count in (("Master", 1), ("Worker", 2))}  # fmt: skip
    trial_template["trialSpec"] = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "spec": {"pytorchReplicaSpecs": replicas}}  # fmt: skip
    return found


def train_job() -> dict[str, Any]:
    found = experiment()
    words = found["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]["command"]
    trainer = {"numNodes": 2, "image": "me/mnist:1", "command": words, "resourcesPerNode": {"limits": {"cpu": "2"}}}
    found["spec"]["trialTemplate"]["trialSpec"] = {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "spec": {"runtimeRef": {"name": "torch"}, "trainer": trainer}}  # fmt: skip
    found["spec"]["trialTemplate"]["primaryContainerName"] = "node"
    return found


def config_map() -> dict[str, Any]:
    source = {"configMapName": "templates", "configMapNamespace": "kubeflow", "templatePath": "mnist.yaml"}
    return experiment(trialTemplate={**template([]), "trialSpec": None, "configMap": source, "successCondition": "status.succeeded"})  # fmt: skip


SETTINGS = [{"name": "resource_name", "value": "epochs"}, {"name": "eta", "value": "3"}, {"name": "r_l", "value": "9"}]


METADATA = [{"name": "trialName", "reference": "${trialSpec.Name}"}, {"name": "label", "reference": "${trialSpec.Labels[team]}"}]  # fmt: skip


FILTER = r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}"


SAMPLES = {
    "random": experiment(),
    "nothing but what must be": experiment(objective={"type": "maximize", "objectiveMetricName": "f1"}, parallelTrialCount=None, maxFailedTrialCount=None),
    "no end": experiment(maxTrialCount=None),
    "grid": experiment(algorithm={"algorithmName": "grid"}, parameters=[double("lr", "0.01", "0.05", step="0.005"), double("momentum", "0.5", "0.9", step="0.1")]),
    "cmaes": experiment(algorithm={"algorithmName": "cmaes", "algorithmSettings": [{"name": "restart_strategy", "value": "ipop"}, {"name": "random_state", "value": "7"}]}),
    "bayesian": experiment(algorithm={"algorithmName": "bayesianoptimization", "algorithmSettings": [{"name": "n_initial_points", "value": "5"}, {"name": "acq_func", "value": "EI"}]}),
    "tpe": experiment(algorithm={"algorithmName": "tpe", "algorithmSettings": [{"name": "gamma", "value": "0.3"}, {"name": "prior_weight", "value": "1.1"}]}),
    "multivariate-tpe": experiment(algorithm={"algorithmName": "multivariate-tpe", "algorithmSettings": [{"name": "n_startup_trials", "value": "5"}]}),
    "sobol": experiment(algorithm={"algorithmName": "sobol"}),
    "hyperband": experiment(algorithm={"algorithmName": "hyperband", "algorithmSettings": SETTINGS}, parameters=[double("lr", "0.01", "0.05"), double("momentum", "0.5", "0.9"), {"name": "epochs", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "9"}}]),
    "pbt": experiment(algorithm={"algorithmName": "pbt", "algorithmSettings": [{"name": "n_population", "value": "40"}, {"name": "truncation_threshold", "value": "0.2"}]}, resumePolicy="FromVolume", maxFailedTrialCount=30),
    "a service of one's own": experiment(algorithm={"algorithmName": "mine", "algorithmSettings": [{"name": "x", "value": "1"}]}),
    "median stopping": experiment(earlyStopping={"algorithmName": "medianstop", "algorithmSettings": [{"name": "min_trials_required", "value": "1"}, {"name": "start_step", "value": "2"}]}),
    "median stopping by default": experiment(earlyStopping={"algorithmName": "medianstop"}),
    "push": experiment(metricsCollectorSpec={"collector": {"kind": "Push"}}),
    "file": experiment(metricsCollectorSpec={"collector": {"kind": "File"}, "source": {"filter": {"metricsFormat": [FILTER]}, "fileSystemPath": {"kind": "File", "path": "/log"}}}),
    "JSON file": experiment(metricsCollectorSpec={"collector": {"kind": "File"}, "source": {"fileSystemPath": {"kind": "File", "path": "/log", "format": "JSON"}}}),
    "events": experiment(metricsCollectorSpec={"collector": {"kind": "TensorFlowEvent"}, "source": {"fileSystemPath": {"kind": "Directory", "path": "/log"}}}),
    "prometheus": experiment(metricsCollectorSpec={"collector": {"kind": "PrometheusMetric"}, "source": {"httpGet": {"port": 8080, "path": "/metrics"}}}),
    "own collector": experiment(metricsCollectorSpec={"collector": {"kind": "Custom", "customCollector": {"name": "c", "image": "c:1"}}}),
    "further metrics": experiment(objective={"type": "maximize", "objectiveMetricName": "Validation-accuracy", "additionalMetricNames": ["Train-accuracy"], "metricStrategies": [{"name": "Validation-accuracy", "value": "latest"}, {"name": "Train-accuracy", "value": "max"}]}),
    "the worst value": experiment(objective={"type": "maximize", "objectiveMetricName": "a", "metricStrategies": [{"name": "a", "value": "min"}]}),
    "distributions": experiment(parameters=[double("lr", "0.001", "1", distribution="logUniform"), double("momentum", "0.01", "0.05", step="0.01", distribution="normal"), {"name": "batch", "parameterType": "int", "feasibleSpace": {"min": "32", "max": "64", "distribution": "logNormal"}}, {"name": "depth", "parameterType": "int", "feasibleSpace": {"min": "0", "max": "8", "distribution": "logUniform"}}]),
    "lists": experiment(parameters=[double("lr", "1e-2", "0.50"), double("momentum", "0", "1"), {"name": "opt", "parameterType": "categorical", "feasibleSpace": {"list": ["sgd", "32", "true", ""]}}, {"name": "size", "parameterType": "discrete", "feasibleSpace": {"list": ["8", "0.5", "16"]}}, {"name": "odd", "parameterType": "discrete", "feasibleSpace": {"list": ["8", "eight"]}}]),
    "names that a job cannot have": experiment(parameters=[double("--lr", "0.01", "0.05"), double("a b", "0", "1")], trialTemplate=template(["p", "--lr=${trialParameters.x}", "${trialParameters.y}"], trialParameters=[{"name": "x", "reference": "--lr"}, {"name": "y", "reference": "a b"}])),
    "names swapped": experiment(trialTemplate=template(["p", "${trialParameters.lr}", "${trialParameters.momentum}"], trialParameters=[{"name": "lr", "reference": "momentum"}, {"name": "momentum", "reference": "lr"}])),
    "metadata": experiment(trialTemplate=template(["p", "${trialParameters.learningRate}", "${trialParameters.momentum}", "--out=/data/${trialParameters.trialName}", "${trialParameters.label}"], trialParameters=[*template([])["trialParameters"], *METADATA])),
    "command and arguments": with_container(args=["--more", "{lr}"]),
    "an image's own program": with_container(command=None),
    "arguments alone": with_container(command=None, args=["--lr=${trialParameters.learningRate}", "--m", "${trialParameters.momentum}"]),
    "environment": with_container(env=[{"name": "EPOCHS", "value": "3"}, {"name": "RATE", "value": "${trialParameters.learningRate}"}, {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "B", "value": "x"}]),
    "resources": with_container(resources={"limits": {"cpu": "500m", "memory": "4Gi", "nvidia.com/gpu": 2}, "requests": {"cpu": "250m"}}, volumeMounts=[{"name": "data", "mountPath": "/data"}]),
    "labels": {**experiment(), "metadata": {"generateName": "mnist-", "labels": {"team": "ads"}, "annotations": {"a": "b"}}},
    "pytorch": pytorch(),
    "train job": train_job(),
    "config map": config_map(),
    "workflow": experiment(trialTemplate=template([], trialSpec={"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {"steps": ["${trialParameters.learningRate}", "${trialParameters.momentum}"]}})),
    "retained": experiment(trialTemplate=template(["p", "${trialParameters.learningRate}", "${trialParameters.momentum}"], retain=True, primaryPodLabels={"a": "b"}, failureCondition="status.failed")),
}  # fmt: skip


def read(data: dict[str, Any]) -> Imported:
    return parse(Document(data, "the experiment"))


def numbers(value: Any) -> Any:
    """Data whose texts of numbers are numbers, without nulls."""
    if isinstance(value, dict):
        return {key: numbers(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [numbers(part) for part in value]
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def refused_by_katib(data: dict[str, Any]) -> bool:
    """Whether the model of Katib's own API takes less than the whole."""
    from kubeflow_katib_api import models

    whole: bool = models.V1beta1Experiment.from_dict(data).to_dict() != data
    return whole


def job_of(name: str) -> TuningJob:
    return read(SAMPLES[name]).job


def tiny(**fields: Any) -> TuningJob:
    given = {
        "name": "tiny",
        "trial": {"command": ["train"], "image": "i:1"},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": Float(low=0, high=1), "y": Float(low=0, high=1)},
        "limits": {"trials": 4},
    }
    return TuningJob.from_data({**given, **fields})
