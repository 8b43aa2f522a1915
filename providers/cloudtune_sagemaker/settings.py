"""The settings of a SageMaker profile."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError

from cloudtune.errors import ConfigError
from cloudtune.parameters import Part

Text = Annotated[str | None, BeforeValidator(lambda value: value or None)]


class SageMakerSettings(Part):
    """What a profile may say besides ``provider = "sagemaker"``; from the environment everything comes as text."""

    region: Text = None
    """The AWS region; null for the one that AWS's own configuration names."""
    profile: Text = None
    """The profile of AWS's own configuration; null for the one in use."""
    role: Text = None
    """The role that training jobs run as, where the job has no identity."""
    bucket: Text = None
    """The bucket for code, data and results; null for ``sagemaker-REGION-ACCOUNT``."""
    prefix: Annotated[str, Field(pattern=r"^[^/].*[^/]$|^[^/]$")] = "cloudtune"
    """Below which the bucket holds what cloudtune puts there."""
    image: Text = None
    """The training image, where the job names none."""
    instance: Text = None
    """The instance type, where the job names none."""
    endpoint: Text = None
    """The URL of another service than AWS, such as an emulator."""
    poll: Annotated[float, Field(gt=0, le=3600)] = 15.0
    """Seconds between two looks at a run that is followed."""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """The settings of a profile.

        Raises:
            ConfigError: a setting is unknown or has an impossible value.
        """
        try:
            return cls.model_validate(dict(said))
        except ValidationError as error:
            raise ConfigError("; ".join(_in_words(problem) for problem in error.errors())) from None


def _in_words(problem: Any) -> str:  # pydantic's ErrorDetails
    name = str(problem["loc"][0])
    known = list(SageMakerSettings.model_fields)
    if problem["type"] != "extra_forbidden":
        return f"the setting {name!r} of the sagemaker profile: {problem['msg']}"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
    return f"the sagemaker profile has no setting {name!r}; {hint}"
