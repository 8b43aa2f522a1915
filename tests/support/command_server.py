"""The command ``cloudtune`` for tests that start it often: each command is a process of its own, but none imports everything anew.

A server has loaded what commands need, and forks for each. What stands on the PATH as ``cloudtune`` hands its words,
folder, environment and streams to the server; it hands signals on, and ends as the command does.
"""

import atexit
import contextlib
import importlib
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

CLIENT = """\
#!{python} -IS
import _signal, _socket, os, struct, sys
server = _socket.socket(_socket.AF_UNIX)
server.connect({address!r})
words = [b"%s=%s" % each for each in os.environb.items()] + [b""] + [os.fsencode(each) for each in (os.getcwd(), *sys.argv)]
body = b"\\0".join(words)
server.sendmsg([struct.pack("I", len(body))], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("3i", 0, 1, 2))])
sent = 0
while sent < len(body):
    sent += server.send(body[sent:])
def answer():
    said = b""
    while len(said) < 4:
        part = server.recv(4 - len(said))
        said += part or os._exit(99)
    return struct.unpack("i", said)[0]
command = answer()
for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
    _signal.signal(number, lambda number, _: os.kill(command, number))
code = answer()
if code < 0:
    _signal.signal(-code, _signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""
"""What stands on the PATH: only what the interpreter has built in is imported, so that it starts in 10 ms."""


@contextlib.contextmanager
def served_commands(*modules: str) -> Iterator[Path]:
    """Yield a folder for the PATH whose ``cloudtune`` is the command of this interpreter.

    Args:
        modules: what commands import beside the command line itself.
    """
    folder = Path(tempfile.mkdtemp())  # short: the address of a socket may have 100 characters
    address = folder / "socket"
    words = [sys.executable, __file__, str(address), *modules]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == b"listening\n"
            (folder / "bin").mkdir()
            client = folder / "bin" / "cloudtune"
            client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
            client.chmod(0o755)
            yield folder / "bin"
        finally:
            server.stdin.close()
            server.wait(100)
            shutil.rmtree(folder)


def serve(address: str) -> None:
    """Fork for each command that comes, until stdin is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            asking, _ = listener.accept()
            if not os.fork():
                listener.close()
                _answer(asking)
            asking.close()


def _answer(asking: socket.socket) -> NoReturn:
    """Start the command that was asked for, wait for it, and answer with its id and its exit code; it ends with its client."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, _, _ = socket.recv_fds(asking, 4, 3)
    (size,) = struct.unpack("I", head)
    body = b""
    while len(body) < size:
        body += asking.recv(size - len(body))
    command = os.fork()
    if not command:
        asking.close()
        _run(body.split(b"\0"), streams)
    for each in streams:
        os.close(each)
    asking.sendall(struct.pack("i", command))
    ended = os.pidfd_open(command)
    ready, _, _ = select.select([asking, ended], [], [])
    if ended not in ready:
        os.kill(command, signal.SIGKILL)
    _, status = os.waitpid(command, 0)
    with contextlib.suppress(OSError):  # the client was killed
        asking.sendall(struct.pack("i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _run(said: list[bytes], streams: list[int]) -> NoReturn:
    """Be the command: its environment, an empty word, its folder, its words."""
    cut = said.index(b"")
    os.environ.clear()
    for each in said[:cut]:
        name, _, value = each.partition(b"=")
        os.environb[name] = value
    folder, *words = said[cut + 1 :]
    os.chdir(folder)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.argv = [os.fsdecode(word) for word in words]
    random.seed()
    from cloudtune.cli import main

    try:
        code = main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does before it ends
    atexit._run_exitfuncs()
    for file in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            file.flush()
    os._exit(code)


if __name__ == "__main__":
    for module in ("cloudtune.cli.app", "cloudtune.api", *sys.argv[2:]):
        importlib.import_module(module)
    serve(sys.argv[1])
