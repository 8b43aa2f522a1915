"""A HyperparameterTuningJob message, by cloudtune and by `aiplatform.HyperparameterTuningJob`."""

from collections.abc import Callable

from thirty import job, space

from cloudtune.space.parameters import Float, Int
from cloudtune_vertex.settings import VertexSettings
from cloudtune_vertex.translate import translate


def ours() -> Callable[[], object]:
    """The plan, its rules checked, and the message of its request."""
    from cloudtune_vertex.tuner import tuning_job_message

    thirty = job()
    settings = VertexSettings(image="own:1", bucket="bucket")
    translate(thirty, settings).refuse()
    return lambda: tuning_job_message(dict(translate(thirty, settings).request))


def theirs() -> Callable[[], object]:
    """The same by the SDK, which checks nothing but types."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform
    from google.cloud.aiplatform import hyperparameter_tuning as hpt

    aiplatform.init(project="p", location="us-central1", staging_bucket="gs://b", credentials=AnonymousCredentials())
    container = {"image_uri": "own:1", "command": ["python", "train.py"]}
    pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1, "container_spec": container}

    def parameters() -> dict[str, object]:
        found: dict[str, object] = {}
        for name, parameter in space().items():
            match parameter:
                case Float():
                    found[name] = hpt.DoubleParameterSpec(parameter.low, parameter.high, "log")
                case Int():
                    found[name] = hpt.IntegerParameterSpec(parameter.low, parameter.high, "linear")
                case _:
                    found[name] = hpt.CategoricalParameterSpec(list(parameter.values))
        return found

    return lambda: aiplatform.HyperparameterTuningJob(
        display_name="thirty",
        custom_job=aiplatform.CustomJob(display_name="thirty", worker_pool_specs=[pool]),
        metric_spec={"loss": "minimize"},
        parameter_spec=parameters(),
        max_trial_count=100,
        parallel_trial_count=4,
    )
