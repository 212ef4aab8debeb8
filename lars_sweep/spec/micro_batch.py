"""How many samples a trainer's first forward passes hold, also for those who preview them."""

from __future__ import annotations

CUDA_SAMPLES = 8192
CPU_SAMPLES = 1024
CPU_PIXELS = 2**20
"""1,024 images of 32 × 32, 16 of 256 × 256."""


def first_micro_batch(*, cuda: bool, image_size: int) -> int:
    """Most samples of a forward pass that a trainer begins with; halved if memory runs out.

    Args:
        cuda: on a CUDA device; else on the CPU.
        image_size: side of the square images, pixels.
    """
    if cuda:
        return CUDA_SAMPLES
    # No error tells that a host is out of memory: stay far below, in number of pixels.
    return max(1, min(CPU_SAMPLES, CPU_PIXELS // image_size**2))
