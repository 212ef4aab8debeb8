"""Images on their way to the device: small sets live there as uint8, large ones stream to it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lars_sweep.data import ArraySource, Source
from lars_sweep.data.encoded import EncodedSource

_RESIDENT_BYTES = 2**31
"""A part in memory goes to the device whole up to this size (CIFAR-10 needs 0.15 GB)."""
_AHEAD = 3

_Task = TypeVar("_Task")
_Product = TypeVar("_Product")


class DeviceSource:
    """One part of a data set, its images served as uint8 tensors on the device."""

    def __init__(self, source: Source, device: torch.device) -> None:
        self._source = source
        self._device = device
        self._labels = torch.tensor(source.labels, device=device)
        self._images: Tensor | None = None
        if isinstance(source, ArraySource) and source.array.nbytes <= _RESIDENT_BYTES:
            # A copy, because torch wants memory that it could write to.
            self._images = torch.tensor(source.array, device=device)

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def resident(self) -> bool:
        """Whether all images lie on the device, so that fetching them early gains nothing."""
        return self._images is not None

    @property
    def image_bytes(self) -> int:
        """Of each resident image."""
        assert self._images is not None
        return self._images[0].numel()

    @property
    def decodes(self) -> bool:
        """Whether the images are files, which can be cut before they are decoded."""
        return isinstance(self._source, EncodedSource)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """((n, C, H, W) uint8, (n,) int64) on the device."""
        chosen = self._on_device(indices)
        labels = self._labels.index_select(0, chosen)
        if self._images is not None:
            return self._images.index_select(0, chosen), labels
        return self._on_device(self._source.images(indices)), labels

    def sizes(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, 2) height and width of files in pixels."""
        assert isinstance(self._source, EncodedSource)
        return self._source.sizes[indices]

    def crops(
        self, indices: NDArray[np.int64], boxes: NDArray[np.float64], size: int
    ) -> tuple[Tensor, Tensor]:
        """As `batch`, of parts of files: (n, 4) left, top, right, bottom, scaled to size × size."""
        assert isinstance(self._source, EncodedSource)
        labels = self._labels.index_select(0, self._on_device(indices))
        return self._on_device(self._source.crops(indices, boxes, size)), labels

    def _on_device(self, array: NDArray[np.uint8] | NDArray[np.int64]) -> Tensor:
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor


def ahead(tasks: Iterable[_Task], work: Callable[[_Task], _Product]) -> Iterator[_Product]:
    """``map(work, tasks)``, done in a thread of its own up to a few tasks ahead of the consumer.

    An exception of ``work`` is raised where its product would have come. Closing the iterator ends
    the thread.
    """
    products: queue.Queue[tuple[_Product | None, BaseException | None]] = queue.Queue(_AHEAD)
    closed = threading.Event()

    def put(item: tuple[_Product | None, BaseException | None]) -> None:
        while not closed.is_set():
            try:
                return products.put(item, timeout=0.1)
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for task in tasks:
                if closed.is_set():
                    return
                put((work(task), None))
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=produce, name="lars-sweep data", daemon=True)
    thread.start()
    try:
        while True:
            product, error = products.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield product  # type: ignore[misc]  # None only beside an error
    finally:
        closed.set()
        thread.join()
