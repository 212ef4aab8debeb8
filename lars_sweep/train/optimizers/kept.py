"""Weight norms that a step leaves for the next one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lars_sweep.train.optimizers import host


class KeptNorms:
    """‖w‖ as the last step wrote w, for as long as nobody else writes it.

    A step is bound by memory: SGD moves 20 bytes per parameter, LARS 28 where it reads w and g for
    their norms beforehand, 24 where ‖w‖ is at hand. A write in between shows in the tensor's
    version or address. One through ``.data`` changes neither, but most likely the last element;
    after one that changes only others, and for weights that share memory without autograd's
    knowledge, ‖w‖ of the next step is that of before.
    """

    def __init__(self) -> None:
        self._norms: dict[Tensor, Tensor] = {}
        self._places: dict[Tensor, tuple[int, int]] = {}
        self._lasts: dict[Tensor, float] = {}

    def keep(self, params: Sequence[Tensor], norms_L: Tensor) -> None:
        """Remember ‖w‖ of ``params``, (L,), as they are now: what `host.takes`."""
        self._norms.update(zip(params, norms_L.unbind(), strict=True))
        self._places.update(zip(params, map(_place, params), strict=True))
        self._lasts.update(zip(params, host.last_elements(params), strict=True))

    def of(self, params: Sequence[Tensor]) -> Tensor | None:
        """‖w‖, (L,), or None if it has to be taken anew."""
        # In this order: another place may be no float32 memory of the host.
        if any(self._places.get(p) != _place(p) for p in params):
            return None
        if [self._lasts[p] for p in params] != host.last_elements(params):
            return None
        return torch.stack([self._norms[p] for p in params])


def _place(param: Tensor) -> tuple[int, int]:
    return param._version, param.data_ptr()
