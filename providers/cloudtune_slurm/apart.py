"""Nodes that do not see the run's folder: what a task needs goes there by sbcast, and what it wrote comes back by srun.

Called on the login node, whose folder of the run has the claims of all attempts. Imports the standard library alone.
"""

import json
import shlex
import tarfile
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudtune.process.setting import TrialFiles
from cloudtune_slurm import commands
from cloudtune_slurm.claims import claim, note_sent, starts_of
from cloudtune_slurm.orders import BATCHES

HOLD = 600
"""Seconds for which a task whose trial has ended waits for its files to be fetched; after that the trial is lost."""

_EMPTY, _NOT_YET = 97, 98
"""The exit codes where a task waits for its files, and where it has made no folder for them yet, or is unpacking them."""

PACKED = "nodes.tar.gz"
"""The file in the run's folder with what all trials need."""


def script(folder: str, batch: str, python: str, *, nodes: int) -> list[str]:
    """Return the lines of a task's script: wait for its files, unpack them, run the trial, and wait until all was fetched.

    Args:
        folder: on the disk of each node, in which the task makes one of its own.
        batch: the name of its batch.
        python: the interpreter.
        nodes: of the task; each gets the files.
    """
    everywhere = "srun --overlap --ntasks-per-node=1 " if nodes > 1 else ""
    return [
        "umask 077",
        f"d={shlex.quote(folder)}/cloudtune-$SLURM_JOB_ID; export d; child=",
        f"trap '{everywhere}rm -rf \"$d\"' EXIT",
        'trap \'[ -n "$child" ] || exit 143; kill -TERM "$child"\' TERM',
        # A folder of this name that it cannot make anew is another user's.
        f'{everywhere}sh -c \'mkdir -p "${{d%/*}}" && rm -rf "$d" && mkdir "$d"\' || exit',
        'until [ -s "$d/orders.json" ]; do sleep 0.2; done',
        f'{everywhere}sh -c \'tar -xzf "$d/files.tar.gz" -C "$d"\' || exit',
        f'mkdir "$d/{BATCHES}" && cp "$d/orders.json" "$d/{BATCHES}/{batch}.json" || exit',
        '[ ! -s "$d/checkpoint.tar.gz" ] || tar -xzf "$d/checkpoint.tar.gz" -C "$d" || exit',
        'touch "$d/ready"; cd "$d" || exit',
        'export PYTHONPATH="$d/lib${PYTHONPATH:+:$PYTHONPATH}"',
        f'{python} -S -m cloudtune_slurm.task "$d/{BATCHES}/{batch}.json" & child=$!',
        'wait "$child"; code=$?',
        'while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done',  # a signal ends a wait
        f'child=; n=0; until [ -e fetched ] || [ "$n" -ge {HOLD} ]; do sleep 1; n=$((n + 1)); done',
        'exit "$code"',
        "",
    ]


class Nodes:
    """The nodes as the login node reaches them.

    Args:
        root: the run's folder on the login node.
        folder: see `script`.
        python: the interpreter there.
    """

    def __init__(self, root: Path, folder: str, python: str) -> None:
        self._root, self._folder, self._python = root, folder, python
        self._packing = threading.Lock()

    def release(self, jobs: Sequence[str]) -> None:
        """Let tasks end whose files are fetched; those that cannot be told wait for a while and end then."""
        for job in jobs:
            self._tell(job, "touch fetched")

    def _tell(self, job: str, script: str, given: str = "") -> str | None:
        """Return what a script prints in a task's folder; None where its node does not answer now."""
        try:
            return commands.call(self._words(job, script), given)
        except commands.SlurmError:
            return None

    def _words(self, job: str, script: str) -> list[str]:
        inside = f"cd {self._place(job)} 2>/dev/null && test -O . || exit {_NOT_YET}; test -s orders.json || exit {_EMPTY}; test -e ready || exit {_NOT_YET}; "
        return [
            "srun",
            "--quiet",
            f"--jobid={job}",
            "--overlap",
            "--nodes=1",
            "--ntasks=1",
            "--chdir=/",
            "sh",
            "-c",
            inside + script,
        ]

    def _place(self, job: str) -> str:
        return f"{self._folder}/cloudtune-{job}"

    def news(self, shared: Mapping[str, Any], task: Mapping[str, Any], files: TrialFiles) -> dict[str, Any]:
        """Return what a task has written, for `Mirror.take`; supply it first where its node has nothing of it.

        Args:
            shared: what all trials share.
            task: the question; ``at`` has the ``job`` of the task, its ``name``, its ``node`` and its ``batch``.
            files: of the attempt, on the login node.
        """
        job, known = task["at"]["job"], {"starts": starts_of(files)}
        # What was read in earlier starts, whose files are gone.
        before = known["starts"][-1]["known"] if known["starts"] else (0, 0)
        offsets = [now - then for now, then in zip(task["known"], before, strict=True)]
        request = json.dumps([{"shared": shared, "tasks": [{**task, "known": offsets}]}])
        try:
            said = commands.call(
                self._words(job, f"PYTHONPATH=lib exec {self._python} -S -m cloudtune_slurm.agent"), request
            )
        except commands.SlurmError as error:
            if error.code == _EMPTY:
                self._supply(task, files)
                return {"starts": starts_of(files)}
            return known
        news: dict[str, Any] = json.loads(said.splitlines()[-1])[0]["tasks"][0]
        if "left_out_until" in news:
            news["left_out_until"] += before[0]
        there = news["starts"][-1] if news["starts"] else {}
        if known["starts"] and "ended" in there:
            known["starts"][-1]["ended"] = there["ended"]
        if "ended" in news and not self._fetched(job, files, news["left"]):
            del news["ended"]
        return {**news, **known}

    def _fetched(self, job: str, files: TrialFiles, left: Sequence[str]) -> bool:
        """Copy folders of a trial that has ended to the login node; return whether that was possible."""
        if not left:
            return True
        folder = Path(files.folder)
        with tempfile.TemporaryFile() as got:
            try:
                commands.call(self._words(job, f"tar -cf - -C trials/{folder.name} {' '.join(left)}"), got=got)
            except commands.SlurmError:
                return False
            got.seek(0)
            with tarfile.open(fileobj=got) as archive:
                archive.extractall(folder, filter="data")
        return True

    def _supply(self, task: Mapping[str, Any], files: TrialFiles) -> None:
        """Send a task what it needs, its orders last, by which it begins; the attempt is claimed before."""
        at = task["at"]
        try:
            self._send(at, self._packed(), "files.tar.gz")
            if any(Path(files.checkpoint).glob("*")):
                with tempfile.NamedTemporaryFile() as kept:
                    _pack(Path(kept.name), [Path(files.checkpoint)], self._root)
                    self._send(at, Path(kept.name), "checkpoint.tar.gz")
            starts, about = (
                starts_of(files),
                {"node": at["node"], "batch": at["batch"], "turn": 0, "known": task["known"]},
            )
            claimed = bool(starts) and "sent" not in starts[-1]  # by a start before, which could not be sent its orders
            if not claimed and not claim(files, at["name"], **about):
                commands.cancel([at["name"]])
                return
            with tempfile.NamedTemporaryFile("w") as orders:
                orders.write(self._orders(task))
                orders.flush()
                self._send(at, Path(orders.name), "orders.json")
            note_sent(files)
        except commands.SlurmError:  # its node is away, or the task has ended; the next look tries again
            return

    def _packed(self) -> Path:
        """Return the file with what all trials need, which is made once."""
        path = self._root / PACKED
        with self._packing:
            if not path.exists():
                _pack(path.with_suffix(".new"), [self._root / name for name in ("lib", "source", "data")], self._root)
                path.with_suffix(".new").rename(path)
        return path

    def _orders(self, task: Mapping[str, Any]) -> str:
        """Return the batch of a task with its own order alone, and with the paths of its node."""
        text = (self._root / BATCHES / f"{task['at']['batch']}.json").read_text("utf-8")
        batch = json.loads(text.replace(json.dumps(str(self._root))[1:-1], self._place(task["at"]["job"])))
        own = [
            order
            for order in batch["orders"]
            if (order["number"], order["attempt"]) == (task["number"], task["attempt"])
        ]
        return json.dumps({**batch, "orders": own})

    def _send(self, at: Mapping[str, Any], path: Path, name: str) -> None:
        commands.call(["sbcast", "--force", f"--jobid={at['job']}", str(path), f"{self._place(at['job'])}/{name}"])


def _pack(path: Path, folders: Sequence[Path], root: Path) -> None:
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as archive:
        for folder in folders:
            if folder.is_dir():
                archive.add(folder, folder.relative_to(root))
