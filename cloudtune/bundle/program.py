"""Parsing of trial commands: the programs, scripts and modules that a command needs, checked before the launch."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import PurePosixPath


class Kind(Enum):
    """The kind of thing that a word of a command names."""

    PROGRAM = auto()
    """An executable: a path, or a name looked up in PATH."""
    SCRIPT = auto()
    """A file that an interpreter or launcher runs."""
    MODULE = auto()
    """A module that Python runs (``-m``)."""


@dataclass(frozen=True, slots=True)
class Named:
    """A program, script or module that a command names.

    Attributes:
        kind: what `name` is.
        name: the path or the module's name, as in the command.
        folder: the folder that `name` is relative to, below the folder in which the command starts.
        sure: whether it must exist when the command starts; an earlier command of the line may create it otherwise.
    """

    kind: Kind
    name: str
    folder: str = ""
    sure: bool = True


_SCRIPT = re.compile(r".+\.(?:py|pyz|sh|bash|R|r|jl|pl|rb|js|mjs|ts|lua|m)\Z")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_UNKNOWN = re.compile(r"[$`*?\[\]{}~\0]")
"""Characters whose text is replaced by a shell's expansion or a trial's parameters."""
_REDIRECTION = re.compile(r"\d*[<>]+&?\Z")

_PYTHON = re.compile(r"(?:python|pypy)[\d.]*w?t?\Z")
_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh"})
_INTERPRETERS = frozenset({"Rscript", "julia", "perl", "ruby", "node", "lua", "octave", "php", "deno", "bun"})
_WITH_VALUE = {
    "env": {"-u", "-C", "-S", "--unset", "--chdir"},
    "nice": {"-n"},
    "ionice": {"-c", "-n"},
    "stdbuf": {"-o", "-i", "-e"},
    "timeout": {"-s", "-k", "--signal", "--kill-after"},
    "time": {"-f", "-o"},
    "nohup": set(),
    "exec": set(),
    "command": set(),
    "setsid": set(),
    "catchsegv": set(),
    "xvfb-run": {"-n", "-s", "-e", "-f", "-p", "-w"},
    "taskset": set(),
    "numactl": set(),
}
"""Programs that start another program, each with its options that take a value as the next word."""
_POSITIONAL = {"timeout": 1, "taskset": 1}
"""Positional arguments of such programs that precede the program."""
_PYTHON_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs", "-Q"})
_BUILTINS = frozenset({":", ".", "source", "set", "export", "unset", "echo", "printf", "true", "false", "test", "[",
    "ulimit", "umask", "trap", "wait", "eval", "exit", "mkdir", "rm", "cp", "mv", "ln", "touch", "cat", "sleep", "pwd",
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "function", "!", "{", "}",
    "pushd", "popd", "alias", "shift", "let", *"declare local read return".split()})  # fmt: skip  # noqa: SIM905  # `local` alone is a provider
"""Shell builtins, and programs that every system has."""


def named_in(command: str | Sequence[str]) -> list[Named]:
    """Return the programs, scripts and modules that a command names, as far as is known without running it.

    Args:
        command: a shell line, or a program and its arguments, with placeholders for parameters such as ``{lr}``.
    """
    if not isinstance(command, str):
        return list(_of_words(list(command), "", sure=True))
    found: list[Named] = []
    folder, sure = "", True
    for words in _simple_commands(command):
        if words and words[0] == "cd":
            folder = _entered(folder, words[1:])
            continue
        found += _of_words(words, folder, sure=sure, in_shell=True)
        sure = sure and bool(words) and words[0] in ("export", "set", "echo", "ulimit", "umask")
        if _UNKNOWN.search(folder) or (words and words[0] in ("if", "for", "while", "case", "until", "{", "function")):
            break  # the rest depends on the shell's state
    return found


def _entered(folder: str, words: Sequence[str]) -> str:
    target = words[0] if words else "~"
    return target if target.startswith("/") else f"{folder}/{target}".lstrip("/") if folder else target


def _simple_commands(line: str) -> Iterator[list[str]]:
    """Yield the words of each simple command of a shell line, without redirections; nothing for unparsable lines."""
    lexer = shlex.shlex(line.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars="();&|<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    try:
        tokens = list(lexer)
    except ValueError:  # unbalanced quotes: the shell reports them
        return
    words: list[str] = []
    skip = False
    for index, token in enumerate(tokens):
        if set(token) <= set("();&|") and token:
            if "(" in token:
                return
            yield words
            words = []
        elif set(token) <= set("<>&") and token:
            skip = True
            if words and words[-1].isdigit() and index:
                words.pop()
        elif skip:
            skip = False
        else:
            words.append(token)
    yield words


def _of_words(words: list[str], folder: str, *, sure: bool, in_shell: bool = False) -> Iterator[Named]:
    """Yield what one simple command names."""
    if in_shell:
        while words and _ASSIGNMENT.match(words[0]):
            words = words[1:]
    if not words or _UNKNOWN.search(words[0]) or _UNKNOWN.search(folder):
        return
    program, rest = words[0], words[1:]
    if in_shell and program in _BUILTINS:
        sourced = program in (".", "source") and any("/" in word for word in rest[:1])
        yield from _first_script(rest, folder, sure=sure, any_suffix=True) if sourced else ()
        return
    if not in_shell or program not in ("exec", "command"):
        yield Named(Kind.PROGRAM, program, folder, sure)
    base = PurePosixPath(program).name
    yield from _started_by(base, rest, folder, sure=sure)


def _started_by(base: str, rest: list[str], folder: str, *, sure: bool) -> Iterator[Named]:
    """Yield what the program `base` starts, from its arguments `rest`."""
    if base in _WITH_VALUE:
        yield from _of_words(_after_options(base, rest), folder, sure=sure)
    elif _PYTHON.match(base):
        yield from _of_python(rest, folder, sure=sure)
    elif base in _SHELLS:
        yield from _of_shell(rest, folder, sure=sure)
    elif base in _INTERPRETERS:
        yield from _first_script(rest, folder, sure=sure, any_suffix=True)
    else:
        yield from _of_launcher(rest, folder, sure=sure)


def _after_options(program: str, words: list[str]) -> list[str]:
    """Return the arguments of a wrapping program from the program that it starts."""
    index = 0
    while index < len(words) and (
        words[index].startswith("-") or (program == "env" and _ASSIGNMENT.match(words[index]))
    ):
        index += 2 if words[index] in _WITH_VALUE[program] else 1
    return words[index + _POSITIONAL.get(program, 0) :]


def _of_python(words: list[str], folder: str, *, sure: bool) -> Iterator[Named]:
    index = 0
    while index < len(words):
        word = words[index]
        if word == "-m":
            if index + 1 < len(words) and not _UNKNOWN.search(words[index + 1]):
                yield Named(Kind.MODULE, words[index + 1], folder, sure)
                yield from _of_launcher(words[index + 2 :], folder, sure=sure)
            return
        if word == "-" or word.startswith("-c"):
            return
        if not word.startswith("-"):
            if not _UNKNOWN.search(word):
                yield Named(Kind.SCRIPT, word, folder, sure)
            return
        index += 2 if word in _PYTHON_WITH_VALUE else 1


def _of_shell(words: list[str], folder: str, *, sure: bool) -> Iterator[Named]:
    for index, word in enumerate(words):
        if word.startswith("-") and not word.startswith("--") and "c" in word[1:]:
            line = words[index + 1] if index + 1 < len(words) else ""
            for each in named_in(line):
                yield Named(
                    each.kind, each.name, _entered(folder, [each.folder]) if each.folder else folder, sure and each.sure
                )
            return
        if not word.startswith(("-", "+")):
            if not _UNKNOWN.search(word):
                yield Named(Kind.SCRIPT, word, folder, sure)
            return


def _first_script(words: list[str], folder: str, *, sure: bool, any_suffix: bool = False) -> Iterator[Named]:
    for word in words:
        if word in ("-e", "-E", "--eval", "-c"):
            return
        if not word.startswith("-"):
            if not _UNKNOWN.search(word) and (any_suffix or _SCRIPT.match(word)):
                yield Named(Kind.SCRIPT, word, folder, sure)
            return


def _of_launcher(words: list[str], folder: str, *, sure: bool) -> Iterator[Named]:
    """Yield the script, known by its suffix, that ``torchrun``, ``accelerate launch``, ``mpirun`` etc. start.

    A word behind an option may be that option's value, so it need not exist.
    """
    for index, word in enumerate(words):
        if _PYTHON.match(PurePosixPath(word).name):
            yield from _of_python(words[index + 1 :], folder, sure=sure)
            return
        if _SCRIPT.match(word) and not word.startswith("-") and not _UNKNOWN.search(word):
            after_option = index > 0 and words[index - 1].startswith("--") and "=" not in words[index - 1]
            yield Named(Kind.SCRIPT, word, folder, sure and not after_option)
            return
