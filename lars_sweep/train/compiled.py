"""Whether a compiled network has the gradient of the eager one; a compiler's fault says nothing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lars_sweep.errors import TrainError

_TOLERANCE = 0.2
"""Of a tensor's gradient, relative, in norm. bfloat16 moves a deep network's by a few percent."""
_COUNTS = 1e-2
"""Share of the largest gradient norm below which a tensor's is taken for rounding: that of a bias
before BatchNorm is 0."""


def refuse_other_gradient(
    eager: Mapping[str, Tensor], compiled: Mapping[str, Tensor], samples: int
) -> None:
    """Compare the gradients of the same samples, by name of the parameter.

    torch 2.13 on the CPU, for one, loses those of all convolutions where a max-pooling window is
    larger than its input and a linear layer follows (AlexNet on 8×8 images), if the layout is
    torch's own; trials are channels_last.

    Raises:
        TrainError: a tensor's gradients differ by more than rounding; names the worst.
    """
    sizes_L = torch.stack([g.norm() for g in eager.values()])
    if not sizes_L.isfinite().all():
        return  # the trial diverges, which is judged elsewhere
    errors_L = torch.stack([(eager[name] - compiled[name]).norm() for name in eager])
    # Not `>`: a gradient that is no number must be found, too.
    right_L = (errors_L <= _TOLERANCE * sizes_L) | (sizes_L < _COUNTS * sizes_L.max())
    if right_L.all():
        return
    worst = int((errors_L / sizes_L).masked_fill(right_L, 0).nan_to_num(torch.inf).argmax())
    raise TrainError(
        f"compiled training: the gradient of {list(eager)[worst]} over {samples} samples differs "
        f"from that of the network as it stands by {float(errors_L[worst] / sizes_L[worst]):.0%}, "
        f"in {int((~right_L).sum())} of {len(eager)} tensors: torch {torch.__version__} compiles "
        "this network wrongly. Train it without --compiled"
    )
