"""CUDA devices are counted without torch: from the driver's list and what the user allows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lars_sweep.cluster import devices
from lars_sweep.cluster.devices import local_gpus


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A driver with two devices, one of them cut in two, and a torch that can use them."""
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\n"
        'test "$1" = --list-gpus || exit 1\n'
        "echo 'GPU 0: NVIDIA A (UUID: GPU-1)'\n"
        "echo '  MIG 1g.10gb Device 0: (UUID: MIG-1)'\n"
        "echo 'GPU 1: NVIDIA A (UUID: GPU-2)'\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(devices, "version", lambda name: "2.13.0")
    devices._listed.cache_clear()
    yield script
    devices._listed.cache_clear()


@pytest.mark.parametrize(
    ("given", "gpus"),
    [
        (None, ("0", "1")),
        ("1", ("1",)),
        ("GPU-2, 0", ("GPU-2", "0")),
        ("", ()),
        ("-1", ()),
        ("1,-1,0", ("1",)),
    ],
)
def test_devices_are_the_drivers_or_those_allowed(
    driver: Path, given: str | None, gpus: tuple[str, ...]
) -> None:
    assert local_gpus({} if given is None else {"CUDA_VISIBLE_DEVICES": given}) == gpus


def test_a_torch_for_cpus_has_none(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "version", lambda name: "2.13.0+cpu")
    assert local_gpus({}) == local_gpus({"CUDA_VISIBLE_DEVICES": "0"}) == ()


def test_without_a_driver_there_are_none(driver: Path) -> None:
    driver.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert local_gpus({}) == local_gpus({"CUDA_VISIBLE_DEVICES": "0"}) == ()
    driver.unlink()
    devices._listed.cache_clear()
    assert local_gpus({}) == ()
