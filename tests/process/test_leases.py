"""Leases: no two trials have one device, whatever becomes of drivers and keepers, and nothing stays held."""

import os
from collections import defaultdict
from pathlib import Path

import pytest
from amounts import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudtune.process.devices import Device, Gpus
from cloudtune.process.leases import Lease, Resources, fitting, lease
from cloudtune.process.needs import Needs, thread_limits
from cloudtune.process.sharing import Sharing

GB = 1_000_000_000
MACHINE = Resources(
    (0, 1, 2, 3), 16 * GB, Gpus(tuple(Device(str(number), "T4", f"GPU-{number}") for number in range(3)), ("CUDA",))
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDTUNE_RUNTIME_DIR", str(tmp_path / "leases"))


def held(needs: Needs) -> list[Lease]:
    """Lease until there is no room."""
    leases: list[Lease] = []
    while (one := lease(MACHINE, needs)) is not None:
        leases.append(one)
    return leases


@pytest.mark.parametrize(
    ("needs", "fit"),
    [
        (Needs(gpus=1), 3), (Needs(gpus=2), 1), (Needs(gpus=0.5), 6), (Needs(gpus=1 / 3), 9), (Needs(gpus=0.4), 6),
        (Needs(gpus=7), 1), (Needs(cpus=1.5), 2), (Needs(cpus=0.25), 16), (Needs(memory=5 * GB), 3), (Needs(memory=99 * GB), 1),
        (Needs(cpus=1, gpus=0.5, memory=8 * GB), 2),
    ],
)  # fmt: skip
def test_so_many_fit_as_is_said_and_all_is_free_again_when_they_are_gone(needs: Needs, fit: int) -> None:
    for _ in range(2):
        leases = held(needs)
        assert len(leases) == fit == MACHINE.room(needs, 99)
        for one in leases:
            one.close()


def test_a_lease_says_its_devices() -> None:
    with_part = lease(MACHINE, Needs(cpus=1.5, gpus=2))
    assert with_part is not None
    assert with_part.cpus == (0, 1)
    assert with_part.environment == {"CUDA": "0,1"}
    with_part.close()


def test_parts_lie_together_so_that_whole_devices_stay_free() -> None:
    halves = [lease(MACHINE, Needs(gpus=0.5)) for _ in range(2)]
    assert [half and half.environment for half in halves] == [{"CUDA": "0"}] * 2
    whole = lease(MACHINE, Needs(gpus=2))
    assert whole is not None
    for one in (*halves, whole):
        assert one is not None
        one.close()


def test_gpus_that_are_called_otherwise_elsewhere_are_the_same() -> None:
    other = Resources((0,), GB, Gpus((Device("GPU-1", "T4", "GPU-1"),), ("CUDA",)))
    first = lease(other, Needs(gpus=1))
    assert first is not None
    assert [one.environment for one in held(Needs(gpus=1))] == [{"CUDA": "0"}, {"CUDA": "2"}]
    first.close()


def test_fitting_counts_parts_of_one_device_together() -> None:
    assert fitting(0.3, 2, 99) == 6
    assert fitting(1.5, 3, 99) == 2
    assert fitting(1, 0, 99) == 0
    assert fitting(None, 0, 99) == 99


def test_threads_are_bounded_unless_the_user_has_said_how_many() -> None:
    assert thread_limits(Needs(cpus=1.5), {"MKL_NUM_THREADS": "7"}) == {
        "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2",
    }  # fmt: skip
    assert thread_limits(Needs(cpus=0.5), {})["OMP_NUM_THREADS"] == "1"
    assert thread_limits(Needs(memory=1), {}) == {}


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("CLOUDTUNE_RUNTIME_DIR", str(tmp_path / "link"))
    with pytest.raises(PermissionError, match="not a folder of yours"):
        lease(MACHINE, Needs(cpus=1))


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["start", "start", "start", "end", "kill the driver", "kill the keeper", "kill the trial"]),
        st.integers(0, 2),
        st.integers(0, 7),
    ),
    max_size=40,
)


HOLDERS = {"end": ("keeper", "trial"), "kill the keeper": ("keeper",), "kill the trial": ("trial",)}
"""Who lets go of a trial's lease."""


class _Trial:
    """A trial as the system sees it: its processes and its keeper have the lease's file open."""

    def __init__(self, number: int, taken: Lease, amount: float) -> None:
        self.number, self.amount = number, amount
        self.devices = taken.environment["CUDA"].split(",")
        self.open = {"trial": os.dup(taken.descriptor), "keeper": os.dup(taken.descriptor)}
        taken.close()  # the driver's own

    def lose(self, holder: str) -> None:
        if holder in self.open:
            os.close(self.open.pop(holder))


class _World:
    """Three runs that share a machine; a killed driver is followed by another, and its trials go on."""

    def __init__(self, amounts: list[float]) -> None:
        self.amounts = amounts
        self.drivers = [Sharing(MACHINE, Needs(gpus=amount)) for amount in amounts]
        self.trials: list[_Trial] = []

    def start(self, who: int, number: int) -> None:
        self.drivers[who].reserve(number)
        taken = self.drivers[who].take(number)
        in_use = {device for trial in self.trials for device in trial.devices}
        if taken is None:
            assert len(MACHINE.gpus.devices) - len(in_use) < self.amounts[who], "there was room"
        else:
            self.trials.append(_Trial(number, taken, self.amounts[who]))

    def kill_driver(self, who: int) -> None:
        self.drivers[who].room()  # it was about to start one
        self.drivers[who].close()
        self.drivers[who] = Sharing(MACHINE, Needs(gpus=self.amounts[who]))

    def lose(self, which: int, *holders: str) -> None:
        for trial in self.trials[which : which + 1]:
            for holder in holders:
                trial.lose(holder)
        self.trials = [trial for trial in self.trials if trial.open]

    def shares(self) -> dict[str, float]:
        shares: defaultdict[str, float] = defaultdict(float)
        for trial in self.trials:
            for device in trial.devices:
                shares[device] += min(trial.amount, 1)
        return shares


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS, amounts=st.lists(st.sampled_from([0.25, 0.5, 1, 2]), min_size=3, max_size=3))
def test_no_device_is_held_twice_whatever_starts_ends_or_is_killed(
    acts: list[tuple[str, int, int]], amounts: list[float]
) -> None:
    world = _World(amounts)
    try:
        for number, (act, who, which) in enumerate(acts):
            if act == "start":
                world.start(who, number)
            elif act == "kill the driver":
                world.kill_driver(who)
            else:
                world.lose(which, *HOLDERS[act])
            assert all(share <= 1 for share in world.shares().values()), world.shares()
    finally:
        while world.trials:
            world.lose(0, *HOLDERS["end"])
    everything = held(Needs(gpus=1))
    assert len(everything) == 3
    for one in everything:
        one.close()
