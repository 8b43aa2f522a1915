"""Whether the built site works without a server: ``python docs/generate/offline_check.py build/site`` opens it in Chromium.

A page is opened by its path, and the search, which browsers keep from starting its worker there, has to find something.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from pictures import browser, sandboxed

_FOUND = re.compile(r'md-search-result__meta">\s*(\d+) matching')


def documents_found(program: str, site: Path, word: str) -> int:
    """Return how many pages the site's search finds for a word, with the site opened from its folder.

    Raises:
        subprocess.CalledProcessError: the browser failed.
    """
    with tempfile.TemporaryDirectory() as profile:
        command = [program, "--headless", "--disable-gpu", f"--user-data-dir={profile}", "--virtual-time-budget=20000"]
        url = f"{(site / 'index.html').resolve().as_uri()}?q={word}"
        page = subprocess.run(
            [*command, *sandboxed(), "--dump-dom", url], check=True, capture_output=True, text=True, timeout=120
        ).stdout
    found = _FOUND.search(page)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    chromium = browser()
    if chromium is None:
        sys.exit("no Chromium is installed")
    if not documents_found(chromium, Path(sys.argv[1]), "checkpoint"):
        sys.exit("the search of the site finds nothing, opened without a server")
