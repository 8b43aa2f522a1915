"""Samples of every kind of file, and ways to damage them."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import yaml

JOB: dict[str, Any] = {
    "name": "digits",
    "trial": {"source": ".", "command": "python train.py --lr {lr}", "environment": {"TOKEN": "x"}, "image": "img:1"},
    "objective": {"metric": "loss", "goal": "minimize", "regex": "loss=([0-9.]+)"},
    "metrics": {"acc": "acc=([0-9.]+)"},
    "space": {
        "lr": {"type": "float", "low": 0.001, "high": 0.1, "scale": "log"},
        "depth": {"type": "int", "low": 1, "high": 8, "step": 2},
        "opt": {"type": "categorical", "values": ["adam", "sgd", None, True]},
        "size": {"type": "ordinal", "values": [16, 32, 64]},
        "momentum": {"type": "float", "low": 0, "high": 1, "when": {"opt": "sgd"}},
        "noise": {"type": "normal", "mean": 0, "std": 1, "low": -2},
        "seed": {"type": "constant", "value": 7},
    },
    "strategy": {"type": "bayesian", "seed": 3},
    "first": [{"lr": 0.01, "momentum": 0.5}, {"depth": 3}],
    "stopping": {"type": "median", "grace": 2},
    "limits": {"trials": 10, "parallel": 2, "time": "2h", "trial_time": "10m"},
    "compute": {"cpus": 1, "memory": "1GB", "count": 1},
    "data": {"train": "s3://bucket/train"},
    "tags": {"team": "a"},
    "retries": 1,
}
WANDB: dict[str, Any] = {
    "program": "train.py",
    "method": "bayes",
    "name": "a sweep",
    "metric": {"name": "loss", "goal": "minimize", "target": 0.1},
    "parameters": {
        "learning rate": {"min": 0.001, "max": 0.1, "distribution": "log_uniform_values"},
        "depth": {"min": 1, "max": 8},
        "opt": {"values": ["adam", "sgd"], "probabilities": [0.5, 0.5]},
        "wd": {"values": ["1e-3", 0.01]},
        "flag": {"values": [True, False]},
        "q": {"distribution": "q_log_uniform", "min": 0, "max": 3, "q": 1},
        "n": {"distribution": "q_normal", "mu": 2, "sigma": 1, "q": 0.5},
        "net": {"parameters": {"layers": {"value": [1, 2]}}},
    },
    "early_terminate": {"type": "hyperband", "max_iter": 27, "s": 2, "eta": 3},
    "command": ["${env}", "${interpreter}", "${program}", "${args_no_boolean_flags}"],
    "run_cap": 10,
}
KATIB: dict[str, Any] = {
    "apiVersion": "kubeflow.org/v1beta1",
    "kind": "Experiment",
    "metadata": {"name": "e", "labels": {"a": "b"}},
    "spec": {
        "objective": {"type": "maximize", "goal": 0.9, "objectiveMetricName": "acc", "additionalMetricNames": ["loss"]},
        "algorithm": {"algorithmName": "tpe", "algorithmSettings": [{"name": "random_state", "value": "3"}]},
        "earlyStopping": {"algorithmName": "medianstop", "algorithmSettings": [{"name": "start_step", "value": "2"}]},
        "parallelTrialCount": 2,
        "maxTrialCount": 6,
        "maxFailedTrialCount": 2,
        "parameters": [
            {
                "name": "lr",
                "parameterType": "double",
                "feasibleSpace": {"min": "0.01", "max": "0.1", "distribution": "logUniform"},
            },
            {"name": "depth", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "5", "step": "2"}},
            {"name": "opt", "parameterType": "categorical", "feasibleSpace": {"list": ["a", "b"]}},
            {"name": "size", "parameterType": "discrete", "feasibleSpace": {"list": ["16", "32"]}},
        ],
        "trialTemplate": {
            "primaryContainerName": "c",
            "trialParameters": [{"name": "rate", "reference": "lr"}, {"name": "depth", "reference": "depth"}],
            "trialSpec": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "spec": {
                    "backoffLimit": 1,
                    "template": {
                        "spec": {
                            "restartPolicy": "Never",
                            "containers": [
                                {
                                    "name": "c",
                                    "image": "i",
                                    "command": [
                                        "python",
                                        "t.py",
                                        "--lr=${trialParameters.rate}",
                                        "${trialParameters.depth}",
                                    ],
                                    "env": [{"name": "A", "value": "b"}],
                                    "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                                }
                            ],
                        }
                    },
                },
            },
        },
    },
}
SAGEMAKER: dict[str, Any] = {
    "HyperParameterTuningJobName": "tune",
    "HyperParameterTuningJobConfig": {
        "Strategy": "Bayesian",
        "RandomSeed": 3,
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 8, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "ContinuousParameterRanges": [{"Name": "lr", "MinValue": "1e-4", "MaxValue": "0.1", "ScalingType": "Logarithmic"}],
            "IntegerParameterRanges": [{"Name": "depth", "MinValue": "1", "MaxValue": "8", "ScalingType": "Auto"}],
            "CategoricalParameterRanges": [{"Name": "opt", "Values": ["\"adam\"", "sgd"]}],
        },
        "TrainingJobEarlyStoppingType": "Auto",
        "TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.1},
    },
    "TrainingJobDefinition": {
        "StaticHyperParameters": {"epochs": "3", "sagemaker_program": "\"train.py\""},
        "AlgorithmSpecification": {
            "TrainingImage": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/i:1",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        },
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/train"}},
            }
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    },
    "Tags": [{"Key": "a", "Value": "b"}],
}  # fmt: skip
VERTEX: dict[str, Any] = {
    "displayName": "tune",
    "maxTrialCount": 8,
    "parallelTrialCount": 2,
    "maxFailedTrialCount": 3,
    "studySpec": {
        "metrics": [{"metricId": "loss", "goal": "MINIMIZE"}],
        "parameters": [
            {
                "parameterId": "lr",
                "scaleType": "UNIT_LOG_SCALE",
                "doubleValueSpec": {"minValue": 0.001, "maxValue": 0.1},
            },
            {"parameterId": "depth", "integerValueSpec": {"minValue": "1", "maxValue": 8}},
            {"parameterId": "size", "discreteValueSpec": {"values": [16, 32]}},
            {
                "parameterId": "opt",
                "categoricalValueSpec": {"values": ["adam", "sgd"]},
                "conditionalParameterSpecs": [
                    {
                        "parentCategoricalValues": {"values": ["sgd"]},
                        "parameterSpec": {"parameterId": "m", "doubleValueSpec": {"minValue": 0, "maxValue": 1}},
                    }
                ],
            },
        ],
        "algorithm": "ALGORITHM_UNSPECIFIED",
        "medianAutomatedStoppingSpec": {},
        "studyStoppingConfig": {"maximumRuntimeConstraint": {"maxDuration": "3600s"}},
    },
    "trialJobSpec": {
        "workerPoolSpecs": [
            {
                "machineSpec": {
                    "machineType": "n1-standard-4",
                    "acceleratorType": "NVIDIA_TESLA_T4",
                    "acceleratorCount": 1,
                },
                "replicaCount": 1,
                "diskSpec": {"bootDiskSizeGb": 200},
                "containerSpec": {
                    "imageUri": "gcr.io/p/i",
                    "command": ["python", "t.py"],
                    "env": [{"name": "A", "value": "b"}],
                },
            }
        ],
        "scheduling": {"timeout": "600s"},
        "baseOutputDirectory": {"outputUriPrefix": "gs://bucket/out"},
    },
    "labels": {"team": "a"},
}
AZUREML: dict[str, Any] = {
    "type": "sweep",
    "display_name": "tune",
    "trial": {
        "code": "./src",
        "command": "python t.py --lr ${{search_space.lr}} --data ${{inputs.data}} --n ${{inputs.n}}",
        "environment": "azureml:env@latest",
        "environment_variables": {"A": "b"},
    },
    "inputs": {"data": {"type": "uri_folder", "path": "azureml:d:1"}, "n": 3},
    "outputs": {"model": {"type": "uri_folder"}},
    "compute": "azureml:cpu",
    "sampling_algorithm": {"type": "random", "seed": 3},
    "search_space": {
        "lr": {"type": "loguniform", "min_value": -6, "max_value": -1},
        "n2": {"type": "quniform", "min_value": 1, "max_value": 9, "q": 2},
        "bell": {"type": "qlognormal", "mu": 0, "sigma": 1, "q": 0.5},
        "upto": {"type": "randint", "upper": 5},
        "model": {
            "type": "choice",
            "values": [{"name": "a", "c": {"type": "uniform", "min_value": 0, "max_value": 1}}, "b"],
        },
    },
    "objective": {"goal": "maximize", "primary_metric": "acc"},
    "early_termination": {"type": "bandit", "slack_factor": 0.1, "evaluation_interval": 2},
    "limits": {"max_total_trials": 8, "max_concurrent_trials": 2, "timeout": 3600},
    "identity": {"type": "managed_identity", "client_id": "x"},
    "queue_settings": {"job_tier": "spot"},
    "tags": {"a": "b"},
}
BODY: dict[str, Any] = {
    "name": "tune",
    "properties": {
        "jobType": "Sweep",
        "displayName": "tune",
        "computeId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/computes/cpu",
        "trial": {
            "command": "python t.py ${{search_space.lr}}",
            "environmentId": "azureml:env:1",
            "resources": {"instanceCount": 1},
            "distribution": {"distributionType": "PyTorch", "processCountPerInstance": 2},
        },
        "inputs": {"n": {"jobInputType": "literal", "value": "3"}},
        "outputs": {
            "default": {"jobOutputType": "uri_folder"},
            "model": {"jobOutputType": "uri_folder", "mode": "Upload"},
        },
        "identity": {"identityType": "UserIdentity"},
        "searchSpace": {"lr": ["uniform", [0.1, 0.9]], "opt": ["choice", [["a", {"b": ["randint", [4]]}]]]},
        "samplingAlgorithm": {"samplingAlgorithmType": "Random", "seed": 3, "rule": "Sobol"},
        "objective": {"goal": "Minimize", "primaryMetric": "loss"},
        "earlyTermination": {"policyType": "Bandit", "slackFactor": 0.1, "slackAmount": 0},
        "limits": {
            "jobLimitsType": "Sweep",
            "maxTotalTrials": 4,
            "maxConcurrentTrials": 2,
            "timeout": "PT1H",
            "trialTimeout": "PT5M",
        },
    },
}
CONFIG = """default = "team"

[profiles.team]
provider = "sagemaker"
region = "eu-west-1"

[profiles.both]
provider = "mixed"
profiles = ["team", "local"]

[mounts]
"s3://bucket/train" = "./data"
"""

_HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**64), 10**299, 10**400, 1e308, -1e308, 1e-320, 1e999, -1e999, float("nan"),
    "", " ", "x" * 3000, "\ud800", "\0", "1e-3", "1e999", "nan", "1" * 400, "1" * 5000, "-", "--x", "a b", "{lr}", "${{inputs.lr}}", "${{", "P",
    "PT", "PT1H", "2h", "-5s", "1e400s", "0s", "5GB", "s3://", "s3://bucket", "gs://", "azureml:", "/subscriptions/", "…", "../..", "~", "<<", "*a",
    "choice", "uniform", "(((", "(a+)+$", "[]", "{}", "null", "\n", "\u2028", "bayesian", "grid", "constant", "Minimize",
    [], {}, [[]], [{}], [None], {"": None}, {"type": None}, {"a": {"b": {"c": [1]}}}, ["a"] * 50, [1, 1.0, True, "1"], {"type": "choice"},
)  # fmt: skip


def damaged(data: Any, chance: random.Random) -> Any:
    """Data with one to four changes at any of its places."""
    data = copy.deepcopy(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        found = places(data)
        if not found:
            return data
        holder, key = chance.choice(found)
        chance.choice(_CHANGES)(holder, key, chance)
    return data


def places(data: Any) -> list[tuple[Any, Any]]:
    """Each value below the root, as what holds it and where it is in there."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in list(items) for place in ((data, key), *places(value))]


def _replace(holder: Any, key: Any, chance: random.Random) -> None:
    holder[key] = copy.deepcopy(chance.choice(_HOSTILE))


def _delete(holder: Any, key: Any, chance: random.Random) -> None:  # as its kin
    del holder[key]


def _rename(holder: Any, key: Any, chance: random.Random) -> None:
    if isinstance(holder, dict):
        holder[
            chance.choice((key.upper(), key + "x", key[:-1], "", "a b", "\ud800", "type", "x" * 300, "{" + key + "}"))
        ] = holder.pop(key)
    else:
        holder.insert(key, holder[key])


def _wrap(holder: Any, key: Any, chance: random.Random) -> None:
    holder[key] = chance.choice(([holder[key]], {"a": holder[key]}, [holder[key]] * 2, str(holder[key])))


def _nudge(holder: Any, key: Any, chance: random.Random) -> None:
    value = holder[key]
    if isinstance(value, str) and value:
        at = chance.randrange(len(value))
        holder[key] = value[:at] + chance.choice("{}$[]()'\"\\ \t\n.-0é") + value[at + chance.choice((0, 1)) :]
    elif isinstance(value, int | float):
        holder[key] = chance.choice((-value, value * 1e6, value / 7, value + 0.5, str(value), value == 0))
    else:
        _replace(holder, key, chance)


_CHANGES: tuple[Callable[[Any, Any, random.Random], None], ...] = (
    _replace,
    _replace,
    _delete,
    _rename,
    _wrap,
    _nudge,
    _nudge,
)


def written(data: Any, chance: random.Random) -> bytes:
    """Data as JSON or YAML, at times with damage to the text itself."""
    if chance.random() < 0.5:  # one of two
        text = json.dumps(data, indent=chance.choice((None, 2)))
    else:
        try:
            text = yaml.dump(
                data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, allow_unicode=True
            )
        except (UnicodeError, ValueError):  # half of a character, which JSON can write
            text = json.dumps(data)
    content = text.encode(errors="surrogatepass")
    return bitten(content, chance) if chance.random() < 0.3 else content  # so many


def bitten(content: bytes, chance: random.Random) -> bytes:
    """Bytes of which some are lost, doubled, or others."""
    for _ in range(chance.choice((1, 1, 3))):
        at = chance.randrange(len(content) + 1)
        junk = chance.choice((b"", b"\x00", b"\xff", b"\xe9", b"'", b'"', b"{", b"[", b"]", b"\t", b"\n", b":", b" - ", b"&a ", b"*a", b"!!x ", b"%", b"<<: "))  # fmt: skip
        until = at + chance.choice((0, 0, 1, 5, 200))
        content = content[:at] + junk + content[until:]
    return content
