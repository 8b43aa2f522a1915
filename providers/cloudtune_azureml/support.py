"""What Azure Machine Learning does with each field of a job, and which fields only cloudtune's own driver can do there."""

from collections.abc import Mapping

from cloudtune.planning.plan import Support

_MACHINE_DECIDES = "the machine type decides; choose one that has it (compute.instance)"
_DRIVEN = "cloudtune's driver asks, with a command job a trial"
_WATCHED = "Azure Machine Learning has no such limit: whoever follows the run stops it"

SUPPORT: Mapping[str, tuple[Support, str]] = {
    "name": (Support.EXACT, ""),
    "trial.source": (Support.EXACT, ""),
    "trial.ignore": (Support.EXACT, ""),
    "trial.command": (Support.ENCODED, "started by the trial helper, which travels with the code; the environment needs Python"),
    "trial.command.native": (Support.APPROXIMATE, "the trial starts what the native settings name; the command is for other providers"),
    "trial.function": (Support.ENCODED, "called by the trial helper, started as a command is"),
    "trial.image": (Support.EXACT, ""),
    "trial.environment": (Support.EXACT, ""),
    "objective": (Support.EXACT, ""),
    "objective.several": (Support.DRIVEN, f"Azure Machine Learning's sweep has one objective: {_DRIVEN}"),
    "objective.measurement.last": (Support.UNCHECKED, "which of a trial's values the sweep learns from is not documented; the run's best trial is chosen as asked"),
    "objective.measurement": (Support.APPROXIMATE, "which of a trial's values the sweep learns from is not documented; the run's best trial is chosen as asked"),
    "objective.regex": (Support.ENCODED, "the trial helper looks for it in the output and logs it to the workspace's MLflow"),
    "objective.regex.native": (Support.APPROXIMATE, "the service reads no output: a program that starts by itself logs to MLflow"),
    "metrics": (Support.ENCODED, "the trial helper looks for them in the output and logs them to the workspace's MLflow"),
    "metrics.mlflow": (Support.ENCODED, "the trial helper logs it to the workspace's MLflow, for which the environment needs no package"),
    "space": (Support.EXACT, ""),
    "space.driven": (Support.DRIVEN, f"the program reads what the service sends, which cannot say this: {_DRIVEN}"),
    "strategy": (Support.EXACT, ""),
    "strategy.driven": (Support.DRIVEN, f"Azure Machine Learning's sweep has no such strategy, or not this setting of it: {_DRIVEN}"),
    "strategy.seed": (Support.APPROXIMATE, "Azure Machine Learning takes a seed for random sampling alone; mode: driven keeps it"),
    "strategy.sobol": (Support.APPROXIMATE, "as rule: sobol of random sampling, which may begin elsewhere in the sequence"),
    "stopping": (Support.DRIVEN, f"Azure Machine Learning's sweep has no such rule: {_DRIVEN}"),
    "stopping.bayesian": (Support.DRIVEN, f"Azure Machine Learning stops no trials of Bayesian sampling early: {_DRIVEN}"),
    "stopping.auto": (Support.APPROXIMATE, "there is no rule of the service's own choice: the median policy is used"),
    "stopping.steps": (Support.EXACT, "a step is a logged value of the metric"),
    "limits": (Support.EXACT, ""),
    "limits.failed": (Support.WATCHED, _WATCHED),
    "limits.target": (Support.WATCHED, _WATCHED),
    "limits.no_improvement": (Support.WATCHED, _WATCHED),
    "limits.short": (Support.APPROXIMATE, "Azure Machine Learning takes whole seconds, 60 at least; whoever follows the run ends a trial on time"),
    "retries": (Support.DRIVEN, f"Azure Machine Learning's sweep tries nothing again: {_DRIVEN}"),
    "warm_start": (Support.DRIVEN, f"Azure Machine Learning's sweep learns from no other job: {_DRIVEN}"),
    "mode": (Support.EXACT, ""),
    "strict": (Support.EXACT, ""),
    "compute.instance": (Support.UNCHECKED, "of a form that sizes or computes have; which there are, only the workspace knows"),
    "compute.count": (Support.ENCODED, "as many nodes, on each of which MPI starts the trial; azureml: {trial: {distribution: …}} says otherwise"),
    "compute.accelerators": (Support.APPROXIMATE, _MACHINE_DECIDES),
    "compute.cpus": (Support.APPROXIMATE, _MACHINE_DECIDES),
    "compute.memory": (Support.APPROXIMATE, _MACHINE_DECIDES),
    "compute.disk": (Support.APPROXIMATE, _MACHINE_DECIDES),
    "compute.spot": (Support.ENCODED, "as the spot tier of serverless compute; a cluster has its own priority"),
    "compute.max_wait": (Support.APPROXIMATE, "Azure Machine Learning's spot jobs wait as long as they must"),
    "data": (Support.EXACT, ""),
    "data.remote": (Support.UNSUPPORTED, "Azure Machine Learning reads azureml://, https://, wasbs://, abfss:// and what is uploaded from here; give one under the key azureml: {azureml: azureml://…, …}"),
    "output": (Support.ENCODED, "each trial has a folder of its own there"),
    "output.remote": (Support.UNSUPPORTED, "Azure Machine Learning writes to datastores; give such a place under the key azureml: {azureml: azureml://datastores/NAME/paths/…, …}"),
    "network": (Support.APPROXIMATE, "the network is the workspace's and the compute's"),
    "network.isolated": (Support.UNSUPPORTED, "Azure Machine Learning does not cut trials off the network; take isolated away, or use a workspace with a managed network"),
    "identity": (Support.EXACT, ""),
    "encryption": (Support.APPROXIMATE, "keys are the workspace's and the compute's"),
    "tags": (Support.EXACT, ""),
    "azureml": (Support.EXACT, ""),
    "azureml.unheeded": (Support.APPROXIMATE, "what the service takes and does not heed is named, such as the job tier on a cluster"),
    "native": (Support.APPROXIMATE, "settings of another provider: of no effect here"),
}  # fmt: skip
"""A path, or a field and one of its ways, → support and a remark."""
