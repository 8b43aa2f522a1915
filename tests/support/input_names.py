"""Inputs of a job with names of all kinds, and a script that finds each of them."""

from pathlib import Path

_NAMES = ("größe", "a b", "x.y-z", "日本語", "Train", "1", "-dash", "it's", "l" * 70)

SCRIPT = f"""
import os, pathlib
import cloudtune.trial as trial

for index, name in enumerate({_NAMES!r}):
    place = pathlib.Path(trial.data(name))
    said = (place if index % 2 else place / "rows.txt").read_text()
    assert said == str(index), (name, said)
    assert os.environ[trial.data_variable(name)] == str(place), name
trial.report(score=1)
"""


def written_inputs(folder: Path) -> dict[str, str]:
    """Write a file or a folder for each name, and return the job's data, relative to the folder."""
    data = {}
    for index, name in enumerate(_NAMES):
        place = folder / f"input-{index}"
        if index % 2:
            place = place.with_suffix(".txt")
            place.write_text(str(index))
        else:
            place.mkdir()
            (place / "rows.txt").write_text(str(index))
        data[name] = place.name
    return data
