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
    what changes only others makes ‖w‖ that of the step before, once.
    """

    def __init__(self) -> None:
        self._norms: dict[Tensor, Tensor] = {}
        self._marks: dict[Tensor, tuple[int, int, float]] = {}

    def keep(self, params: Sequence[Tensor], norms_L: Tensor) -> None:
        """Remember ‖w‖ of ``params``, (L,), as they are now."""
        self._norms.update(zip(params, norms_L.unbind(), strict=True))
        self._marks.update(zip(params, _marks(params), strict=True))

    def of(self, params: Sequence[Tensor]) -> Tensor | None:
        """‖w‖, (L,), or None if it has to be taken anew."""
        if not all(p in self._marks for p in params):
            return None
        if [self._marks[p] for p in params] != _marks(params):
            return None
        return torch.stack([self._norms[p] for p in params])


def _marks(params: Sequence[Tensor]) -> list[tuple[int, int, float]]:
    versions, addresses = [p._version for p in params], [p.data_ptr() for p in params]
    return list(zip(versions, addresses, host.last_elements(params), strict=True))
