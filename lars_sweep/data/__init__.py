"""Data sets: images as uint8, a fixed validation part, an order that is a function of the seed."""

from __future__ import annotations

from lars_sweep.data.dataset import ArraySource, DataInfo, Dataset, Source
from lars_sweep.data.registry import describe_dataset, load_dataset
from lars_sweep.data.split import validation_split
from lars_sweep.data.stream import epoch_order, random_key, splitmix64

__all__ = [
    "ArraySource",
    "DataInfo",
    "Dataset",
    "Source",
    "describe_dataset",
    "epoch_order",
    "load_dataset",
    "random_key",
    "splitmix64",
    "validation_split",
]
