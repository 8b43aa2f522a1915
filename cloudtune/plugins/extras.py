"""The install hint for a missing optional package."""

import json
import shlex
from collections.abc import Mapping
from functools import cache
from urllib.parse import unquote, urlparse

_EXTRAS: Mapping[str, str] = {
    "boto3": "sagemaker",
    "botocore": "sagemaker",
    "google": "vertex",
    "grpc": "vertex",
    "azure": "azureml",
    "tenacity": "azureml",
    "ray": "ray",
    "sklearn": "sklearn",
    "joblib": "sklearn",
    "optuna": "optuna",
    "hyperopt": "hyperopt",
    "mlflow": "mlflow",
    "tensorboard": "tensorboard",
    "pandas": "tables",
    "pyarrow": "tables",
    "moto": "sagemaker-emulator",
    "werkzeug": "vertex-emulator",
    "cryptography": "azureml-emulator",
}
"""The extra that installs a package, by its import name."""


def install(extra: str) -> str:
    """Return the command that installs an extra from where the running cloudtune was installed.

    A clone is installed from its folder, a wheel or an archive from its path or address, everything else by name.
    """
    return f"pip install {_requirement(extra, *_origin())}"


def missing(error: ModuleNotFoundError) -> str | None:
    """Return the message with the install command for a missing module; None if no extra installs it."""
    package = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(package)
    return None if extra is None else f"{error.name} is not installed; install it with: {install(extra)}"


def _requirement(extra: str, url: str, editable: bool) -> str:
    path = unquote(urlparse(url).path)
    if not url:
        return f"'cloudtune[{extra}]'"
    if url.startswith("file:") and path.endswith((".whl", ".tar.gz", ".zip")):
        return shlex.quote(f"{path}[{extra}]")
    if url.startswith("file:"):
        return f"{'-e ' if editable else ''}{shlex.quote(f'{path}[{extra}]')}"
    return f"'cloudtune[{extra}] @ {url}'"


@cache
def _origin() -> tuple[str, bool]:
    """Return the address that cloudtune was installed from (PEP 610; "" for an index) and whether it is editable."""
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415  # loads parsers of mail

    try:
        written = distribution("cloudtune").read_text("direct_url.json")
    except PackageNotFoundError:
        return "", False
    if not written:
        return "", False
    data = json.loads(written)
    vcs = data.get("vcs_info", {}).get("vcs")
    return (f"{vcs}+{data['url']}" if vcs else data["url"]), bool(data.get("dir_info", {}).get("editable"))
