"""The install hint for a missing optional package."""

import json
import shlex
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from cloudtune.plugins.entry_points import providers

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_EXTRAS: Mapping[str, str] = {
    "sklearn": "sklearn",
    "joblib": "sklearn",
    "optuna": "optuna",
    "hyperopt": "hyperopt",
    "mlflow": "mlflow",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "hydra": "hydra",
    "mcp": "mcp",
    "airflow": "airflow",
    "plotly": "plots",
    "pandas": "tables",
    "pyarrow": "tables",
    "starlette": "ui",
    "uvicorn": "ui",
}
"""The extra that installs an optional package of cloudtune itself, by its import name."""

_CORE = "cloudtune"
_ELSEWHERE = ("site-packages", "dist-packages")
"""Names of the folders that packages are installed into."""


def install(extra: str) -> str:
    """Return the command that installs an extra from where the running cloudtune was installed.

    A clone is installed from its folder, a wheel or an archive from its path or address, everything else by name.
    """
    return f"pip install {_requirement(_CORE, extra, *_origin(_CORE))}"


def install_provider(name: str, part: str = "") -> str:
    """Return the command that installs what a provider needs, into an installation such as the one that runs.

    It names the distribution that brings the provider, with the extra that is called like the provider where there is one.

    Args:
        name: of the provider.
        part: ``emulator`` for what its emulator needs, whose extra is called ``NAME-emulator``.
    """
    extras = [*([f"{name}-{part}"] if part else []), name]
    point = providers().get(name)
    return install(extras[0]) if point is None else install_plugin(point, *extras)


def install_plugin(point: "EntryPoint", *extras: str) -> str:
    """Return the command that installs what a plug-in needs: its distribution, with the first extra that there is.

    Args:
        point: its entry point.
        extras: names that the distribution may have an extra by.
    """
    owner = point.dist
    if owner is None:
        return install(extras[0])
    known = owner.metadata.get_all("Provides-Extra") or []
    extra = next((each for each in extras if each in known), "")
    return f"pip install {_requirement(owner.name, extra, *_origin(owner.name))}"


def missing(error: ModuleNotFoundError) -> str | None:
    """Return the message with the install command for a missing module; None if neither an extra nor a provider needs it."""
    package = (error.name or "").partition(".")[0]
    if package in _EXTRAS:
        command = install(_EXTRAS[package])
    elif importer := _importer(error):
        command = install_provider(*importer)
    else:
        return None
    return f"{error.name} is not installed; install it with: {command}"


def _importer(error: ModuleNotFoundError) -> tuple[str, str] | None:
    """Return the provider whose module led to a failed import, and "emulator" if it is one of its emulator's.

    What a user's own module imports is not the provider's.
    """
    packages = {point.module.partition(".")[0]: name for name, point in providers().items()}
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        module, file = str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename
        top, _, rest = module.partition(".")
        if top in packages:
            return packages[top], "emulator" if rest.partition(".")[0] == "emulator" else ""
        if top not in ("importlib", _CORE) and not file.startswith("<") and not {*Path(file).parts} & {*_ELSEWHERE}:
            return None
    return None


def _requirement(name: str, extra: str, url: str, editable: bool) -> str:
    path = unquote(urlparse(url).path)
    extras = f"[{extra}]" if extra else ""
    if not url:
        return f"'{name}{extras}'"
    if url.startswith("file:") and path.endswith((".whl", ".tar.gz", ".zip")):
        return shlex.quote(f"{path}{extras}")
    if url.startswith("file:"):
        return f"{'-e ' if editable else ''}{shlex.quote(f'{path}{extras}')}"
    return f"'{name}{extras} @ {url}'"


@cache
def _origin(name: str) -> tuple[str, bool]:
    """Return the address that a distribution was installed from (PEP 610; "" for an index) and whether it is editable."""
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415  # loads parsers of mail

    try:
        written = distribution(name).read_text("direct_url.json")
    except PackageNotFoundError:
        return "", False
    if not written:
        return "", False
    data = json.loads(written)
    vcs = data.get("vcs_info", {}).get("vcs")
    return (f"{vcs}+{data['url']}" if vcs else data["url"]), bool(data.get("dir_info", {}).get("editable"))
