"""Checkpoints of one trial: whole or not at all, and never another trial's.

A file is torch's zip format followed by a trailer: sha256 of what stands before it, its length,
and a magic word. It is written beside its place, forced to disk, then renamed.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import struct
from pathlib import Path
from typing import Any

import torch

from lars_sweep.errors import TrainError

_log = logging.getLogger(__name__)
_TRAILER = struct.Struct("<32sQ8s")
_MAGIC = b"LSWEEPCK"
_KEPT = 2


def save_checkpoint(directory: Path, step: int, content: dict[str, Any]) -> Path:
    """Publish a checkpoint of ``step`` and remove all but the last two.

    Args:
        directory: an existing directory of this trial alone.
        step: optimizer steps done.
        content: tensors and plain values only, as ``torch.load(weights_only=True)`` wants them.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getbuffer()
    path = directory / f"step-{step:09d}.pt"
    temporary = directory / f".{path.name}.{os.getpid()}.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(payload)
            file.write(_TRAILER.pack(hashlib.sha256(payload).digest(), len(payload), _MAGIC))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(directory)
    for old in checkpoints(directory)[_KEPT:]:
        old.unlink(missing_ok=True)
    return path


def checkpoints(directory: Path) -> list[Path]:
    """Paths of the checkpoints there, newest first."""
    return sorted(directory.glob("step-*.pt"), reverse=True)


def newest_checkpoint(directory: Path, trial_id: str) -> bytes | None:
    """Serialised content of the newest whole checkpoint; None if there is none.

    A truncated or corrupted file is passed over with a warning that names it.

    Raises:
        TrainError: a whole checkpoint belongs to another trial.
    """
    for path in checkpoints(directory):
        try:
            payload = _verified(path)
        except (OSError, ValueError) as error:
            _log.warning("checkpoint %s is unusable (%s); trying the one before", path, error)
            continue
        found = parse_checkpoint(payload, torch.device("cpu"))["trial_id"]
        if found != trial_id:
            raise TrainError(
                f"checkpoint {path} belongs to trial {found}, not to {trial_id}: "
                "a checkpoint directory serves one trial; remove the file or name another directory"
            )
        return payload
    return None


def parse_checkpoint(payload: bytes, device: torch.device) -> dict[str, Any]:
    """The content that `save_checkpoint` got, its tensors on ``device``."""
    content: dict[str, Any] = torch.load(
        io.BytesIO(payload), map_location=device, weights_only=True
    )
    return content


def _verified(path: Path) -> bytes:
    data = path.read_bytes()
    if len(data) < _TRAILER.size:
        raise ValueError(f"only {len(data)} bytes")
    digest, length, magic = _TRAILER.unpack(data[-_TRAILER.size :])
    payload = data[: -_TRAILER.size]
    if magic != _MAGIC or length != len(payload):
        raise ValueError("truncated, or not a checkpoint")
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError("its content does not match its checksum")
    return payload


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
