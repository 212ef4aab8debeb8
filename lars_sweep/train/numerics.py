"""The precision that a trial asks for, exactly or not at all (PROTOCOL.md 5)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from lars_sweep.errors import TrainError
from lars_sweep.spec.trial import TrialSpec


class Numerics:
    """Data type, autocast and matrix-product mode of one trial on one device."""

    def __init__(self, trial: TrialSpec, device: torch.device, dtype: torch.dtype) -> None:
        """Check the hardware and set torch's global switches.

        Args:
            trial: its ``precision`` counts.
            device: where it runs.
            dtype: of parameters and images; float64 for verification.

        Raises:
            TrainError: the device lacks the precision; another is never taken instead.
        """
        if not supported(trial.precision, device):
            raise TrainError(
                f"precision {trial.precision!r} is not available on {describe(device)}; "
                f"allowed here: {', '.join(available(device))}. "
                "Run the trial on other hardware or ask for another precision in the sweep file"
            )
        self.device = device
        self.dtype = dtype
        self._bf16 = trial.precision == "bf16"
        allow_tf32 = trial.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = allow_tf32
        torch.backends.cudnn.allow_tf32 = allow_tf32

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass; parameters, losses and norms stay in ``dtype``."""
        if not self._bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def supported(precision: str, device: torch.device) -> bool:
    """Whether the device computes in this precision natively."""
    if precision == "fp32":
        return True
    if device.type == "cuda":
        # Both came with compute capability 8.0 (Ampere).
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if precision == "bf16" and device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


def available(device: torch.device) -> list[str]:
    """All precisions that the device supports."""
    return [precision for precision in ("fp32", "tf32", "bf16") if supported(precision, device)]


def describe(device: torch.device) -> str:
    """The device's product name, as in ``NVIDIA H100 80GB HBM3`` or ``cpu``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
