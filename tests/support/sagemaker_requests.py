"""Generated requests for tuning jobs of SageMaker, as other clients write them."""

from typing import Any

from hypothesis import strategies as st

ROLE = "arn:aws:iam::123456789012:role/tuner"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/own:latest"

numbers = st.sampled_from(["0", "0.0", "1e-05", "1e-5", "0.001", "2", "2.50"])
larger = st.sampled_from(["3", "10.0", "1e2", "1000"])
names = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True)
texts = st.sampled_from(["adam", '"sgd"', "1", "0.5", "true", "[64, 32]", "", "größer", "a b", '{"a": 1}', "1e-3"])
S3 = st.sampled_from(["s3://bucket/train", "s3://bucket/a/b/", "https://s3.amazonaws.com/bucket/key"])


def optional(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


@st.composite
def ranges(draw: st.DrawFn, prefix: str = "") -> dict[str, Any]:
    unique = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    found: dict[str, Any] = {}
    for name in unique:
        kind = draw(st.sampled_from(["Integer", "Continuous", "Categorical"]))
        each: dict[str, Any] = {"Name": f"{prefix}{name}"}
        if kind == "Categorical":
            each["Values"] = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
        else:
            low, high = (
                (("1", "9.0") if draw(st.booleans()) else ("2", "300"))
                if kind == "Integer"
                else (draw(numbers), draw(larger))
            )
            each |= {"MinValue": low, "MaxValue": high}
            scales = ["Auto", "Linear"] + (["Logarithmic"] if float(low) > 0 else [])
            each |= draw(optional(ScalingType=st.sampled_from(scales)))
        found.setdefault(f"{kind}ParameterRanges", []).append(each)
    return found | draw(
        st.sampled_from([{}, {"CategoricalParameterRanges": found.get("CategoricalParameterRanges", [])}])
    )


def channels() -> st.SearchStrategy[list[dict[str, Any]]]:
    source = st.builds(
        lambda uri, more: {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, **more}},
        S3,
        optional(
            S3DataDistributionType=st.sampled_from(["FullyReplicated", "ShardedByS3Key"]), AttributeNames=st.just(["a"])
        ),
    )
    disk = st.just({"FileSystemDataSource": {"FileSystemId": "fs-12345678901", "FileSystemAccessMode": "ro", "FileSystemType": "EFS", "DirectoryPath": "/x"}})  # fmt: skip
    one = st.builds(
        lambda name, place, more: {"ChannelName": name, "DataSource": place, **more},
        names,
        source | disk,
        optional(
            ContentType=st.just("text/csv"),
            CompressionType=st.sampled_from(["None", "Gzip"]),
            InputMode=st.sampled_from(["File", "Pipe", "FastFile"]),
        ),
    )
    return st.lists(one, min_size=1, max_size=3, unique_by=lambda each: each["ChannelName"])


@st.composite
def definitions(draw: st.DrawFn, tuned: set[str]) -> dict[str, Any]:
    spot = draw(st.booleans())
    algorithm = draw(
        st.sampled_from(
            [{"TrainingImage": IMAGE}, {"AlgorithmName": "arn:aws:sagemaker:eu-west-1:123456789012:algorithm/own"}]
        )
    )
    metrics = st.lists(
        st.fixed_dictionaries({"Name": st.sampled_from(["loss", "loss", "val:acc (top 1)"]), "Regex": st.sampled_from([r"loss=(.*?);", r"a(b)?(\d+)$", "no group"])}),
        max_size=3,
    )  # fmt: skip
    one = {
        "InstanceType": "ml.m5.xlarge",
        "InstanceCount": draw(st.integers(1, 3)),
        "VolumeSizeInGB": draw(st.integers(1, 60)),
    }
    several = {"InstanceConfigs": [one, {**one, "InstanceType": "ml.c5.xlarge"}], "AllocationStrategy": "Prioritized"}
    static = draw(st.dictionaries(names.filter(lambda name: name not in tuned), texts, max_size=3))
    script = {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": "s3://bucket/code.tar.gz"}
    resources = st.sampled_from(
        [
            {"ResourceConfig": one},
            {"HyperParameterTuningResourceConfig": one},
            {"HyperParameterTuningResourceConfig": several},
        ]
    )
    stopping = {"MaxRuntimeInSeconds": draw(st.sampled_from([1, 3600, 86400]))}
    return {
        "AlgorithmSpecification": {
            "TrainingInputMode": "File",
            **algorithm,
            **draw(optional(MetricDefinitions=metrics)),
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": draw(S3), **draw(optional(KmsKeyId=st.just("alias/key")))},
        "StoppingCondition": stopping | ({"MaxWaitTimeInSeconds": 90000} if spot else {}),
        **({"EnableManagedSpotTraining": True} if spot else {}),
        **draw(resources),
        **draw(
            optional(
                StaticHyperParameters=st.sampled_from([static, static | script]),
                InputDataConfig=channels(),
                VpcConfig=st.just({"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}),
                EnableNetworkIsolation=st.booleans(),
                EnableInterContainerTrafficEncryption=st.booleans(),
                CheckpointConfig=st.just({"S3Uri": "s3://bucket/checkpoints", "LocalPath": "/opt/ml/checkpoints"}),
                RetryStrategy=st.just({"MaximumRetryAttempts": 3}),
                Environment=st.just({"TOKEN": "visible", "B": ""}),
            )
        ),
    }


def names_of(declared: dict[str, Any]) -> set[str]:
    return {each["Name"] for kind in declared.values() for each in kind}


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    jobs_at_most = draw(st.integers(2, 50))
    config: dict[str, Any] = {
        "Strategy": draw(st.sampled_from(["Bayesian", "Random", "Hyperband"])),
        "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs_at_most, "MaxParallelTrainingJobs": draw(st.integers(1, 2)), **draw(optional(MaxRuntimeInSeconds=st.integers(120, 9999)))},
        **draw(
            optional(
                RandomSeed=st.sampled_from([0, 7, 2**31]),
                TrainingJobEarlyStoppingType=st.just("Off"),
                TuningJobCompletionCriteria=optional(
                    TargetObjectiveMetricValue=st.sampled_from([0, 0.5, -1.25]),
                    BestObjectiveNotImproving=st.just({"MaxNumberOfTrainingJobsNotImproving": 5}),
                    ConvergenceDetected=st.just({"CompleteOnConvergence": "Enabled"}),
                ),
            )
        ),
    }  # fmt: skip
    if config["Strategy"] == "Hyperband":
        config |= draw(
            optional(StrategyConfig=st.just({"HyperbandStrategyConfig": {"MinResource": 2, "MaxResource": 27}}))
        )
    elif draw(st.booleans()):
        config["TrainingJobEarlyStoppingType"] = "Auto"
    objective = {
        "Type": draw(st.sampled_from(["Maximize", "Minimize"])),
        "MetricName": draw(st.sampled_from(["loss", "val:acc (top 1)"])),
    }
    request: dict[str, Any] = {
        "HyperParameterTuningJobName": draw(st.sampled_from(["a", "My-Job-7"])),
        "HyperParameterTuningJobConfig": config,
    }
    if draw(st.booleans()):
        several = []
        for name in draw(st.sampled_from([["one", "two"], ["x1"], ["a", "b", "c"]])):
            own = draw(ranges(draw(st.sampled_from(["", f"{name}."]))))
            part = draw(definitions(names_of(own)))
            several.append({"DefinitionName": name, "TuningObjective": objective, "HyperParameterRanges": own, **part})
        request["TrainingJobDefinitions"] = several
    else:
        own = draw(ranges())
        config |= {"ParameterRanges": own, "HyperParameterTuningJobObjective": objective}
        request["TrainingJobDefinition"] = draw(definitions(names_of(own)))
    warm = {
        "WarmStartType": "TransferLearning",
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "before"}],
    }
    return request | draw(
        optional(
            Tags=st.just([{"Key": "team", "Value": ""}, {"Key": "b", "Value": "ads"}]),
            WarmStartConfig=st.just(warm),
            Autotune=st.just({"Mode": "Enabled"}),
        )
    )
