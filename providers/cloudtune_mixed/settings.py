"""The settings of a profile that consists of several."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from cloudtune.provider.settings import Settings
from cloudtune.space.parameters import Count


def _by_profile(value: object) -> object:
    """Parse a text from the environment: ``aws=4,laptop=1``; return other values unchanged."""
    return dict(each.split("=", 1) for each in value.split(",")) if isinstance(value, str) else value


class MixedSettings(Settings):
    """What a profile may say besides ``provider = "mixed"``; from the environment everything comes as text."""

    profiles: dict[str, tuple[str, dict[str, Any]]]
    """The profiles, as the config has worked them out: a provider and its settings, by the profile's name."""
    parallel: Annotated[dict[str, Count], BeforeValidator(_by_profile)] = {}
    """How many trials run at once on a profile, at the most; by its name."""
    order: Literal["even", "first", "cheapest"] = "even"
    """Where a trial goes: ``even``, to the profile that is least busy; ``first``, to the first with room; ``cheapest``, to
    the one with room whose trials cost least an hour (see `cloudtune_mixed.prices.by_price`)."""
    pause: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds without launches on a profile that had no room or could not be reached; doubled each time it goes on."""
