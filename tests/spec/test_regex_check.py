"""Regexes of metrics, tried before a job is paid for."""

import re
import sys
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune import api
from cloudtune.errors import UnsupportedError
from cloudtune.planning.plan import Support
from cloudtune.spec.job import TuningJob
from cloudtune.spec.regex_check import findings

PROVIDERS = ("local", "ray", "slurm", "sagemaker", "vertex", "azureml")
MANY = 2000 if "--complete" in sys.argv else 60


def job(regex: str | None = None, **metrics: str) -> TuningJob:
    return TuningJob.from_data(
        {
            "name": "j",
            "trial": {"source": ".", "command": "python train.py", "image": "an-image"},
            "objective": {"metric": "loss", "goal": "minimize", "regex": regex},
            "metrics": metrics,
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "strategy": {"type": "random"},
            "limits": {"trials": 1},
        }
    )


@pytest.mark.parametrize(
    "regex",
    [
        r"loss=(\S+)",
        r"loss=(.*)",
        r"loss=(.+?)$",
        r"loss[:=]\s*([-+0-9.,eE]+)",
        r"#quality: host=\S+, <loss>=(\S+)",
    ],
)
def test_a_regex_that_reads_whole_numbers_needs_no_word(regex: str) -> None:
    assert findings(regex) == ()


@pytest.mark.parametrize(
    ("regex", "said"),
    [
        (r"loss=([0-9.]+)", "it takes 1.5 of 1.5e-05, 1 of 1,234.5"),
        (r"loss=(\d+)", "it takes 0 of 0.5, 1 of 1.5e-05, 1 of 1,234.5"),
        (r"loss=.*?([0-9.e-]+)x?", "1 of 1,234.5"),
        (r"loss=-?([0-9.eE-]+)", "1 of 1,234.5"),
        (r"(?<=loss=)(\d+\.\d)", "it takes 1.5 of 1.5e-05"),
        (r"'loss': (.*?),", "it takes 1 of 1,234.5"),
        (r"loss=(\d*)", "nothing of -3"),
        (r"(?i)loss\W+(?P<n>\S+)", "it takes 3 of -3"),
        (r"(train|val) loss=([0-9.]+)", "its first group is taken for the number"),
    ],
)
def test_a_regex_that_cuts_numbers_off_is_told(regex: str, said: str) -> None:
    (finding,) = findings(regex)
    assert not finding.fatal
    assert said in finding.message


@pytest.mark.parametrize("regex", [r"F1=(.*?)", r"loss=(\d*?)", r"loss: ()", r"loss=(.*?)\s*"])
def test_a_group_that_takes_nothing_is_refused(regex: str) -> None:
    (finding,) = findings(regex)
    assert finding.fatal
    assert finding.message.startswith("its group takes nothing, as from ")


@pytest.mark.parametrize(
    "regex", [r"loss=((?:a+)+)$", r"(a|aa)+$", r"(.*)*x", r"(\w+\s?)*$", r"(.+)(.+)\1+x", r"(?:\s*)*loss=(\S+)x"]
)
def test_a_regex_that_explodes_is_told(regex: str) -> None:
    (finding,) = findings(regex)
    assert not finding.fatal
    assert "its search takes more than" in finding.message


@settings(max_examples=MANY)
@given(regex=st.text("ab()[]{}?*+|\\.^$dws0123,=:-<P>!", max_size=14))
def test_no_regex_breaks_the_check(regex: str) -> None:
    try:
        with warnings.catch_warnings(action="ignore"):
            groups = re.compile(regex).groups
    except (re.error, OverflowError):
        return
    if groups:
        assert all(finding.message for finding in findings(regex))


@pytest.mark.parametrize("on", PROVIDERS)
def test_every_plan_says_so(on: str) -> None:
    plan = api.plan(job(r"loss=([0-9.]+)", other=r"other=(\d+)"), on=on)
    said = {note.path: note for note in plan.notes if "it takes" in note.message}
    assert said.keys() == {"objective[0].regex", "metrics.other"}
    assert plan.support("objective[0].regex") is Support.APPROXIMATE
    with pytest.raises(UnsupportedError, match="its group takes nothing"):
        api.plan(job("F1=(.*?)"), on=on).refuse()
