"""The settings of a Databricks profile."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from cloudtune.provider.settings import ServiceSettings, Text
from cloudtune_databricks.words import EXAMPLE, PLACE, spelled


def _table(value: object) -> object:
    """Read a table or a list that comes as a text, from the environment, as JSON."""
    return json.loads(value) if isinstance(value, str) else value


def _volume(value: str | None) -> str | None:
    if value is None:
        return None
    found = spelled(value.rstrip("/"))
    if not PLACE.fullmatch(found):
        raise ValueError(f'{value!r} is no folder of a volume; write volume = "{EXAMPLE}"')
    return found


class DatabricksSettings(ServiceSettings):
    """What a profile may say besides ``provider = "databricks"``; from the environment everything comes as text."""

    poll: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Seconds between two looks at a run that is followed, and between two pieces of output that a trial hands over."""
    config_profile: Text = None
    """The profile of ``~/.databrickscfg``; null for ``DATABRICKS_CONFIG_PROFILE``, or what Databricks' unified authentication finds."""
    host: Text = None
    """The address of the workspace; null for that of the profile or of ``DATABRICKS_HOST``."""
    volume: Annotated[str | None, AfterValidator(_volume), BeforeValidator(lambda value: value or None)] = None
    """The folder of a volume for code, inputs of this machine, what trials print, outputs and checkpoints: ``/Volumes/CATALOG/SCHEMA/VOLUME/FOLDER``."""
    folder: Text = None
    """The folder of the workspace for the program that starts trials; null for ``.cloudtune`` in the home of who runs cloudtune."""
    cluster: Text = None
    """The id of a cluster that is there, on which trials run; null for one of each trial's own, or serverless compute."""
    instance: Text = None
    """The node type of each trial's own cluster, where the job names none; null, with no ``cluster``, for serverless compute."""
    spark_version: Text = None
    """The Databricks Runtime of such clusters, e.g. ``16.4.x-cpu-ml-scala2.12``."""
    environment_version: str = "4"
    """The version of the environment on serverless compute."""
    dependencies: Annotated[tuple[str, ...], BeforeValidator(_table)] = ()
    """What pip installs there, as lines of a requirements file; in an environment variable as JSON."""
    identity: Text = None
    """Whom trials run as, where the job does not say: the name of a user, or the application id of a service principal."""
    experiment: Text = None
    """The MLflow experiment to which runs go that trials start, e.g. ``/Users/me@example.com/tuning``; null for none."""
    submit: Annotated[dict[str, Any], BeforeValidator(_table)] = Field(default_factory=dict)
    """A part of the request of every run (``jobs/runs/submit``); a job's own native settings are merged after it. In an environment variable as JSON."""
    isolated: bool = False
    """Whether a network policy of the account cuts trials off, so that jobs may ask for it."""
