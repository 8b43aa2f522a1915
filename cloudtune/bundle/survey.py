"""Checks of a job's local files before a run: missing files, files left out, and files that look like secrets."""

import ast
import os
import posixpath
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cloudtune.bundle.program import Kind, Named, named_in
from cloudtune.bundle.source import MAX_FILES, MAX_SIZE, source_tree
from cloudtune.bundle.stays import suspicious_of
from cloudtune.bundle.tree import Excluded, Tree, Why, shown, tree_of
from cloudtune.bundle.written_links import CODE, written_links
from cloudtune.errors import Problem
from cloudtune.planning.plan import Note, Support
from cloudtune.spec.units import format_size

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob

DATA_ENTRIES = 50_000
"""Most entries of an input that are examined before a run; an upload reads all."""

_NAMED = 5
"""Most files that a note names; it counts the others."""

_MODULE_SIZE = 1 << 20

_parsing = threading.Lock()
"""Held while a module is parsed: before 3.11.8 and 3.12.2, Python counts the depth of all threads' syntax trees together, and a garbage
collection between raises SystemError (https://github.com/python/cpython/issues/106905)."""

_EVERYWHERE = frozenset({"python", "python3", "sh", "bash", "env", "nice", "timeout", "nohup", "stdbuf", "torchrun",
    "accelerate", "deepspeed", "mpirun", "mpiexec", "horovodrun", "uv", "poetry", "pip", "conda", "Rscript", "julia", "node", "java"})  # fmt: skip
"""Programs that images usually hold; their absence on this machine is no problem of a remote job."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a survey.

    Attributes:
        problems: mistakes for which the run is refused.
        notes: everything else that the user is informed about.
    """

    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()

    def all_notes(self) -> tuple[Note, ...]:
        """Return problems and notes as notes of a plan."""
        refused = (Note(each.path, Support.UNSUPPORTED, f"{each.message}{f' ({each.hint})' if each.hint else ''}") for each in self.problems)  # fmt: skip
        return (*refused, *self.notes)


@dataclass(frozen=True, slots=True)
class Where:
    """Where trials run, as far as it matters for their files.

    Attributes:
        remote: whether trials run on another machine, to which only the files that the job names travel.
        inputs: the paths of the inputs on this machine by name.
        python: the interpreter of trials on this machine; None for the one that runs cloudtune.
        pickled: whether the trial function is pickled by value, so that its module is not needed.
    """

    remote: bool
    inputs: Mapping[str, str] = field(default_factory=dict)
    python: str | None = None
    pickled: bool = False


def survey(job: "TuningJob", base: Path, where: Where) -> Survey:
    """Return what is wrong or notable about a job's local files; use no network or credentials, and execute nothing.

    Args:
        job: the spec.
        base: where its relative paths start.
        where: where its trials run.
    """
    found = _Findings()
    tree = _source(job, base, found)
    for name, place in where.inputs.items():
        _input(f"data.{name}", place, base, found)
    if tree is not None or job.trial.source is None:
        code = _Code(base, tree, None if tree is None else base / (job.trial.source or ""))
        if job.trial.command is not None:
            _Command(job, code, where, found).check()
        elif job.trial.function is not None and not where.pickled:
            _function(job, code, where, found)
    return Survey(tuple(found.problems), tuple(found.notes))


class _Findings:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.notes: list[Note] = []

    def refuse(self, path: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(path, message, hint))

    def note(self, path: str, support: Support, message: str) -> None:
        self.notes.append(Note(path, support, message))

    def add_tree(self, path: str, tree: Tree, taking: str) -> None:
        """Add problems and notes for the files of a tree that do not travel and those that look like secrets."""
        groups: dict[Why, list[Excluded]] = {}
        for each in tree.excluded:
            groups.setdefault(each.why, []).append(each)
        for why, group in groups.items():
            names = _listed(each.name for each in group)
            if group[0] in tree.refused:
                mend = "rename it" if why is Why.NAME else "let it be read (chmod u+r)"
                self.refuse(path, f"{names} {why.value}", mend + taking)
            elif why is Why.SECRET:
                nevertheless = f"trial.ignore: ['!{shown(group[0].name)}'] sends it nevertheless"
                self.note(path, Support.APPROXIMATE, f"stays here: {names} ({why.value}; {nevertheless})")
            elif why is Why.OWN:
                self.note(path, Support.ENCODED, f"stays here: {names} ({why.value})")
            else:
                self.note(path, Support.APPROXIMATE, f"left out: {names} ({why.value})")
        if tree.suspicious:
            advice = "name it under trial.ignore to keep it here" if path == "trial.source" else "see that it may"
            self.note(path, Support.UNCHECKED, f"travels and looks like a secret: {_listed(tree.suspicious)}; {advice}")


def _listed(names: Iterable[str]) -> str:
    every = [shown(name) or "." for name in names]
    rest = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + rest


def near(word: str, words: Iterable[str]) -> str:
    """Return ``did you mean …?`` for the most similar of some words; "" if none is similar."""
    from difflib import get_close_matches  # noqa: PLC0415  # only mistakes need it

    known = list(words)
    by_name = {posixpath.basename(each): each for each in reversed(known)}
    same = [by_name[posixpath.basename(word)]] if posixpath.basename(word) in by_name else []
    found = same or get_close_matches(word, known, n=1)
    if not found:
        found = [by_name[each] for each in get_close_matches(posixpath.basename(word), by_name, n=1)]
    return f"did you mean {shown(found[0])!r}?" if found and found[0] != word else ""


# Source and data


def _source(job: "TuningJob", base: Path, found: _Findings) -> Tree | None:
    """Return the files of the source that travel; None without an existing source folder."""
    source = job.trial.source
    if source is None:
        return None
    path = "trial.source"
    if not (base / source).is_dir():
        if (base / source).exists():
            folder = posixpath.dirname(posixpath.normpath(source)) or "."
            found.refuse(path, f"{source!r} is a file; source names the folder with all that the trials need", f"write source: {folder}")  # fmt: skip
        else:
            found.refuse(path, f"there is no folder {source!r} in {base}", near(source.removeprefix("./").rstrip("/"), _children(base, folders=True)))  # fmt: skip
        return None
    tree = source_tree(job, base)
    hint = "name what is not code under trial.ignore, and data under data"
    if not tree.whole:
        found.refuse(path, f"{base / source} has more than {MAX_FILES:,} entries", hint)
    elif tree.size > MAX_SIZE:
        found.refuse(path, f"{base / source} is larger than {format_size(MAX_SIZE)}", hint)
    found.add_tree(path, tree, ", or name it under trial.ignore")
    _check_written_links(path, tree, found)
    return tree


def _check_written_links(path: str, tree: Tree, found: _Findings) -> None:
    for name, target in written_links(tree):
        message = (
            f"{shown(name)} holds nothing but the path {shown(target)}, as a link does that was checked out as text"
        )
        if PurePosixPath(name).suffix.lower() in CODE:
            hint = f"make it a link again (ln -sf {shown(target)} {shown(name)}), or put the file itself there"
            found.refuse(path, message, hint)
        else:
            found.note(path, Support.UNCHECKED, f"{message}; it travels as it is")


def _input(path: str, place: str, base: Path, found: _Findings) -> None:
    whole = base / place
    try:
        tree = tree_of(whole, limit=DATA_ENTRIES)
    except OSError:
        what = "leads to nothing" if whole.is_symlink() else f"there is no file or folder {place!r} in {base}"
        found.refuse(path, what, near(Path(place).name, _children(whole.parent)))
        return
    if not tree.files and not tree.refused:
        special = not whole.is_dir()
        found.refuse(path, f"{place!r} is {Why.SPECIAL.value}" if special else f"no file of {place!r} would travel: it is empty")  # fmt: skip
        return
    found.add_tree(path, Tree(tree.files, tree.excluded, tree.whole, suspicious_of(tree.files)), "")
    if not tree.whole:
        found.note(path, Support.UNCHECKED, f"only the first {DATA_ENTRIES:,} entries of {place!r} were looked at")


def _children(folder: Path, *, folders: bool = False) -> list[str]:
    """Return at most 1,000 names in a folder, for suggestions; none if it cannot be read."""
    try:
        entries = list(islice(os.scandir(folder), 1000))
    except OSError:
        return []
    return [entry.name for entry in entries if not folders or entry.is_dir()]


# Code


class _Code:
    """The folder in which a trial's command starts: the source as it travels, else the job file's folder.

    Args:
        base: the job file's folder.
        tree: the files of the source that travel; None for no source.
        source: the source folder; None for no source.
    """

    def __init__(self, base: Path, tree: Tree | None, source: Path | None) -> None:
        self.base, self.tree, self.folder = base, tree, base if source is None else source

    @cached_property
    def names(self) -> dict[str, bool]:
        """Whether each file that travels may be executed, by its name."""
        return {} if self.tree is None else {file.name: file.executable for file in self.tree.files}

    def has(self, name: str) -> bool:
        """Return whether a file exists in the folder when a trial starts."""
        return (self.folder / name).is_file() if self.tree is None else name in self.names

    def executable(self, name: str) -> bool:
        return os.access(self.folder / name, os.X_OK) if self.tree is None else self.names[name]

    def has_folder(self, name: str) -> bool:
        if self.tree is None:
            return (self.folder / name).is_dir()
        return any(each.startswith(f"{name}/") for each in self.names)

    def near(self, name: str) -> str:
        """Return ``did you mean …?`` for the most similar file of the folder; "" if none is similar."""
        if self.tree is not None:
            return near(name, self.names)
        parent = posixpath.dirname(name)
        files = [each for each in _children(self.folder / parent) if (self.folder / parent / each).is_file()]
        return near(name, [posixpath.join(parent, each) for each in files])

    def why_missing(self, name: str) -> str:
        """Return why a file of the source folder does not travel; "" if it does not exist."""
        if self.tree is None or not (self.folder / name).exists():
            return ""
        left = next((each.why.value for each in self.tree.excluded if each.name == name), "")
        return f"it is in {self.folder} but stays here: {left or 'trial.ignore names it, or a default of it'}"

    @property
    def modules(self) -> list[str]:
        """The dotted names of the modules in the folder."""
        names = (
            self.names if self.tree is not None else [each for each in _children(self.folder) if each.endswith(".py")]
        )
        dotted = [each.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for each in names if each.endswith(".py")]  # fmt: skip
        return [each for each in dotted if all(part.isidentifier() for part in each.split("."))]

    def file_of(self, module: str, *, run: bool = False) -> str | None:
        """Return the file of a module, or of its ``__main__`` if `run`; None if there is none."""
        path = module.replace(".", "/")
        names = (f"{path}.py", f"{path}/__main__.py" if run else f"{path}/__init__.py")
        return next((name for name in names if self.has(name)), None)


_PATH, _FUNCTION = "trial.command", "trial.function"
_WRITE_SOURCE = "write source: . under trial, so that the job file's folder travels"


class _Command:
    """The check of the programs, scripts and modules that the trial command names."""

    def __init__(self, job: "TuningJob", code: _Code, where: Where, found: _Findings) -> None:
        self._job, self._code, self._where, self._found = job, code, where, found
        self._noted: set[str] = set()

    def check(self) -> None:
        assert self._job.trial.command is not None
        checks: dict[Kind, Callable[[Named], None]] = {
            Kind.PROGRAM: self._program,
            Kind.SCRIPT: self._script,
            Kind.MODULE: self._module,
        }
        for named in named_in(self._job.trial.command):
            checks[named.kind](named)

    def _refuse(self, message: str, hint: str) -> None:
        self._found.refuse(_PATH, message, hint)

    def _unknown(self, what: str) -> None:
        if what not in self._noted:
            self._noted.add(what)
            self._found.note(_PATH, Support.UNCHECKED, f"{what}; the image must hold it")

    def _program(self, named: Named) -> None:
        if "/" in named.name:
            self._file(named, executed=True)
            return
        if (named.name in _EVERYWHERE and self._where.remote) or shutil.which(named.name, path=self._search_path()):
            return
        beside = posixpath.join(named.folder, named.name)
        if self._code.has(beside):
            starter = f"python {named.name}" if named.name.endswith(".py") else f"bash {named.name}"
            self._refuse(f"{named.name} is no program but a file of the folder that trials start in", f"write {starter}, or ./{named.name}")  # fmt: skip
        elif self._where.remote:
            self._unknown(f"there is no program {named.name!r} on this machine")
        elif named.sure:
            self._refuse(f"there is no program {named.name!r} on this machine", near(named.name, _EVERYWHERE))

    def _search_path(self) -> str:
        interpreter = self._where.python or sys.executable
        return os.pathsep.join([str(Path(interpreter).parent), os.environ.get("PATH", os.defpath)])

    def _script(self, named: Named) -> None:
        self._file(named, executed=False)

    def _file(self, named: Named, *, executed: bool) -> None:
        name = posixpath.normpath(posixpath.join(named.folder, named.name))
        if name.startswith("/"):
            self._absolute(Path(name), named)
        elif name.startswith("../"):
            if named.sure and (self._where.remote or self._job.trial.source is not None):
                self._refuse(f"{named.name} lies outside of the folder that travels", "let trial.source name a folder that holds it")  # fmt: skip
        elif self._job.trial.source is None and self._where.remote:
            self._beside(named, name)
        elif not self._code.has(name):
            self._missing(named, name)
        elif executed and not self._code.executable(name):
            starter = "python" if name.endswith(".py") else "bash"
            self._refuse(f"{named.name} may not be executed", f"chmod +x {name}, or write {starter} {name}")

    def _absolute(self, path: Path, named: Named) -> None:
        here = path.is_relative_to(self._code.base.absolute()) or path.is_relative_to(self._code.folder.absolute())
        if self._where.remote and here and path.exists():
            self._refuse(f"{named.name} is a path of this machine", "name it relative to trial.source")
        elif not self._where.remote and named.sure and not path.exists():
            self._refuse(f"there is no file {named.name}", near(path.name, _children(path.parent)))

    def _beside(self, named: Named, name: str) -> None:
        """Check a relative path of a remote job without a source, which the image must hold."""
        if self._code.has(name):
            self._refuse(f"{named.name} lies beside the job file, and without trial.source no code travels", f"{_WRITE_SOURCE}; if the image holds it, name its whole path there")  # fmt: skip
        elif meant := self._code.near(name):
            self._refuse(f"there is no {named.name} beside the job file", f"{meant} And {_WRITE_SOURCE}")
        elif named.sure:
            self._unknown(f"{named.name} is not here, and no code travels without trial.source")

    def _missing(self, named: Named, name: str) -> None:
        why, meant = self._code.why_missing(name), self._code.near(name)
        if named.sure or meant:
            self._refuse(
                f"there is no {named.name} in {self._code.folder}" if not why else f"{named.name}: {why}", meant
            )

    def _module(self, named: Named) -> None:
        if named.folder or "PYTHONPATH" in self._job.trial.environment:
            return
        self._of_module(named.name, _PATH, run=True)

    def _of_module(self, module: str, path: str, *, run: bool) -> None:
        _check_module(module, path, self._code, self._where, self._job, self._found, run=run)


def _function(job: "TuningJob", code: _Code, where: Where, found: _Findings) -> None:
    module, _, name = (job.trial.function or "").partition(":")
    file = _check_module(module, _FUNCTION, code, where, job, found, run=False)
    if file is None:
        return
    known = _defined_in(code.folder / file)
    if known is not None and name.partition(".")[0] not in known:
        found.refuse(_FUNCTION, f"there is no {name!r} in {file}", near(name, known))


def _check_module(
    module: str, path: str, code: _Code, where: Where, job: "TuningJob", found: _Findings, *, run: bool
) -> str | None:
    """Check that a module exists; return its file in the folder where trials start, None if it is not there."""
    file = code.file_of(module, run=run)
    top = module.partition(".")[0]
    if file is not None:
        if job.trial.source is None and where.remote:
            found.refuse(
                path, f"{file} lies beside the job file, and without trial.source no code travels", _WRITE_SOURCE
            )
            return None
        return file
    meant = near(module, code.modules)
    if code.has_folder(top) or code.file_of(top) is not None:
        if not (run and code.has_folder(module.replace(".", "/"))) or meant:
            found.refuse(path, f"there is no module {module} in {code.folder}", meant)
    elif where.python is None and _is_installed(top):
        return None
    elif meant or (not where.remote and where.python is None):
        found.refuse(path, f"there is no module {module}, neither in {code.folder} nor installed", meant)
    else:
        found.note(path, Support.UNCHECKED, f"there is no module {module} here; the image must hold it")
    return None


def _is_installed(top: str) -> bool:
    """Return whether a top-level module can be imported here, without executing it."""
    try:
        return top in sys.modules or find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _defined_in(path: Path) -> set[str] | None:
    """Return the names that a module defines; None if they are known only by running it."""
    try:
        if path.stat().st_size > _MODULE_SIZE:
            return None
        with _parsing:
            tree = ast.parse(path.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError, SystemError):
        return None
    names: set[str] = set()
    for node in ast.walk(tree):  # also names defined below an if or a try
        names |= set(_names_of(node))
    return None if {"*", "__getattr__"} & names else names


def _names_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("globals", "setattr", "exec")
    ):
        yield "*"
