"""Which GPUs a machine has for trials: by their makers' programs, by the user's variables, and by what is said of them."""

import os
from pathlib import Path

import pytest
from support.gpus import make_up, t4s

from cloudtune.process.devices import Device, Gpus, gpus_here, is_of_kind, memory_here

MIG = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5b)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4)
  MIG 1g.5gb      Device  1: (UUID: MIG-4f1e)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-77aa)""".splitlines()

ROCM = '{"card1": {"Card Series": "AMD Instinct MI210", "Unique ID": "0x2b"}, "card0": {"Card Series": "AMD Instinct MI210", "Unique ID": "N/A"}, "system": {}}'


def ids(gpus: Gpus) -> list[str]:
    return [device.id for device in gpus.devices]


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_up(tmp_path, monkeypatch, *t4s(2))


@pytest.mark.usefixtures("two")
def test_gpus_are_found_with_their_names_and_shown_in_the_order_of_their_numbers() -> None:
    found = gpus_here()
    assert found.devices[1] == Device("1", "Tesla T4", "GPU-00000001-aaaa")
    assert found.environment(found.devices[1:]) == {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("1", ["1"]), ("1,0", ["1", "0"]), ("GPU-00000001", ["GPU-00000001"]), ("", []), ("-1", []), ("NoDevFiles", []),
        ("0,-1,1", ["0"]), ("0,7,1", ["0"]),
    ],
)  # fmt: skip
def test_what_the_shell_hides_stays_hidden(shown: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert ids(gpus_here()) == expected
    assert not gpus_here().order  # the shell's own order is what its numbers mean
    assert {device.key for device in gpus_here().devices} <= {"GPU-00000000-aaaa", "GPU-00000001-aaaa"}


@pytest.mark.usefixtures("two")
def test_a_profile_says_how_many_or_which() -> None:
    assert ids(gpus_here(1)) == ["0"]
    assert ids(gpus_here(0)) == []
    assert ids(gpus_here(4)) == ["0", "1"]
    assert [device.key for device in gpus_here(["1"]).devices] == ["GPU-00000001-aaaa"]
    with pytest.raises(ValueError, match="no GPU '2' here that may be used; there are: 0, 1"):
        gpus_here(["2"])


def test_the_parts_of_a_split_gpu_are_devices_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_up(tmp_path, monkeypatch, *MIG)
    assert ids(gpus_here()) == ["MIG-c6d4", "MIG-4f1e", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-4f")
    (device,) = gpus_here().devices
    assert (device.id, device.key, device.kind) == ("MIG-4f", "GPU-5d5b/MIG-4f1e", "MIG 1g.5gb")


def test_amds_gpus_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_up(tmp_path, monkeypatch, "WARNING: asleep", ROCM, program="rocm-smi")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:/usr/bin:/bin")
    found = gpus_here()
    assert found.devices == (Device("0", "AMD Instinct MI210", "0"), Device("1", "AMD Instinct MI210", "0x2b"))
    assert found.environment(found.devices) == {"HIP_VISIBLE_DEVICES": "0,1"}
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "1")
    assert gpus_here().environment(gpus_here().devices) == {"ROCR_VISIBLE_DEVICES": "1"}
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0")  # of those that ROCr shows
    (device,) = gpus_here().devices
    assert (device.id, device.key) == ("0", "0x2b")


def test_where_no_program_finds_them_what_is_said_counts(tmp_path: Path) -> None:
    alone = {"PATH": str(tmp_path)}
    assert gpus_here(None, alone).devices == ()
    assert ids(gpus_here(3, alone)) == ["0", "1", "2"]
    assert gpus_here(["2"], alone).environment(gpus_here(["2"], alone).devices) == {
        "CUDA_VISIBLE_DEVICES": "2", "HIP_VISIBLE_DEVICES": "2",
    }  # fmt: skip
    assert ids(gpus_here(1, {**alone, "CUDA_VISIBLE_DEVICES": "4,5"})) == ["4"]


@pytest.mark.parametrize(("said", "expected"), [("1000000\n", 1_000_000), ("max\n", None), (None, None)])
def test_a_container_has_the_memory_that_it_may_use(
    said: str | None, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if said is not None:
        (tmp_path / "memory.max").write_text(said)
    monkeypatch.setattr("cloudtune.process.devices._LIMITS", (str(tmp_path / "memory.max"),))
    assert memory_here() == (expected or whole)


@pytest.mark.parametrize(
    ("kind", "name", "same"),
    [
        ("T4", "Tesla T4", True), ("NVIDIA_TESLA_T4", "Tesla T4", True), ("nvidia.com/gpu", "Tesla T4", True),
        ("A100", "NVIDIA A100-SXM4-40GB", True), ("A100-80GB", "NVIDIA A100 80GB PCIe", True), ("GPU", "Tesla T4", True),
        ("A100-80GB", "NVIDIA A100-SXM4-40GB", False), ("A10", "NVIDIA A100-SXM4-40GB", False), ("T4", "", True),
        ("MI300X", "AMD Instinct MI300X", True), ("TPU-v5e", "Tesla T4", False),
    ],
)  # fmt: skip
def test_kinds_are_known_in_every_services_words(kind: str, name: str, same: bool) -> None:
    assert is_of_kind(Device("0", name, "k"), kind) is same
