"""What a translation to SageMaker costs, beside building the same request with SageMaker's own SDK: ``python tests/bench/translate.py``.

The peer's part is `HyperparameterTuner`'s ranges, static hyperparameters and typed shapes for the same 30 parameters,
serialised to what boto3 sends, without its network calls; it is left out where sagemaker-train is not installed.
"""

import statistics
import time
import warnings
from collections.abc import Callable

from cloudtune import TuningJob
from cloudtune.parameters import Categorical, Float, Int, Parameter
from cloudtune_sagemaker.settings import SageMakerSettings
from cloudtune_sagemaker.translate import translate

ROUNDS = 200


def space() -> dict[str, Parameter]:
    kinds: list[Parameter] = [
        Float(low=1e-5, high=1, scale="log"),
        Int(low=1, high=100),
        Categorical(values=("a", "b", "c")),
    ]
    return {f"parameter_{index}": kinds[index % 3] for index in range(30)}


def median_ms(work: Callable[[], object]) -> float:
    work()
    took = []
    for _ in range(ROUNDS):
        since = time.perf_counter()
        work()
        took.append(time.perf_counter() - since)
    return 1000 * statistics.median(took)


def ours() -> Callable[[], object]:
    data = {
        "name": "thirty",
        "trial": {"command": "python train.py"},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {name: parameter.model_dump(mode="json") for name, parameter in space().items()},
        "strategy": {"type": "bayesian", "seed": 1},
        "limits": {"trials": 100, "parallel": 4},
    }
    job = TuningJob.from_data(data)
    settings = SageMakerSettings(role="arn:aws:iam::123456789012:role/x", image="own:1", bucket="bucket")
    translate(job, settings).refuse()
    return lambda: translate(job, settings)


def theirs() -> Callable[[], object]:
    from sagemaker.core.helper.session_helper import container_def  # noqa: F401  # fails early where it is missing
    from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter
    from sagemaker.core.shapes import shapes
    from sagemaker.core.utils.utils import serialize

    def ranges() -> object:
        found: dict[str, list[dict[str, object]]] = {"Integer": [], "Continuous": [], "Categorical": []}
        for name, parameter in space().items():
            match parameter:
                case Float():
                    made = ContinuousParameter(parameter.low, parameter.high, "Logarithmic")
                case Int():
                    made = IntegerParameter(parameter.low, parameter.high)
                case _:
                    made = CategoricalParameter(list(parameter.values))
            found[type(made).__name__.removesuffix("Parameter")].append(made.as_tuning_range(name))
        config = shapes.HyperParameterTuningJobConfig(
            strategy="Bayesian",
            resource_limits=shapes.ResourceLimits(max_number_of_training_jobs=100, max_parallel_training_jobs=4),
            parameter_ranges=shapes.ParameterRanges(
                integer_parameter_ranges=[_range(shapes.IntegerParameterRange, each) for each in found["Integer"]],
                continuous_parameter_ranges=[
                    _range(shapes.ContinuousParameterRange, each) for each in found["Continuous"]
                ],
                categorical_parameter_ranges=[
                    shapes.CategoricalParameterRange(name=str(each["Name"]), values=list(each["Values"]))  # type: ignore[call-overload]
                    for each in found["Categorical"]
                ],
            ),
        )
        definition = shapes.HyperParameterTrainingJobDefinition(
            algorithm_specification=shapes.HyperParameterAlgorithmSpecification(
                training_input_mode="File", training_image="own:1"
            ),
            role_arn="arn:aws:iam::123456789012:role/x",
            output_data_config=shapes.OutputDataConfig(s3_output_path="s3://bucket/out"),
            resource_config=shapes.ResourceConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=30),
            stopping_condition=shapes.StoppingCondition(max_runtime_in_seconds=86400),
        )
        return serialize({"config": config, "definition": definition})

    return ranges


def _range(shape: Callable[..., object], declared: dict[str, object]) -> object:
    return shape(
        name=declared["Name"],
        min_value=declared["MinValue"],
        max_value=declared["MaxValue"],
        scaling_type=declared["ScalingType"],
    )


if __name__ == "__main__":
    mine = median_ms(ours())
    print(f"cloudtune, rules checked: {mine:.2f} ms for 30 parameters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other = median_ms(theirs())
    except ImportError as error:
        print(f"SageMaker's SDK: not installed ({error.name})")
    else:
        print(f"SageMaker's SDK, nothing checked but types: {other:.2f} ms; ratio {mine / other:.2f}")
