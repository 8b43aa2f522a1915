"""Imports that wait for the first test of their file: packages that take seconds to load do not load while tests are collected."""

import ast
from pathlib import Path
from types import ModuleType

import pytest

LATE = True
"""Is the condition of the blocks that `run_late_blocks` runs: ``if LATE:`` at the top of a test file, with its slow imports.

It is false while pytest collects, and true in a worker of a run that imports a test file for an object in it.
"""

COLLECTED = pytest.StashKey[frozenset[str]]()
"""Of pytest's configuration: the modules that were loaded when all tests had been collected."""


def run_late_blocks(module: ModuleType) -> None:
    """Run the module's blocks ``if LATE:`` in its own name space.

    Every worker collects every test, but runs few of them. With these imports at the top of the files, each worker
    would load the SDKs of all clouds before its first test.
    """
    if not hasattr(module, "LATE") or module.__file__ is None:
        return
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "LATE"]
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    body = [*future, *(statement for block in blocks for statement in block.body)]
    exec(compile(ast.Module(body, []), module.__file__, "exec", dont_inherit=True), vars(module))
