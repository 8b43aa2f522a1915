"""SageMaker's own algorithms and framework images by name, as SageMaker's SDK knows their registries."""

import os
from importlib import resources

from cloudtune.errors import ConfigError, suggest

SCHEME = "builtin:"
"""How an image begins that is a name: ``builtin:xgboost:1.7-1``, ``builtin:linear-learner``."""


def image_of(name: str, region: str | None) -> str:
    """Return the URI of an image in a region.

    Args:
        name: ``builtin:ALGORITHM`` or ``builtin:ALGORITHM:VERSION``.
        region: null for that of the environment.

    Raises:
        ConfigError: there is no such algorithm or version, no region is known, or SageMaker's SDK, which knows the
            registries (``sagemaker.core.image_uris``), is not installed.
    """
    algorithm, _, version = name.removeprefix(SCHEME).partition(":")
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None:
        raise ConfigError(f'{name} lies in another registry in each region; write region = "…" in the profile')
    try:
        from sagemaker.core import image_uris  # noqa: PLC0415  # it takes seconds, and only names need it
    except ImportError:
        raise ConfigError(f"{name} is looked up in SageMaker's SDK: pip install 'sagemaker-core>=2'") from None
    known = _known()
    if algorithm not in known:
        raise ConfigError(f"SageMaker has no algorithm {algorithm!r}; {suggest(algorithm, known)}")
    try:
        return str(image_uris.retrieve(algorithm, region=region, version=version or None, image_scope="training"))
    except ValueError as error:
        raise ConfigError(f"{name}: {' '.join(str(error).split())}") from None


def _known() -> list[str]:
    folder = resources.files("sagemaker.core") / "image_uri_config"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))
