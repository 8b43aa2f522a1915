"""The settings of a profile, as a provider declares them."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError

from cloudtune.errors import ConfigError, suggest
from cloudtune.space.parameters import SpecModel

Text = Annotated[str | None, BeforeValidator(lambda value: value or None)]
"""A text; an empty one, as an environment variable may give it, counts as none."""


class Settings(SpecModel):
    """The base of a provider's settings; from the environment every value comes as text."""

    @classmethod
    def of(cls, said: Mapping[str, Any], provider: str, neutral: Mapping[str, str] | None = None) -> Self:
        """Return the settings of a profile.

        Args:
            said: the profile's settings by name.
            provider: the name of the profile's provider.
            neutral: the provider's own names of settings that a profile may also call by names that mean the same on
                every service, by those names; see `cloudtune.porting.words.SETTINGS`.

        Raises:
            ConfigError: a setting is unknown or has an impossible value.
        """
        try:
            return cls.model_validate(_by_own_names(said, provider, neutral or {}))
        except ValidationError as error:
            problems = (cls._in_words(problem, provider, neutral or {}) for problem in error.errors())
            raise ConfigError("; ".join(problems)) from None

    @classmethod
    def _in_words(cls, problem: Any, provider: str, neutral: Mapping[str, str]) -> str:  # pydantic's ErrorDetails
        name = str(problem["loc"][0])
        if problem["type"] != "extra_forbidden":
            said = problem["msg"].removeprefix("Value error, ")
            return f"the setting {name!r} of the {provider} profile: {said}"
        return f"the {provider} profile has no setting {name!r}; {suggest(name, [*cls.model_fields, *neutral])}"


class ServiceSettings(Settings):
    """The settings that every provider of a cloud service has."""

    endpoint: Text = None
    """The address of another service than the real one, such as an emulator: ``https://host:port``."""
    poll: Annotated[float, Field(gt=0, le=3600)] = 15.0
    """Seconds between two looks at a run that is followed."""


def _by_own_names(said: Mapping[str, Any], provider: str, neutral: Mapping[str, str]) -> dict[str, Any]:
    for name, own in neutral.items():
        if name in said and own in said:
            raise ConfigError(f"the {provider} profile says {own!r} twice, once as {name!r}; keep one")
    return {neutral.get(name, name): value for name, value in said.items()}
