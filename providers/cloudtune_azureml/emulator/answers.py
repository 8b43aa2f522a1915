"""What the service makes of a job's body when it tells it: defaults filled in, and HyperDrive's own properties and tags.

Read off the recorded answers of the service in Azure/azure-sdk-assets,
``python/sdk/ml/azure-ai-ml/tests/recordings/{sweep_job,command_job}/e2etests`` (API version 2024-01-01-preview).
"""

import json
from collections.abc import Mapping
from typing import Any

from cloudtune_azureml.emulator.model import Sweep

Body = dict[str, Any]
Data = Mapping[str, Any]

_JOB = ("description", "identity", "componentId", "notificationSetting", "secretsConfiguration")
_RESOURCES = {
    "instanceCount": 1,
    "maxInstanceCount": None,
    "instanceType": None,
    "locations": None,
    "properties": None,
    "shmSize": "2g",
    "dockerArgs": None,
}
_OUTPUT = ("description", "uri", "assetName", "assetVersion", "mode", "pathOnCompute", "autoDeleteSetting")
_INPUT = ("description", "uri", "mode", "pathOnCompute")
_SERVICE = ("port", "endpoint", "status", "errorMessage", "properties", "nodes")
_GENERATORS = {"Random": "RANDOM", "Grid": "GRID", "Bayesian": "BAYESIANOPTIMIZATION"}
"""What HyperDrive calls the sampling algorithms; of Random this is recorded, the others are as its first SDK named them."""


def properties_of(own: Data, name: str, arm_id: str) -> Body:
    """Return the properties of a job as the service tells them.

    Args:
        own: those of the request.
        name: of the job.
        arm_id: of the workspace.
    """
    told: Body = {**dict.fromkeys(_JOB), **own}
    told["displayName"] = own.get("displayName") or name
    told["experimentName"] = own.get("experimentName") or "Default"
    told["inputs"] = {key: _input(each) for key, each in (own.get("inputs") or {}).items()}
    told["outputs"] = {key: _output(each) for key, each in (own.get("outputs") or {}).items()}
    if own["jobType"] == "Sweep":  # of a command job the SDK would sign its logs' addresses with the account's key
        told["outputs"].setdefault("default", _default_output(name))
    told["resources"] = {**_RESOURCES, **(own.get("resources") or {})}
    queue = own.get("queueSettings") or {}
    told["queueSettings"] = {**queue, "jobTier": queue.get("jobTier") or "Null", "priority": queue.get("priority")}
    return {**told, **(_sweep(own, arm_id) if own["jobType"] == "Sweep" else _command(own))}


def services_of(**endpoints: str) -> Body:
    """Return the services of a job by their kinds, such as ``Studio``, each with its address."""
    return {
        kind: {**dict.fromkeys(_SERVICE), "jobServiceType": kind, "endpoint": endpoint}
        for kind, endpoint in endpoints.items()
    }


def system_properties(own: Data) -> dict[str, str]:
    """Return the properties that the service gives a new job, beside those of the request."""
    if own["jobType"] == "Sweep":
        return {
            "primary_metric_config": _primary_metric(own),
            "resume_from": "null",
            "runTemplate": "HyperDrive",
            "azureml.runsource": "hyperdrive",
            "platform": "AML",
        }
    cluster = str(own.get("computeId") or "").rpartition("/")[2]
    return {"_azureml.ComputeTargetType": "amlctrain", **({"_azureml.ClusterName": cluster} if cluster else {})}


def system_tags(own: Data, sweep: Sweep | None) -> dict[str, str]:
    """Return the tags that HyperDrive gives a new sweep; none of another job. The environment's details are left out.

    Args:
        own: the properties of the request.
        sweep: what they say; None for another job.
    """
    if sweep is None:
        return {}
    limits, sampling = own.get("limits") or {}, own.get("samplingAlgorithm") or {}
    kind = sampling.get("samplingAlgorithmType", "Random")
    rules = {"rule": "Random", "logbase": None, "seed": None} if kind == "Random" else {}
    generator = {
        "name": _GENERATORS.get(kind, kind),
        "parameter_space": own.get("searchSpace"),
        "properties": {name: sampling.get(name) or default for name, default in rules.items()},
    }
    seconds = sweep.limits.timeout
    return {
        "_aml_system_max_concurrent_jobs": str(limits.get("maxConcurrentTrials") or limits.get("maxTotalTrials")),
        "_aml_system_max_total_jobs": str(limits.get("maxTotalTrials")),
        "_aml_system_max_duration_minutes": str(10080 if seconds is None else max(1, seconds // 60)),
        "_aml_system_policy_config": _compact(_policy(own.get("earlyTermination"))),
        "_aml_system_generator_config": _compact(generator),
        "_aml_system_primary_metric_config": _primary_metric(own),
        "_aml_system_resume_child_runs": "null",
        "_aml_system_all_jobs_generated": "false",
        "_aml_system_cancellation_requested": "false",
        "_aml_system_samples_generated_count": "0",
    }


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _primary_metric(own: Data) -> str:
    objective = own["objective"]
    return _compact({"name": objective["primaryMetric"], "goal": objective["goal"].lower()})


def _policy(policy: Data | None) -> Body:
    if not policy:
        return {"name": "Default", "properties": {}}
    names = {
        "evaluationInterval": "evaluation_interval",
        "delayEvaluation": "delay_evaluation",
        "truncationPercentage": "truncation_percentage",
        "slackFactor": "slack_factor",
        "slackAmount": "slack_amount",
    }
    found = {names[name]: value for name, value in policy.items() if name in names}
    extra = {"exclude_finished_jobs": False} if policy["policyType"] == "TruncationSelection" else {}
    return {"name": policy["policyType"], "properties": {**found, **extra}}


def _sweep(own: Data, arm_id: str) -> Body:
    sampling, limits, trial = own.get("samplingAlgorithm") or {}, own.get("limits") or {}, own["trial"]
    kind = sampling.get("samplingAlgorithmType", "Random")
    random = {"seed": None, "logbase": None, "rule": "Random"} if kind == "Random" else {}
    given = {name: value for name, value in sampling.items() if value is not None}
    return {
        "samplingAlgorithm": {"samplingAlgorithmType": kind, **random, **given},
        "limits": {"jobLimitsType": "Sweep", "timeout": None, "trialTimeout": None, **limits},
        "earlyTermination": own.get("earlyTermination"),
        "objective": {**own["objective"], "goal": own["objective"]["goal"].capitalize()},
        "trial": {
            "codeId": None,
            "environmentVariables": {},
            "distribution": None,
            **trial,
            "environmentId": _full_id(trial.get("environmentId"), arm_id),
            "resources": {**_RESOURCES, **(trial.get("resources") or {})},
        },
        "componentConfiguration": None,
    }


def _command(own: Data) -> Body:
    missing = ("codeId", "distribution", "autologgerSettings", "limits")
    found = {name: own.get(name) for name in missing}
    return {**found, "environmentVariables": own.get("environmentVariables") or {}, "parameters": {}}


def _full_id(reference: Any, arm_id: str) -> Any:
    """Return the full id of an environment; what is none of ``azureml:NAME:VERSION`` as it is."""
    words = str(reference).split(":")
    if len(words) != 3 or words[0] != "azureml" or "/" in words[1]:
        return reference
    return f"{arm_id}/environments/{words[1]}/versions/{words[2]}"


def _input(given: Data) -> Body:
    if str(given.get("jobInputType")).lower() == "literal":
        return {"description": None, **given}
    return {**dict.fromkeys(_INPUT), **given}


def _output(given: Data) -> Body:
    return {**dict.fromkeys(_OUTPUT), **given}


def _default_output(name: str) -> Body:
    uri = f"azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.{name}"
    return _output({"uri": uri, "mode": "ReadWriteMount", "jobOutputType": "uri_folder"})
