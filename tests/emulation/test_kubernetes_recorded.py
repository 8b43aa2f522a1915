"""Kubernetes' emulator answers, member by member, what a real kube-apiserver with its controllers answered; and so it does today, where one is given."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes_recording import RECORDING, STEPS, Session

RECORDED = json.loads(RECORDING.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, Any]]:
    """What the emulator answers to the recorded requests."""
    pytest.importorskip("kubernetes")
    from cloudtune_kubernetes.emulator import KubernetesEmulator

    with KubernetesEmulator(backoff=0.02, grace=0.2) as emulator:
        yield Session(emulator.url, emulator.token, str(emulator.certificate)).run(STEPS)
        assert emulator.cluster.loop.failures == []


@pytest.mark.parametrize("name", RECORDED)
def test_the_emulator_answers_as_the_real_server_did(name: str, answers: dict[str, Any]) -> None:
    assert answers[name] == RECORDED[name]


def test_every_step_is_recorded(answers: dict[str, Any]) -> None:
    assert sorted(answers) == sorted(RECORDED)


@pytest.mark.complete
@pytest.mark.skipif("KUBE_APISERVER" not in os.environ, reason="no real API server is given")
def test_the_real_server_answers_as_it_did() -> None:
    session = Session(os.environ["KUBE_APISERVER"], os.environ["KUBE_TOKEN"], verify=False)
    assert session.run(STEPS) == RECORDED
