"""A sweep job, by cloudtune and by Azure Machine Learning's SDK.

The peer's part is `azure.ai.ml.command` and its ``sweep`` with the SDK's own expressions, turned into the body that
`MLClient` sends, without its network calls.
"""

from collections.abc import Callable

from thirty import job, space

from cloudtune.space.parameters import Float, Int
from cloudtune_azureml.settings import AzureMlSettings
from cloudtune_azureml.translate import translate


def ours() -> Callable[[], object]:
    """The plan, its rules checked."""
    thirty = job()
    settings = AzureMlSettings(environment="azureml:own@latest", compute="cpu-cluster")
    translate(thirty, settings).refuse()
    return lambda: translate(thirty, settings)


def theirs() -> Callable[[], object]:
    """The same by the SDK, which checks the types of fields."""
    from azure.ai.ml import command
    from azure.ai.ml.sweep import Choice, QUniform, Uniform

    def body() -> object:
        inputs: dict[str, object] = {}
        for name, parameter in space().items():
            match parameter:
                case Float():
                    inputs[name] = Uniform(-11.5, 0.0)
                case Int():
                    inputs[name] = QUniform(parameter.low, parameter.high, 1)
                case _:
                    inputs[name] = Choice(list(parameter.values))
        words = " ".join(f"--{name}=${{{{inputs.{name}}}}}" for name in inputs)
        trial = command(
            command=f"python train.py {words}",
            environment="azureml:own@latest",
            compute="cpu-cluster",
            inputs=dict.fromkeys(inputs, "x"),
        )
        made = trial(**inputs).sweep(
            sampling_algorithm="bayesian", primary_metric="loss", goal="minimize", compute="cpu-cluster"
        )
        made.set_limits(max_total_trials=100, max_concurrent_trials=4)
        return made._to_job()._to_rest_object().as_dict()

    return body
