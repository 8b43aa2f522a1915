"""The volumes of a pod as folders of this machine, and where its containers find them."""

import base64
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudtune_kubernetes.emulator.fields import field_of, resource_of
from cloudtune_kubernetes.emulator.kinds import CONFIG_MAP, SECRET, Kind
from cloudtune_kubernetes.emulator.store import Object, Store


class NotReady(Exception):
    """Something that a pod names is not there yet.

    Args:
        message: what, in the kubelet's words.
    """


@dataclass(frozen=True, slots=True)
class VolumeSource:
    """Where volumes come from.

    Attributes:
        store: of the cluster.
        claims: the folder of persistent volumes: NAMESPACE/CLAIM.
        token: returns the token of a service account, by namespace and name.
        certificate: the file with the API server's certificate.
        lenient: whether configMaps and secrets that do not exist are empty.
    """

    store: Store
    claims: Path
    token: Callable[[str, str], str]
    certificate: Path
    lenient: bool

    def make(self, pod: Object, folder: Path) -> dict[str, Path]:
        """Return the folders of a pod's volumes by their names, made below a folder.

        Raises:
            NotReady: a configMap or secret is not there yet.
        """
        return {
            volume["name"]: self._make(pod, volume, folder / volume["name"])
            for volume in pod["spec"].get("volumes") or ()
        }

    def _make(self, pod: Object, volume: Mapping[str, Any], folder: Path) -> Path:
        namespace = pod["metadata"]["namespace"]
        if volume.get("hostPath") is not None:
            return _host_path(volume["name"], volume["hostPath"])
        if volume.get("persistentVolumeClaim") is not None:
            claim: Path = self.claims / namespace / str(volume["persistentVolumeClaim"]["claimName"])
            claim.mkdir(parents=True, exist_ok=True)
            return claim
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._fill(pod, volume, folder)
        return folder

    def _fill(self, pod: Object, volume: Mapping[str, Any], folder: Path) -> None:
        if volume.get("configMap") is not None:
            self._write(pod, volume["name"], CONFIG_MAP, volume["configMap"], "name", folder)
        elif volume.get("secret") is not None:
            self._write(pod, volume["name"], SECRET, volume["secret"], "secretName", folder)
        elif volume.get("downwardAPI") is not None:
            _write_fields(pod, volume["downwardAPI"].get("items") or (), folder)
        elif volume.get("projected") is not None:
            for source in volume["projected"].get("sources") or ():
                self._project(pod, volume["name"], source, folder)

    def _project(self, pod: Object, name: str, source: Mapping[str, Any], folder: Path) -> None:
        if source.get("serviceAccountToken") is not None:
            token = self.token(pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"])
            _put(folder / source["serviceAccountToken"]["path"], token.encode(), 0o600)
        elif source.get("configMap") is not None:
            if source["configMap"].get("name") == "kube-root-ca.crt":
                _put(folder / "ca.crt", self.certificate.read_bytes(), 0o644)
            else:
                self._write(pod, name, CONFIG_MAP, source["configMap"], "name", folder)
        elif source.get("secret") is not None:
            self._write(pod, name, SECRET, source["secret"], "name", folder)
        elif source.get("downwardAPI") is not None:
            _write_fields(pod, source["downwardAPI"].get("items") or (), folder)

    def _write(self, pod: Object, volume: str, kind: Kind, source: Mapping[str, Any], key: str, folder: Path) -> None:
        namespace, name = pod["metadata"]["namespace"], source.get(key, "")
        found = self.store.get(kind, namespace, name)
        if found is None:
            if source.get("optional") or self.lenient:
                return
            raise NotReady(f'MountVolume.SetUp failed for volume "{volume}" : {kind.kind.lower()} "{name}" not found')
        data = content_of(found)
        mode = source.get("defaultMode", 0o644)
        items = source.get("items") or [{"key": each, "path": each} for each in data]
        for item in items:
            if item["key"] in data:
                _put(folder / item["path"], data[item["key"]], item.get("mode", mode))
            elif not source.get("optional"):
                what = "configmap" if kind == CONFIG_MAP else "secret"
                raise NotReady(
                    f'MountVolume.SetUp failed for volume "{volume}" : references non-existent {what} key: {item["key"]}'
                )


def content_of(found: Object) -> dict[str, bytes]:
    """Return the data of a configMap or secret, by key."""
    if found["kind"] == "Secret":
        return {name: base64.b64decode(value) for name, value in (found.get("data") or {}).items()}
    plain = {name: value.encode() for name, value in (found.get("data") or {}).items()}
    return plain | {name: base64.b64decode(value) for name, value in (found.get("binaryData") or {}).items()}


def _host_path(volume: str, source: Mapping[str, Any]) -> Path:
    path, kind = Path(str(source["path"])), source.get("type", "")
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    wrong = {"Directory": not path.is_dir(), "File": not path.is_file()}.get(kind, not path.exists() and kind != "")
    if wrong:
        raise NotReady(
            f'MountVolume.SetUp failed for volume "{volume}" : hostPath type check failed: {path} is not a {kind.lower()}'
        )
    if not path.exists():
        path.mkdir(parents=True)
    return path


def _write_fields(pod: Object, items: Sequence[Mapping[str, Any]], folder: Path) -> None:
    for item in items:
        if item.get("fieldRef") is not None:
            text = field_of(pod, item["fieldRef"]["fieldPath"])
        else:
            text = resource_of(pod, item["resourceFieldRef"].get("containerName", ""), item["resourceFieldRef"])
        _put(folder / item["path"], text.encode(), 0o644)


def _put(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode | 0o400)


def shown(container: Mapping[str, Any], volumes: Mapping[str, Path], stage: Path) -> dict[str, Path]:
    """Return what is mounted for a container, by mount points whose parents exist on this machine.

    A mount point below a folder that this machine does not have is a link in a folder of its own, which is mounted in
    the place of the first one that is missing.

    Args:
        container: of the pod's spec.
        volumes: the folders of the pod's volumes.
        stage: a folder for such folders.
    """
    made: dict[str, Path] = {}
    wanted = {_clean(each["mountPath"]): _source(each, volumes) for each in container.get("volumeMounts") or ()}
    work = _clean(container.get("workingDir") or "/")
    if not Path(work).is_dir() and not any(work == place or work.startswith(f"{place}/") for place in wanted):
        (stage / "work").mkdir(parents=True, exist_ok=True)
        wanted[work] = stage / "work"
    for number, (place, source) in enumerate(sorted(wanted.items())):
        top = _top(place)
        if top in wanted and top != place and not Path(place).exists():
            inner = wanted[top] / os.path.relpath(place, top)  # below another volume
            _link(inner, source)
        elif top == place or Path(place).exists():
            made[place] = source
        else:
            root = made.setdefault(top, stage / f"root{number}")
            _link(root / os.path.relpath(place, top), source)
    return made


def _clean(path: str) -> str:
    return os.path.normpath(path) if path.startswith("/") else os.path.normpath(f"/{path}")


def _top(place: str) -> str:
    """Return the first folder of a path that this machine does not have; the path itself if it has all above it."""
    path = Path(place)
    for each in [*reversed(path.parents), path]:
        if not each.exists():
            return str(each)
    return place


def _source(mount: Mapping[str, Any], volumes: Mapping[str, Path]) -> Path:
    source = volumes[mount["name"]]
    if mount.get("subPath"):
        source = source / mount["subPath"]
        if not source.exists():
            source.mkdir(parents=True)
    return source


def _link(place: Path, source: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists() and not place.is_symlink():
        place.symlink_to(source)
