"""The files and variables of a trial of cloudtune's own driver."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudtune.space.parameters import Scalar


def as_trial(folder: Path, parameters: Mapping[str, Scalar], **more: Any) -> dict[str, str]:
    """The variables of a trial of cloudtune's own driver."""
    path = folder / "parameters.json"
    path.write_text(json.dumps({"parameters": parameters, **more}))
    return {
        "CLOUDTUNE_PARAMETERS": str(path),
        "CLOUDTUNE_REPORTS": str(folder / "reports.jsonl"),
        "CLOUDTUNE_TRIAL": "7",
        "CLOUDTUNE_ATTEMPT": "2",
        "CLOUDTUNE_RUN": "a-run",
        "CLOUDTUNE_CHECKPOINT_DIR": str(folder / "kept" / "here"),
        "CLOUDTUNE_OUTPUT_DIR": str(folder / "out"),
        "CLOUDTUNE_DATA_TRAIN_SET_1": "/data/train",
    }


def reported(folder: Path) -> list[dict[str, Any]]:
    """The lines of a trial's reports."""
    return [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]
