"""Pipe mode: a channel as one named pipe an epoch, ``/opt/ml/input/data/<channel>_<epoch>``."""

import contextlib
import gzip
import os
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloudtune.errors import ProviderError
from cloudtune_sagemaker.emulator.channels import Item, records
from cloudtune_sagemaker.emulator.cloud import Cloud
from cloudtune_sagemaker.emulator.contract import Room
from cloudtune_sagemaker.emulator.failures import JobFailure

_RECORD_MAGIC = 0xCED7230A  # RecordIO of MXNet, "Create a Dataset Using RecordIO"


class Pipe:
    """Feeds a channel to the program of one machine, epoch after epoch, for as long as it is opened again.

    Args:
        channel: of the request, with input mode Pipe.
        room: of the machine.
        hosts: how many machines there are.
        cloud: where the data is.
        on_problem: takes a sentence when data cannot be read; the program then sees the pipe's end.
    """

    def __init__(
        self, channel: Mapping[str, Any], room: Room, hosts: int, cloud: Cloud, on_problem: Callable[[str], None]
    ) -> None:
        self._channel, self._room, self._hosts, self._cloud = channel, room, hosts, cloud
        self._on_problem = on_problem
        self._first = records(channel, cloud, room.host.number, hosts, 0)  # a missing source fails before the start
        self._stopping = threading.Event()
        self._current = self._path(0)
        os.mkfifo(self._current)
        self._thread = threading.Thread(target=self._feed, name=f"pipe {channel['ChannelName']}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the feeding; the programs that read it are to be gone."""
        self._stopping.set()
        while self._thread.is_alive():
            with contextlib.suppress(OSError):  # a writer that waits for a reader gets one, and sees that it is to end
                os.close(os.open(self._current, os.O_RDONLY | os.O_NONBLOCK))
            self._thread.join(0.01)

    def _path(self, epoch: int) -> Path:
        return self._room.root / "input" / "data" / f"{self._channel['ChannelName']}_{epoch}"

    def _feed(self) -> None:
        epoch, things = 0, self._first
        while not self._stopping.is_set():
            with self._current.open("wb", buffering=0) as pipe:  # waits for a reader
                if self._stopping.is_set():
                    return
                epoch += 1
                os.mkfifo(self._path(epoch))
                with contextlib.suppress(BrokenPipeError):  # the reader has had enough of this epoch
                    self._write(pipe, things)
            self._current = self._path(epoch)
            try:
                things = records(self._channel, self._cloud, self._room.host.number, self._hosts, epoch)
            except JobFailure as error:  # the data was there at the start
                self._on_problem(str(error))
                things = []

    def _write(self, pipe: Any, things: list[Item | bytes]) -> None:
        for thing in things:
            try:
                data = thing if isinstance(thing, bytes) else self._cloud.read(thing.bucket, thing.key)
                if self._channel.get("CompressionType") == "Gzip":
                    data = gzip.decompress(data)
            except (ProviderError, OSError, EOFError) as error:
                self._on_problem(f"the channel {self._channel['ChannelName']!r} cannot be read: {error}")
                return
            self._put(pipe, record(data) if self._channel.get("RecordWrapperType") == "RecordIO" else data)

    def _put(self, pipe: Any, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._stopping.is_set():
            rest = rest[pipe.write(rest) :]


def record(data: bytes) -> bytes:
    """Data as one record of RecordIO: magic number, length, data, filled to four bytes."""
    return struct.pack("<II", _RECORD_MAGIC, len(data)) + data + bytes(-len(data) % 4)
