"""A CreateHyperParameterTuningJob request, by cloudtune and by SageMaker's SDK.

The peer's part is `HyperparameterTuner`'s ranges, static hyperparameters and typed shapes, serialised to what boto3
sends, without its network calls.
"""

from collections.abc import Callable

from thirty import job, space

from cloudtune.space.parameters import Float, Int
from cloudtune_sagemaker.settings import SageMakerSettings
from cloudtune_sagemaker.translate import translate


def ours() -> Callable[[], object]:
    """The plan, its rules checked."""
    thirty = job()
    settings = SageMakerSettings(role="arn:aws:iam::123456789012:role/x", image="own:1", bucket="bucket")
    translate(thirty, settings).refuse()
    return lambda: translate(thirty, settings)


def theirs() -> Callable[[], object]:
    """The same by the SDK, which checks nothing but types."""
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
