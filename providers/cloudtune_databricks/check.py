"""What a run in a workspace needs, and whether it is there."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from cloudtune.provider.interface import Finding
from cloudtune_databricks.client import Workspace
from cloudtune_databricks.words import EXAMPLE, path_of


def findings(workspace: Workspace) -> list[Finding]:
    """Look at the workspace, who is logged in, the volume, the compute, and whether runs may be listed."""
    settings = workspace.settings
    found = [Finding.tried("workspace", lambda: f"{workspace.host}, as {workspace.me()}")]
    if settings.endpoint:
        found.append(Finding("endpoint", None, f"{settings.endpoint}, not Databricks itself"))
    if not found[0].ok:
        return found
    if settings.identity and settings.folder is None:
        message = f'{settings.identity} has to read the program that starts trials; say folder = "/Workspace/Shared/…" as well'
        found.append(Finding("identity", ok=False, message=message))
    return [*found, _volume(workspace), *_compute(workspace), Finding.tried("runs", lambda: _runs(workspace))]


def _runs(workspace: Workspace) -> str:
    next(workspace.pages(active=True))
    return "may be listed; whether one may be submitted the first trial tells"


def _volume(workspace: Workspace) -> Finding:
    """Put a file on the volume, and remove it again."""
    place = workspace.settings.volume
    if place is None:
        return Finding("volume", ok=False, message=f'none in the profile; write volume = "{EXAMPLE}"')

    def tried() -> str:
        path = f"{path_of(place)}/cloudtune-check"
        with tempfile.NamedTemporaryFile() as file:
            workspace.put(path, Path(file.name))
        workspace.remove(path)
        return f"{path_of(place)} can be written from here; trials need that too (WRITE VOLUME)"

    return Finding.tried("volume", tried)


def _compute(workspace: Workspace) -> Iterator[Finding]:
    settings = workspace.settings
    if settings.cluster is not None:
        cluster = settings.cluster
        yield Finding.tried("cluster", lambda: _cluster(workspace, cluster))
    elif settings.instance is None:
        yield Finding(
            "compute", None, f"serverless, environment {settings.environment_version}, unless a job names a node type"
        )
    elif settings.spark_version is None:
        yield Finding("compute", ok=False, message='say spark_version = "16.4.x-cpu-ml-scala2.12" with the node type')
    else:
        message = f"a cluster of each trial's own, {settings.instance} with {settings.spark_version}"
        yield Finding("compute", None, message)


def _cluster(workspace: Workspace, cluster: str) -> str:
    said = workspace.cluster(cluster)
    state, runtime = str(said.get("state", "state unknown")).lower(), said.get("spark_version", "?")
    return f"{said.get('cluster_name', cluster)}, {state}, {runtime}; all trials share its driver node"
