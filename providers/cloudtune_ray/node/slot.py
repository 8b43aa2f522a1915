"""A slot on a node: run one trial after the other, each in its own process group, and report to the driver.

It lives in an asyncio actor, between the driver and a keeper (`cloudtune.process.keeper`), and completes a running
trial without a driver: a later driver gets all its news from the slot. Without a driver, the slot exits after a while.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudtune.process.keeper_client import trial_environment
from cloudtune.process.setting import TrialFiles, copy_checkpoint
from cloudtune.trial.hearing import hearing
from cloudtune_ray.node.attempt import Attempt
from cloudtune_ray.node.folders import RunFolder, unpack
from cloudtune_ray.node.programs import Programs, not_started

READING_INTERVAL = 0.1
"""Seconds between two reads of what the running trial has written."""

_LOOK_FOR_DRIVER = 5.0


class Slot:
    """Runs the orders of one run.

    Args:
        root: the folder on this node for all that cloudtune writes.
        package: the folder with cloudtune's own files.
        linger: seconds without a call after which it exits.
    """

    def __init__(self, root: str, package: str, linger: float) -> None:
        self._root = Path(root)
        self._package = package
        self._setting: Mapping[str, Any] = {}
        self._folder: RunFolder | None = None
        self._work = ""
        self._data: dict[str, str] = {}
        self._attempt: Attempt | None = None
        self._news = asyncio.Event()
        self._programs: Programs | None = None
        self._calls = 0
        self._last_contact = time.monotonic()
        self._linger = linger
        self._exit_task = asyncio.create_task(self._leave_when_unused())

    # The driver's calls

    async def prepare(self, setting: Mapping[str, Any]) -> None:
        """Prepare the slot: the run's folder, its code and its data. A repeated call has no further effect.

        Args:
            setting: see `cloudtune_ray.briefing.Briefing.node`.

        Raises:
            OSError: the disk is full, or data does not exist on this node.
        """
        with self._driver_is_there():
            if self._folder is None:
                self._setting = setting
                self._folder = RunFolder(self._root / "runs", setting["mark"])
                shutil.rmtree(self._own, ignore_errors=True)  # left by a dead slot with the same process id
                self._own.mkdir()
            self._work = await self._work_folder(setting)
            for variable, data in setting["data"].items():
                self._data[variable] = await self._place_of(data)

    async def run(self, order: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Begin an attempt, unless it is the present one already, and return its news as `listen` does.

        Args:
            order: number, attempt, key, parameters, what to execute, its environment, and its checkpoint.
            seconds: see `listen`.
        """
        with self._driver_is_there():
            if self._attempt is None or self._attempt.key != order["key"]:
                self._forget_attempt()
                await self._begin(order)
        return await self.listen(order["key"], 0, 0, seconds)

    async def listen(self, key: str, log: int, reports: int, seconds: float) -> dict[str, Any]:
        """Return what an attempt has written and whether it has ended; wait until there is news.

        Args:
            key: of the attempt.
            log: bytes of its log that the driver has.
            reports: how much of its reports the driver has.
            seconds: greatest time to wait.
        """
        attempt = self._attempt
        if attempt is None or attempt.key != key:
            return {"gone": True}
        until = time.monotonic() + seconds
        with self._driver_is_there():
            while True:
                said = attempt.news(log, reports)
                left = until - time.monotonic()
                if any(said.values()) or left <= 0:
                    return said
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), min(left, READING_INTERVAL))

    async def read(self, key: str, name: str, offset: int) -> bytes:
        """Return a part of a file of the ended attempt."""
        if self._attempt is None or self._attempt.key != key:
            raise FileNotFoundError(f"the slot has forgotten {name} of attempt {key}")
        with self._driver_is_there():
            return await asyncio.to_thread(self._attempt.piece, name, offset)

    async def stop(self, key: str) -> None:
        """Ask an attempt to end, and kill it after its grace time."""
        attempt = self._attempt
        if attempt is None or attempt.key != key or attempt.ended is not None:
            return
        attempt.stopped = True
        if self._programs is not None:
            self._programs.stop(attempt)

    async def status(self) -> dict[str, Any]:
        """Return which attempt is here, and whether it has ended."""
        attempt = self._attempt
        with self._driver_is_there():
            return {"key": attempt.key if attempt else None, "ended": attempt is not None and attempt.ended is not None}

    @contextlib.contextmanager
    def _driver_is_there(self) -> Iterator[None]:
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self._last_contact = time.monotonic()

    async def leave(self) -> None:
        """End the trial, remove the slot's files, and exit the actor's process."""
        import ray  # noqa: PLC0415  # an actor has it

        await self._clean_up()
        ray.actor.exit_actor()  # type: ignore[no-untyped-call]  # Ray's own

    async def _clean_up(self) -> None:
        if self._exit_task is not asyncio.current_task():
            self._exit_task.cancel()
        if self._attempt is not None:
            self._attempt.stopped = True  # even if it has not begun yet
        if self._programs is not None:
            await self._programs.close()
        self._forget_attempt()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._own, ignore_errors=True)
            await asyncio.to_thread(self._folder.leave)
            self._folder = None

    async def _leave_when_unused(self) -> None:
        """Exit when no driver has called for long, once the trial has ended."""
        while True:
            await asyncio.sleep(min(_LOOK_FOR_DRIVER, self._linger))
            busy = self._calls > 0 or (self._attempt is not None and self._attempt.ended is None)
            if busy:
                self._last_contact = time.monotonic()
            elif time.monotonic() - self._last_contact > self._linger:
                import ray  # noqa: PLC0415  # an actor has it

                await self._clean_up()
                ray.kill(ray.get_runtime_context().current_actor)  # exit_actor works in an actor's methods alone

    # Code, data and folders

    async def _work_folder(self, setting: Mapping[str, Any]) -> str:
        """Return the folder that trials start in: their source, or the job file's folder if this node has it."""
        assert self._folder is not None
        if setting["code"] is not None:
            return str(await self._folder.unpacked("code", setting["code"]))
        base: str = setting["base"]
        return base if Path(base).is_dir() else str(self._own)

    async def _place_of(self, data: Mapping[str, Any]) -> str:
        assert self._folder is not None
        if data["pieces"] is not None:
            return str(await self._folder.unpacked(data["name"], data["pieces"]) / data["below"])
        if not Path(data["path"]).exists():
            raise FileNotFoundError(f"there is no {data['path']} on {os.uname().nodename} (ray.data: shared)")
        return str(data["path"])

    async def _begin(self, order: Mapping[str, Any]) -> None:
        files = self._files(order)
        kept = {} if self._setting["outputs"] else {"output": files.output, "checkpoint": files.checkpoint}
        attempt = self._attempt = Attempt(order, files, kept)  # from here on the same order starts nothing more
        if self._programs is None:
            self._programs = Programs(self._setting, self._own, self._work, self._package, self._news.set)
        try:
            await self._inherit(order, files)
            await self._unpack_checkpoint(order["checkpoint"], files)
        except OSError as error:
            self._programs.end(attempt, not_started(f"its checkpoint cannot be unpacked: {error}"))
            return
        if attempt.stopped:
            self._programs.end(attempt, {**not_started("it was stopped before"), "why": "stopped"})
        else:
            self._programs.begin(attempt, order, self._environment(order))

    async def _inherit(self, order: Mapping[str, Any], files: TrialFiles) -> None:
        """Begin with another trial's checkpoint, where all nodes see it."""
        if self._setting["outputs"] and order["parent"] is not None:
            source = Path(files.checkpoint).with_name(f"{order['parent']:05d}")
            Path(files.checkpoint).parent.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(copy_checkpoint, source, Path(files.checkpoint))

    async def _unpack_checkpoint(self, pieces: Sequence[Awaitable[bytes]], files: TrialFiles) -> None:
        if pieces:
            Path(files.checkpoint).mkdir(parents=True)
            await unpack(pieces, Path(files.checkpoint))

    def _files(self, order: Mapping[str, Any]) -> TrialFiles:
        name, outputs = f"{order['number']:05d}", self._setting["outputs"]
        files = TrialFiles(
            str(self._own / name), order["attempt"], outputs and f"{outputs}/{name}", self._setting["log_size"]
        )
        if outputs:
            files.checkpoint = f"{outputs}/checkpoints/{name}"
        return files

    def _forget_attempt(self) -> None:
        """Remove the files of the last attempt, which the driver has."""
        if self._attempt is not None:
            shutil.rmtree(self._attempt.files.folder, ignore_errors=True)
            self._attempt = None

    @property
    def _own(self) -> Path:
        """The slot's own folder in the run's."""
        assert self._folder is not None, "the driver prepares a slot before it gives orders"
        return self._folder.path / f"slot-{os.getpid()}"

    def _environment(self, order: Mapping[str, Any]) -> dict[str, str]:
        """Return the environment of the run's trials: the node's variables, cloudtune's, the inputs', and the job's."""
        import ray  # noqa: PLC0415  # an actor has it

        environment = trial_environment(os.environ, self._setting["run"], self._own, None)
        path = [self._package, *filter(None, [os.environ.get("PYTHONPATH")])]
        address = ray.get_runtime_context().gcs_address  # a trial may use the cluster itself
        own = {"PYTHONPATH": os.pathsep.join(path), "RAY_ADDRESS": address, **self._data}
        return hearing({**environment, **own, **order["environment"]})
