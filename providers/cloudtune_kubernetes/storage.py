"""What a run keeps in a cluster beside its Jobs: code and inputs in ConfigMaps, variables in a Secret, a Service of names.

Where the profile has a storage, code and inputs are objects there, and one ConfigMap has what fetches them.
"""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.bundle.package import add_files
from cloudtune.bundle.shipment import local_data
from cloudtune.bundle.tree import tree_of
from cloudtune.bundle.upload import ASSETS, filled
from cloudtune.errors import Problem, SpecError, ignoring
from cloudtune.store.secrets import kept_environment
from cloudtune.trial.container import JOB_FILE, SOURCE_FILE
from cloudtune_kubernetes.client import EXISTS, GONE, Cluster
from cloudtune_kubernetes.container import PARTS
from cloudtune_kubernetes.names import RUN
from cloudtune_kubernetes.pod import FETCH, OBJECTS, PROGRAM, PROVIDER, helped
from cloudtune_kubernetes.words import STORE_EXAMPLES

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

_PART = 900_000
"""Bytes of one ConfigMap, which may have 1 MiB in all (https://kubernetes.io/docs/concepts/configuration/configmap)."""

_MOST = 8_000_000
"""Bytes that code and inputs of a run may have packed: the cluster keeps them in etcd, which holds a few GB."""

_PACKED = PARTS.rstrip(".")

KINDS = ("jobs", "configmaps", "secrets")
"""What a run has in a cluster, found by its label."""


def pack_inputs(job: "TuningJob", base: Path, target: Path, storage: str | None = None) -> None:
    """Pack the inputs of this machine into a run's assets.

    Args:
        job: the spec.
        base: what its paths are relative to.
        target: the folder with the packed code; made where there is none.
        storage: of the profile, which has no limit; None for ConfigMaps.

    Raises:
        SpecError: a file cannot be read, or code and inputs are too large for ConfigMaps.
    """
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, place in local_data(job, PROVIDER).items():
        with (
            _input(target, name).open("wb") as file,
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            add_files(archive, tree_of(base / place).files, f"data.{name}")
    sizes = {file.name: file.stat().st_size for file in target.iterdir()}
    if storage is None and sum(sizes.values()) > _MOST:
        raise SpecError([_too_large(job, sizes)])


def _too_large(job: "TuningJob", sizes: Mapping[str, int]) -> Problem:
    largest = max(sizes, key=lambda name: sizes[name])
    inputs = {_input(Path(), name).name: f"data.{name}" for name in job.data}
    path = inputs.get(largest, "trial.source")
    message = (
        f"packed, code and inputs are {sum(sizes.values()) / 1e6:.1f} MB, and {_MOST / 1e6:.0f} MB travel in ConfigMaps"
    )
    other = "put it on a volume, data: {NAME: pvc://CLAIM/FOLDER}" if path in inputs.values() else "name what is not needed under trial.ignore, or put the code into the image"  # fmt: skip
    return Problem(path, message, f'{other}; or say storage = "…" in the profile, one of {STORE_EXAMPLES}')


def _input(assets: Path, name: str) -> Path:
    return assets / f"data-{name.encode().hex()}.tar.gz"


def final_request(
    cluster: Cluster, run: "RunStore", job: "TuningJob", request: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """Put into the cluster what the Jobs of a run need; return the Job without anything left open but ``${trial}``.

    Args:
        cluster: where it goes.
        run: with its packed code and inputs.
        job: the spec.
        request: of the plan.
        name: of the run in the cluster.

    Raises:
        ProviderError: the cluster cannot be reached, or refuses.
    """
    tokens, parts = {"run": name}, {}
    if (storage := cluster.settings.storage) is not None:
        _store(cluster, storage, name, _shipments(run, job))
    else:
        for token, mark, files in _shipments(run, job):
            tokens[token] = mark
            parts[f"{name}-{mark}"] = _in_maps(cluster, name, f"{name}-{mark}", _cut(files))
    if job.trial.environment:
        values = kept_environment(run)
        data = {f"variable-{index}": base64.b64encode(values[key].encode()).decode() for index, key in enumerate(job.trial.environment)}  # fmt: skip
        _make(cluster, "secrets", name, name, {"type": "Opaque", "data": data})
    if job.compute.count > 1:
        spec = {"clusterIP": "None", "selector": {RUN: name}, "publishNotReadyAddresses": True}
        _make(cluster, "services", name, name, {"spec": spec})
    whole: dict[str, Any] = _with_parts(filled(request, tokens.get), parts)
    return whole


def _shipments(run: "RunStore", job: "TuningJob") -> Iterator[tuple[str, str, dict[str, Path]]]:
    """Yield the token of each thing that travels, what stands for it in names, and its files by their names there."""
    assets = run.folder / ASSETS
    if (assets / SOURCE_FILE).is_file():
        small = {path.name: path for path in sorted(assets.iterdir()) if path.suffix in (".py", ".json")}
        yield "code", "code", {**small, SOURCE_FILE: assets / SOURCE_FILE}
    for index, name in enumerate(job.data):
        if _input(assets, name).is_file():
            yield f"data:{name}", f"data-{index}", {_PACKED: _input(assets, name)}


def _cut(files: Mapping[str, Path]) -> dict[str, bytes]:
    """Return files by their names, and those that are packed in parts that fit into a ConfigMap."""
    found = {}
    for name, path in files.items():
        content = path.read_bytes()
        if path.suffix != ".gz":
            found[name] = content
            continue
        for index, start in enumerate(range(0, max(len(content), 1), _PART)):
            found[f"{name}.{index:03d}"] = content[start : start + _PART]
    return found


def _store(cluster: Cluster, storage: str, run: str, shipments: Iterator[tuple[str, str, Mapping[str, Path]]]) -> None:
    """Put what travels into the profile's storage, and what fetches it into a ConfigMap."""
    from cloudtune_kubernetes import objects  # noqa: PLC0415  # few profiles have a storage
    from cloudtune_kubernetes.uploading import bucket_of, in_words  # noqa: PLC0415

    bucket, listed = bucket_of(storage), []
    for folder, (_, mark, files) in enumerate(shipments):
        for name, path in files.items():
            place = f"{run}/{mark}/{name}"
            with in_words(storage, f"putting {name} there"):
                bucket.put(place, path)
            file = f"{name}.000" if path.suffix == ".gz" else name  # as the only part of what may travel in several
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            listed.append({"name": place, "folder": folder, "file": file, "sha256": digest})
    if listed:
        content = json.dumps({"bucket": bucket.describe(), "objects": listed})
        data = {OBJECTS: content, PROGRAM: Path(str(objects.__file__)).read_text("utf-8")}
        _make(cluster, "configmaps", f"{run}-{FETCH}", run, {"data": data, "immutable": True})


def _remove_objects(storage: str, run: str, job: "TuningJob") -> None:
    """Remove from a profile's storage what a run had there."""
    from cloudtune_kubernetes.uploading import bucket_of, in_words  # noqa: PLC0415  # few profiles have a storage

    local = local_data(job, PROVIDER)
    names = [f"data-{index}/{_PACKED}" for index, name in enumerate(job.data) if name in local]
    if helped(job):
        names += [f"code/{each}" for each in ("trial.py", JOB_FILE, SOURCE_FILE)]
    bucket = bucket_of(storage)
    for name in names:
        with in_words(storage, f"removing {name}"):
            bucket.remove(f"{run}/{name}")


def _in_maps(cluster: Cluster, run: str, name: str, files: Mapping[str, bytes]) -> list[str]:
    """Put files into ConfigMaps; return their names."""
    groups: list[dict[str, str]] = [{}]
    room = _PART + 100_000
    for key, content in files.items():
        if len(content) > room:
            groups.append({})
            room = _PART + 100_000
        groups[-1][key] = base64.b64encode(content).decode()
        room -= len(content)
    names = [name if index == 0 else f"{name}-{index}" for index in range(len(groups))]
    for each, data in zip(names, groups, strict=True):
        _make(cluster, "configmaps", each, run, {"binaryData": data, "immutable": True})
    return names


def _make(cluster: Cluster, kind: str, name: str, run: str, content: Mapping[str, Any]) -> None:
    """Make an object of a run, unless an earlier call has."""
    body = {"metadata": {"name": name, "labels": {RUN: run}}, **content}
    with ignoring(EXISTS):
        cluster.call(f"making {name}", "POST", cluster.path(kind), {"fieldValidation": "Strict"}, body)


def _with_parts(request: Mapping[str, Any], parts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return a Job whose volumes show all ConfigMaps of what travelled in several."""
    spec = request["spec"]["template"]["spec"]
    volumes = [_whole(volume, parts) for volume in spec.get("volumes", ())]
    if not volumes:
        return dict(request)
    template = {**request["spec"]["template"], "spec": {**spec, "volumes": volumes}}
    return {**request, "spec": {**request["spec"], "template": template}}


def _whole(volume: Mapping[str, Any], parts: Mapping[str, Sequence[str]]) -> Mapping[str, Any]:
    names = parts.get((volume.get("configMap") or {}).get("name", ""), ())
    if len(names) < 2:
        return volume
    return {"name": volume["name"], "projected": {"sources": [{"configMap": {"name": name}} for name in names]}}


def remove_all(cluster: Cluster, name: str, job: "TuningJob") -> None:
    """Remove what a run has in the cluster and in the profile's storage.

    Args:
        cluster: where it is.
        name: of the run there.
        job: the spec.

    Raises:
        ProviderError: the cluster or the storage cannot be reached, or refuses.
    """
    remove(cluster, name)
    if job.compute.count > 1:
        _remove_service(cluster, name)
    if cluster.settings.storage is not None:
        _remove_objects(cluster.settings.storage, name, job)


def remove(cluster: Cluster, name: str, kinds: Sequence[str] = KINDS) -> None:
    """Remove what a run has in the cluster, its pods included.

    Args:
        cluster: where it is.
        name: of the run there.
        kinds: of what to remove.

    Raises:
        ProviderError: the cluster cannot be reached, or refuses.
    """
    for kind in kinds:
        query, options = {"labelSelector": f"{RUN}={name}"}, {"propagationPolicy": "Background"}
        cluster.call(f"removing {kind} of {name}", "DELETE", cluster.path(kind), query, options)


def _remove_service(cluster: Cluster, name: str) -> None:
    """Remove the Service by which the pods of one trial find each other."""
    with ignoring(GONE):
        cluster.call(f"removing the service {name}", "DELETE", cluster.path("services", name))


def unpacked(lines: Sequence[str], target: Path) -> list[Path]:
    """Unpack the files that a reader printed (see `cloudtune_kubernetes.files`) into a folder; return them."""
    from cloudtune.bundle.package import unpack_inside  # noqa: PLC0415  # few commands fetch

    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode("".join(lines)))) as archive:
        unpack_inside(archive, target)
        names = [member.name for member in archive.getmembers() if member.isfile()]
    return [target / name for name in sorted(names) if (target / name).is_file()]
