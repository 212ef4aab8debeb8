"""A stated accuracy surface, for planning and for simulated sweeps; nothing is measured here.

Its curves over steps and its best learning rates are fitted to the paper's tables (single runs,
PROTOCOL.md 18) when it is asked for; what the tables do not say is stated below.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from lars_sweep.fit.engine import Data, fit
from lars_sweep.fit.forms import Exp
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.log_forms import LogSaturating
from lars_sweep.shipped import shipped

Network = Literal["alexnet", "alexnet_bn", "resnet50", "googlenet"]
Rival = Literal["lars", "sgd"]

SIGMA = 0.25
"""Standard deviation of one seed, points, where none is known (PROTOCOL.md 18)."""
IMAGENET = 1_281_167
OTHER_TOP = 95.0
"""Accuracy that any other data set allows, percent; differences stay those of the tables."""
CLASSES = {"imagenet": 1000, "cifar100": 100}
"""Number of classes; 10 where it is not listed."""
UNKNOWN_RIVAL = 1 / 5000
"""LR of the best AdamW or LAMB over that of LARS: no table knows them, the rest is LARS's."""
TABLES = {1: "sgd", 3: "lars", 4: "lars", 5: "lars", 6: "lars"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumedSurface:
    """What is assumed to be true; the defaults are of the order of the paper's tables.

    ``accuracy = A(S) - kL max(0, xL - x)² - kR max(0, x - xR)²`` in x = log2 LR, not below chance,
    with ``A(S) = top - climb exp(-S/steps_scale)``, a plateau [xL, xR] of ``flat`` octaves centered
    on ``LR = lr_max / (1 + saturation/B)``, and divergence with ``P = 1/(1 + exp(-d/cliff_width))``
    at d octaves above the cliff, which lies ``cliff`` octaves above the plateau.
    """

    top: float = 70.0
    climb: float = 20.0
    steps_scale: float = 2000.0
    chance: float = 0.1
    lr_max: float = 20.0
    saturation: float = 4096.0
    flat: float = 0.8
    fall_left: float = 1.5
    fall_right: float = 3.0
    cliff: float = 1.0
    cliff_width: float = 0.05

    def best_lr(self, batch: float) -> float:
        """Center of the plateau."""
        return self.lr_max / (1.0 + self.saturation / batch)

    def plateau(self, steps: float) -> float:
        """Accuracy of a well-chosen LR, percent."""
        return self.top - self.climb * math.exp(-steps / self.steps_scale)

    def accuracy(self, lr: FloatArray, batch: float, steps: float) -> FloatArray:
        """Expected accuracy of runs that do not diverge, percent."""
        x = np.log2(lr / self.best_lr(batch))
        left = np.maximum(0.0, -0.5 * self.flat - x)
        right = np.maximum(0.0, x - 0.5 * self.flat)
        fall = self.fall_left * left**2 + self.fall_right * right**2
        return np.asarray(np.maximum(self.chance, self.plateau(steps) - fall))

    def divergence(self, lr: FloatArray, batch: float) -> FloatArray:
        """Probability that a run diverges."""
        beyond = np.log2(lr / self.best_lr(batch)) - 0.5 * self.flat - self.cliff
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-beyond / self.cliff_width, -50.0, 50.0))))

    def centered_at(self, lr: float, batch: float) -> AssumedSurface:
        """The same with its best LR at a batch moved to ``lr``."""
        return dataclasses.replace(self, lr_max=self.lr_max * lr / self.best_lr(batch))


# The plateau of LARS is Figure 3's [13, 22] at batch 16K, 0.76 octave; SGD's is Table 1b's
# [0.167, 0.215] at 4K, 0.36. The rest is of the order of the tables' few LRs.
_SHAPES: dict[Rival, dict[str, float]] = {
    "lars": {"flat": 0.76, "fall_left": 1.5, "fall_right": 3.0, "cliff": 1.0, "cliff_width": 0.15},
    "sgd": {"flat": 0.36, "fall_left": 2.0, "fall_right": 3.0, "cliff": 0.6, "cliff_width": 0.1},
}


def assumed_surface(
    model: str, optimizer: str, *, dataset: str, samples: int, augmentation: str = "minimal"
) -> AssumedSurface:
    """The surface of a network and an optimizer on some data.

    A network that no table has is taken for its nearest kin, AlexNet-BN if there is none. On
    smaller data the scales of steps and batch shrink by ``(samples/1,281,167)**0.75``: a tiny set
    is learned in few steps, and its batches count as large early. None of this is a measurement.

    Args:
        model: its name, or ``package.module:function``.
        optimizer: lars, sgd, or one that no table has.
        dataset: decides the number of classes, and the top if it is not ImageNet.
        samples: N.
        augmentation: Table 4 has ResNet-50 with and without the extended one.
    """
    known: Rival = "sgd" if optimizer == "sgd" else "lars"
    found = _published(nearest_network(model), known, augmentation == "extended")
    share = (samples / IMAGENET) ** 0.75
    return dataclasses.replace(
        found,
        top=found.top if dataset == "imagenet" else OTHER_TOP + _behind_lars(found, model, known),
        chance=100.0 / CLASSES.get(dataset, 10),
        steps_scale=found.steps_scale * share,
        saturation=found.saturation * share,
        lr_max=found.lr_max * (1.0 if optimizer in ("lars", "sgd") else UNKNOWN_RIVAL),
    )


def nearest_network(model: str) -> Network:
    """The network of the tables that stands for a model, by its name."""
    if "googlenet" in model:
        return "googlenet"
    if "resnet" in model:
        return "resnet50"
    return "alexnet" if "alexnet" in model and "bn" not in model else "alexnet_bn"


def _behind_lars(found: AssumedSurface, model: str, rival: Rival) -> float:
    """Top of a rival minus that of LARS on the same network, points."""
    if rival == "lars":
        return 0.0
    return found.top - _published(nearest_network(model), "lars", False).top


@cache
def _published(network: Network, rival: Rival, extended: bool) -> AssumedSurface:
    """`Exp` through the best accuracies over steps, `LogSaturating` through their LRs."""
    if rival == "sgd" and network in ("resnet50", "googlenet"):
        # Of these the tables have no SGD at large batch: AlexNet-BN's fall from their own top.
        lars = _published(network, "lars", extended)
        other = _published("alexnet_bn", "sgd", False)
        top = lars.top + other.top - _published("alexnet_bn", "lars", False).top
        return dataclasses.replace(other, top=top)
    table = np.array(list(_best_rows(network, rival, extended)), dtype=np.float64)
    batch, epochs, accuracy, lr = table.T
    steps = np.ceil(epochs * IMAGENET / batch)
    if rival == "sgd":
        climb = _published(network, "lars", extended).climb
        top, scale = _with_climb(climb, steps, accuracy)
    else:
        curve = fit(Exp(0.1), _data(np.stack([steps, batch], axis=-1), accuracy)).parameters
        top, climb, scale = curve["a"], curve["b"], curve["S0"]
    tuned = np.isfinite(lr)
    law = fit(LogSaturating(), _data(batch[tuned][:, None], np.log(lr[tuned])))
    return AssumedSurface(
        top=top,
        climb=climb,
        steps_scale=scale,
        lr_max=math.exp(law.parameters["log_c"]),
        saturation=law.parameters["B0"],
        **_SHAPES[rival],
    )


def _with_climb(climb: float, steps: FloatArray, accuracy: FloatArray) -> tuple[float, float]:
    """Top and scale of the steps with the climb given: three batches of SGD do not tell it."""
    scales = np.geomspace(10.0, 1e6, 4001)
    fall = climb * np.exp(-steps / scales[:, None])
    tops = np.mean(accuracy + fall, axis=1)
    best = int(np.argmin(np.sum((accuracy + fall - tops[:, None]) ** 2, axis=1)))
    return float(tops[best]), float(scales[best])


def _data(x: FloatArray, y: FloatArray) -> Data:
    return Data(x=x, y=y, weights=np.ones(len(y)))


def _best_rows(
    network: Network, rival: Rival, extended: bool
) -> Iterator[tuple[float, float, float, float]]:
    """(batch, epochs, accuracy, LR) of the best LR of each (batch, epochs); LR may be NaN."""
    best: dict[tuple[float, float], tuple[float, float]] = {}
    wanted = "max" if extended else "min"
    for number, optimizer in TABLES.items():
        # Table 5c repeats Table 4 with the extended augmentation.
        if optimizer != rival or (number == 5 and network == "resnet50" and not extended):
            continue
        with (shipped("reference") / f"table{number}.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if row["model"] != network or row["optimizer"] != rival:
                    continue
                if row.get("augmentation", wanted) != wanted:
                    continue
                cell = float(row["batch"]), float(row["epochs"])
                accuracy, lr = float(row["accuracy"]), float(row.get("base_lr") or "nan")
                if cell not in best or accuracy > best[cell][0]:
                    best[cell] = accuracy, lr
    for (batch, epochs), (accuracy, lr) in best.items():
        yield batch, epochs, accuracy, lr
