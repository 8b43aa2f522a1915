"""Where the study is: the project, the region and the address, by a profile of Vertex AI and the spec."""

from typing import Any

from cloudtune.config import load_profile
from cloudtune.errors import ConfigError
from cloudtune.store.projects import project_folder
from cloudtune_vertex.settings import VertexSettings
from cloudtune_vertex.vizier.spec import VizierSpec
from cloudtune_vertex.words import VertexWords

_VERTEX = "vertex"


def settings_of(spec: VizierSpec) -> VertexSettings:
    """Return the settings by which the service is reached: those of the profile, with the spec's project and region.

    Raises:
        ConfigError: there is no such profile, or it is of another provider.
    """
    profile = load_profile(spec.profile, project_folder())
    if profile.provider != _VERTEX:
        message = (
            f"strategy.profile: {spec.profile!r} is a profile of {profile.provider}; Vizier needs one of {_VERTEX}"
        )
        raise ConfigError(message)
    settings = VertexSettings.of(profile.settings, _VERTEX, VertexWords().settings)
    said: dict[str, Any] = {"project": spec.project, "location": spec.location}
    return settings.model_copy(update={name: value for name, value in said.items() if value is not None})
