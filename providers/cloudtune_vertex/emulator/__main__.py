"""The emulator as a program: ``python -m cloudtune_vertex.emulator --help``."""

import sys

from cloudtune.cli.app import run_app

if __name__ == "__main__":
    sys.exit(run_app(["emulate", "vertex", *sys.argv[1:]]))
