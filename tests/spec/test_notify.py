"""What a job and a config may say of who is told: no secret, one way, and mistakes in words that lead on."""

from pathlib import Path
from typing import Any

import pytest

import cloudtune
from cloudtune.config import channels, load_profile
from cloudtune.errors import ConfigError, SpecError
from cloudtune.planning.plan import Support
from cloudtune.spec.job import TuningJob
from cloudtune.spec.notify import EVENTS

BASE: dict[str, Any] = {
    "name": "told",
    "trial": {"command": "python train.py"},
    "objective": {"metric": "loss", "goal": "minimize"},
    "space": {"x": {"type": "float", "low": 0, "high": 1}},
    "limits": {"trials": 2},
}


def job_of(notify: Any, **fields: Any) -> TuningJob:
    return TuningJob.from_data({**BASE, "notify": notify, **fields})


def test_one_channel_is_a_list_of_one_and_is_told_everything() -> None:
    job = job_of({"slack": "${SLACK}"})
    assert [(each.kind, each.events, each.variables) for each in job.notify] == [("slack", EVENTS, ("SLACK",))]
    assert TuningJob.from_yaml(job.to_yaml()) == job


def test_a_yaml_says_it_in_two_lines() -> None:
    text = TuningJob.from_data(BASE).to_yaml() + "notify:\n  email: {to: me@example.com, server: smtp.example.com}\n"
    (channel,) = TuningJob.from_yaml(text).notify
    assert channel.email is not None
    assert channel.email.to == ("me@example.com",)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"slack": "https://hooks.slack.com/services/T0/B0/abc"}, "Slack's webhook is a secret.*SLACK_WEBHOOK_URL"),
        ({"webhook": "https://u:pass@example.com/x"}, "is a secret"),
        ({"webhook": "https://example.com/x?key=abc"}, "is a secret"),
        ({"webhook": "https://discord.com/api/webhooks/123/kEwJ3aXt9TokenOfIts0wn"}, "is a secret"),
        ({"webhook": "ops.example.com"}, "is no address"),
        ({"webhook": "https://ops.example.com/x", "headers": {"Authorization": "Bearer abc"}}, "'Authorization' is a secret"),
        ({"email": {"to": "a@b.c", "server": "s", "user": "u", "password": "hunter2"}}, "the password is a secret"),
        ({"email": {"to": "a@b.c", "server": "s", "user": "u"}}, "a user or a password alone"),
        ({"slack": "${A}", "command": "x"}, "says slack and command; give one"),
        ({}, "says nothing; give one of webhook, slack, email and command"),
        ({"slak": "${A}"}, "slak"),
        ({"slack": "${A}", "events": ["failed"]}, "failure"),
        ({"slack": "${A}", "headers": {"X": "y"}}, "only a webhook takes"),
        ({"slack": "${A}", "events": []}, "events"),
    ],
)  # fmt: skip
def test_mistakes_and_secrets_are_refused(said: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        job_of(said)
    assert "hunter2" not in str(caught.value)
    assert "kEwJ3aXt9" not in str(caught.value)
    assert caught.value.problems[0].path.startswith("notify")


def test_an_address_without_a_secret_may_stand_in_a_job() -> None:
    said = {
        "webhook": "https://ops.example.com/hooks/tuning",
        "headers": {"Authorization": "Bearer ${OPS}", "X-Team": "ml"},
    }
    assert job_of(said).notify[0].variables == ("OPS",)


def test_every_provider_accounts_for_it() -> None:
    job = job_of({"slack": "${SLACK}"}, trial={"command": "python train.py", "image": "own:latest"})
    assert cloudtune.plan(job, "local").support("notify[0].slack") is Support.EXACT
    for cloud in ("aws", "gcp", "azure"):
        driven = cloudtune.plan(job.driven(), cloud)
        managed = cloudtune.plan(job.model_copy(update={"mode": "managed"}), cloud)
        assert driven.support("notify[0].slack") is Support.EXACT
        assert managed.support("notify[0].slack") is Support.WATCHED


def test_a_nearer_config_replaces_a_channel_of_its_name(tmp_path: Path) -> None:
    near = tmp_path / "jobs"
    near.mkdir()
    (tmp_path / "cloudtune.toml").write_text('[notify.team]\nslack = "${A}"\n[notify.me]\ncommand = "true"\n')
    (near / "cloudtune.toml").write_text('[notify.team]\nslack = "${B}"\nprofiles = ["aws"]\n')
    found = channels(tmp_path, near)
    assert {name: (each.kind, each.variables, each.profiles) for name, each in found.items()} == {
        "team": ("slack", ("B",), ("aws",)),
        "me": ("command", (), ()),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[notify]\nslack = "${A}"\n', r"channels are tables; write \[notify.NAME\]"),
        ('[notify.team]\nslak = "${A}"\n', r"\[notify.team\].*slak"),
        ('[notify.team]\nslack = "https://hooks.slack.com/services/T0/B0/abc"\n', "SLACK_WEBHOOK_URL"),
        ('[notfy.team]\nslack = "${A}"\n', "unknown key 'notfy'; did you mean 'notify'"),
    ],
)
def test_a_config_with_mistakes_is_refused_before_a_run(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "cloudtune.toml").write_text(text)
    with pytest.raises(ConfigError, match=f"(?s){words}"):
        load_profile("local", tmp_path)
