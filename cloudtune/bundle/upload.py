"""Upload of code and data, and completion of a plan's request with the addresses of the uploads.

A plan's request holds tokens for what is known only at the start: ``${bucket}`` for the default bucket, ``${code}`` and
``${data:NAME}`` for the hash of the uploaded files.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.bundle.shipment import Upload, data_uploads, local_data
from cloudtune.errors import ProviderError
from cloudtune.store.secrets import PACKED

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

ASSETS = PACKED[0]
"""The subfolder of a run's folder with the packed code."""

Put = Callable[[str, Sequence[Upload]], None]
"""Upload files below an address."""

_TOKEN = re.compile(r"\$\{([a-z]+(?::[^}]*)?)\}")


def staged(
    request: Mapping[str, Any],
    run: "RunStore",
    job: "TuningJob",
    *,
    provider: str,
    bucket: Callable[[], str],
    upload: Put,
) -> dict[str, Any]:
    """Return a plan's request without tokens, after code and local data have been uploaded.

    Args:
        request: of the plan.
        run: the run with the packed code.
        job: the spec.
        provider: the provider whose entries of ``data`` count.
        bucket: returns the default bucket, for a job that names none.
        upload: uploads the files that are missing below an address such as ``s3://bucket/prefix/1a2b``.

    Raises:
        ProviderError: the service refused, or cannot be reached.
    """
    hashes: dict[str, str] = {}
    for token, (digest, files) in _uploads(run, job, provider).items():
        hashes[token] = digest
        place = _place_of(request, token)
        if place is not None:
            whole = place.replace(f"${{{token}}}", digest)
            upload(whole.replace("${bucket}", bucket()) if "${bucket}" in whole else whole, files)
            _refuse_changed(token, files)
    whole_request: dict[str, Any] = filled(request, lambda token: hashes[token] if token in hashes else bucket())
    return whole_request


def _refuse_changed(token: str, files: Sequence[Upload]) -> None:
    changed = next((file.source for file in files if file.changed), None)
    if changed is not None:
        raise ProviderError(f"{token}: {changed} changed while it was uploaded; start again when nothing writes to it")


def _uploads(run: "RunStore", job: "TuningJob", provider: str) -> dict[str, tuple[str, list[Upload]]]:
    """Return the hash that replaces each token, and the files that it is the hash of."""
    native = run.record().native
    uploads = {
        f"data:{name}": data_uploads(Path(native["base"]) / place) for name, place in local_data(job, provider).items()
    }
    assets = run.folder / ASSETS
    if assets.is_dir():
        uploads["code"] = native["code"], [Upload(path, path.name) for path in sorted(assets.iterdir())]
    return uploads


def filled(value: Any, fill: Callable[[str], str | None]) -> Any:  # any plain data
    """Return plain data with its tokens replaced.

    Args:
        value: the data.
        fill: returns the text for a token; None to leave the token.
    """
    if isinstance(value, Mapping):
        return {key: filled(part, fill) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [filled(part, fill) for part in value]
    return _TOKEN.sub(lambda match: fill(match[1]) or match[0], value) if isinstance(value, str) else value


def _place_of(value: Any, token: str) -> str | None:  # any plain data
    """Return the address in a request that ends with a token, from its scheme on; None if there is none."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((place for part in value if (place := _place_of(part, token)) is not None), None)
    if not isinstance(value, str):
        return None
    found = re.search(rf"[a-z0-9]+://\S*?\$\{{{re.escape(token)}\}}", value)
    return found.group() if found else None
