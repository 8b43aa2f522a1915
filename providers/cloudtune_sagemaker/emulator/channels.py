"""Input data: what a channel's source names in S3, and its copy in the folder of a machine.

"How Amazon SageMaker Provides Training Information" (input data configuration) and S3DataSource of the API.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cloudtune.errors import ProviderError
from cloudtune_sagemaker.emulator.cloud import Cloud, split_uri
from cloudtune_sagemaker.emulator.contract import Room
from cloudtune_sagemaker.emulator.failures import JobFailure
from cloudtune_sagemaker.emulator.training import Training


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a channel.

    Attributes:
        bucket: where it is.
        key: its key.
        path: where it goes, below the channel's folder.
    """

    bucket: str
    key: str
    path: str


def channel_items(channel: Mapping[str, Any], cloud: Cloud, host: int, hosts: int) -> list[Item]:
    """Return the objects of a channel for one machine; with ``ShardedByS3Key`` each machine has its share.

    Raises:
        JobFailure: the source names nothing, or is none that the emulator has (a file system).
    """
    source = (channel.get("DataSource") or {}).get("S3DataSource")
    if source is None:
        raise JobFailure(
            f"ClientError: the channel {channel['ChannelName']!r} has no S3DataSource; the emulator has no file systems "
            "(EFS, FSx) to read from"
        )
    try:
        items = _items(source, cloud)
    except (ProviderError, ValueError) as error:
        raise JobFailure(f"ClientError: Data download failed:{error}") from error
    if not items:
        raise JobFailure(
            f'ClientError: Data download failed:No S3 objects found under S3 URL "{source["S3Uri"]}" given in input '
            f"data source of the channel {channel['ChannelName']!r}"
        )
    return items[host::hosts] if source.get("S3DataDistributionType") == "ShardedByS3Key" else items


def _items(source: Mapping[str, Any], cloud: Cloud) -> list[Item]:
    bucket, key = split_uri(source["S3Uri"])
    if source.get("S3DataType") == "ManifestFile":
        return _manifest(json.loads(cloud.read(bucket, key)), cloud)
    return [Item(bucket, found, _below(key, found)) for found in cloud.objects(bucket, key) if not found.endswith("/")]


def _below(prefix: str, key: str) -> str:
    """Return the path of an object below its channel: what follows the last folder that the prefix names."""
    if key.startswith(f"{prefix.rstrip('/')}/") and prefix:
        return key[len(prefix.rstrip("/")) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def _manifest(entries: object, cloud: Cloud) -> list[Item]:
    """Return the objects of a manifest: ``[{"prefix": "s3://bucket/folder/"}, "relative/path", …]``."""
    prefix = (
        entries[0].get("prefix") if isinstance(entries, list) and entries and isinstance(entries[0], dict) else None
    )
    if not isinstance(prefix, str) or not isinstance(entries, list):
        raise ValueError('the manifest must be [{"prefix": "s3://…"}, "path", …]')  # noqa: TRY004  # it is data
    bucket, start = split_uri(prefix)
    known = set(cloud.objects(bucket, start))
    items = [Item(bucket, start + path, path) for path in entries[1:]]
    for item in items:
        if item.key not in known:
            raise ValueError(f"the manifest names s3://{bucket}/{item.key}, which does not exist")
    return items


def download(channel: Mapping[str, Any], training: Training, room: Room, cloud: Cloud) -> None:
    """Copy a channel's objects to ``/opt/ml/input/data/<channel>``.

    Raises:
        JobFailure: there are none, or a key would leave the channel's folder, or a file cannot be written.
    """
    source = (channel.get("DataSource") or {}).get("S3DataSource") or {}
    if source.get("S3DataType") == "AugmentedManifestFile":
        raise JobFailure("ClientError: AugmentedManifestFile can only be used if the channel's input mode is Pipe")
    folder = room.root / "input" / "data" / channel["ChannelName"]
    folder.mkdir(parents=True)
    for item in channel_items(channel, cloud, room.host.number, len(training.hosts)):
        path = PurePosixPath(item.path)
        if path.is_absolute() or ".." in path.parts:
            raise JobFailure(f"ClientError: Data download failed:{item.key!r} would leave the folder of its channel")
        try:
            cloud.download(item.bucket, item.key, folder / path)
        except (ProviderError, OSError) as error:
            raise JobFailure(f"ClientError: Data download failed:{item.key}: {error}") from error


def download_prefix(uri: str, cloud: Cloud, folder: Path) -> int:
    """Copy what is below an address in S3 into a folder; return how many objects there were.

    Raises:
        ProviderError: there is no such bucket, or it is no address.
        OSError: a file cannot be written.
    """
    bucket, key = split_uri(uri)
    prefix = f"{key.rstrip('/')}/" if key.strip("/") else ""
    found = [name for name in cloud.objects(bucket, prefix) if not name.endswith("/")]
    for name in found:
        path = PurePosixPath(name[len(prefix) :])
        if path.is_absolute() or ".." in path.parts:
            raise ProviderError(f"{name!r} would leave its folder", code="ValidationException")
        cloud.download(bucket, name, folder / path)
    return len(found)


def records(channel: Mapping[str, Any], cloud: Cloud, host: int, hosts: int, epoch: int) -> list[Item | bytes]:
    """Return what a pipe carries in one epoch, in order: objects, or texts of an augmented manifest.

    Raises:
        JobFailure: as `channel_items`.
    """
    source = (channel.get("DataSource") or {}).get("S3DataSource") or {}
    if source.get("S3DataType") == "AugmentedManifestFile":
        lines = _augmented(source, cloud)[host::hosts] if _sharded(source) else _augmented(source, cloud)
        _shuffle(lines, channel, epoch)
        return [part for line in lines for part in line]
    items: list[Item | bytes] = list(channel_items(channel, cloud, host, hosts))
    _shuffle(items, channel, epoch)
    return items


def _sharded(source: Mapping[str, Any]) -> bool:
    return source.get("S3DataDistributionType") == "ShardedByS3Key"


def _shuffle(things: list[Any], channel: Mapping[str, Any], epoch: int) -> None:
    """Another order in each epoch, by the channel's ShuffleConfig."""
    if channel.get("ShuffleConfig"):
        random.Random(f"{channel['ShuffleConfig']['Seed']}/{epoch}").shuffle(things)  # noqa: S311  # an order of data


def _augmented(source: Mapping[str, Any], cloud: Cloud) -> list[list[Item | bytes]]:
    """Return the attributes of each line of an augmented manifest; one whose name ends in ``-ref`` names an object."""
    try:
        text = cloud.read(*split_uri(source["S3Uri"])).decode()
        return [_attributes(json.loads(line), source["AttributeNames"]) for line in text.splitlines() if line.strip()]
    except (ProviderError, ValueError, KeyError) as error:
        raise JobFailure(f"ClientError: Data download failed:{error}") from error


def _attributes(line: Mapping[str, Any], names: Sequence[str]) -> list[Item | bytes]:
    parts: list[Item | bytes] = []
    for name in names:
        value = line[name]
        if name.endswith("-ref"):
            bucket, key = split_uri(value)
            parts.append(Item(bucket, key, key))
        else:
            parts.append((value if isinstance(value, str) else json.dumps(value)).encode())
    return parts
