"""Layer norms: the paper's Table 2, ratios over time, and the LR at which the first layer breaks.

Without layer-wise rates an update ``γ ∇L`` is stable only while it is smaller than the weights,
``γ < ‖w‖/‖∇L(w)‖``, for every tensor: the smallest ratio predicts where SGD diverges (section 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.answers import Answer, Kind, not_identified
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRatio:
    """Norms of one tensor at one step, geometric means over trials (Table 2)."""

    layer: str
    weight_norm: float
    gradient_norm: float
    ratio: float
    """``‖w‖/‖∇L(w)‖``."""
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioPath:
    """A tensor's ratio over training, (n,) each."""

    layer: str
    step: FloatArray
    ratio: FloatArray
    """Geometric mean over trials."""
    update_ratio: FloatArray
    """‖v‖/‖w‖, geometric mean over trials (PROTOCOL.md 20)."""


def layer_ratios(layers: Rows) -> tuple[LayerRatio, ...]:
    """Table 2 at the first step recorded.

    Args:
        layers: columns step, layer, weight_norm, gradient_norm (and trial_id).
    """
    if not len(layers):
        return ()
    first = np.min(layers["step"])
    found = []
    for (layer,), group in layers.where(layers["step"] == first).groups(("layer",)):
        usable = _positive(group)
        if not len(usable):
            continue
        weight = _geometric_mean(usable.floats("weight_norm"))
        gradient = _geometric_mean(usable.floats("gradient_norm"))
        found.append(
            LayerRatio(
                layer=str(layer),
                weight_norm=weight,
                gradient_norm=gradient,
                ratio=weight / gradient,
                trials=len(usable),
            )
        )
    return tuple(found)


def ratio_paths(layers: Rows) -> tuple[RatioPath, ...]:
    """Ratio of every tensor over training; columns as `layer_ratios`, and update_ratio."""
    paths = []
    for (layer,), group in _positive(layers).groups(("layer",)):
        points = [
            (
                float(step),
                _geometric_mean(at.floats("weight_norm") / at.floats("gradient_norm")),
                _geometric_mean(np.maximum(at.floats("update_ratio"), 1e-300)),
            )
            for (step,), at in group.groups(("step",))
        ]
        columns = np.array(points).T
        paths.append(
            RatioPath(layer=str(layer), step=columns[0], ratio=columns[1], update_ratio=columns[2])
        )
    return tuple(paths)


def _positive(rows: Rows) -> Rows:
    """Rows with both norms above 0: a ratio exists there."""
    return rows.where((rows.floats("weight_norm") > 0) & (rows.floats("gradient_norm") > 0))


def _geometric_mean(values: FloatArray) -> float:
    return float(np.exp(np.mean(np.log(values))))


def predicted_edge(ratios: tuple[LayerRatio, ...]) -> Answer:
    """LR at which the first tensor's update equals its weight, ``min ‖w‖/‖∇L(w)‖``."""
    if not ratios:
        return not_identified("no layer norms recorded")
    tightest = min(ratios, key=lambda ratio: ratio.ratio)
    reason = f"first limit: {tightest.layer}; a bound by order of magnitude, without interval"
    return Answer(kind=Kind.NO_SIGMA, value=tightest.ratio, reason=reason)


def edge_agreement(predicted: Answer, measured: Answer) -> Answer:
    """Measured divergence LR over the predicted edge; the measured one brings the interval."""
    if predicted.value is None or measured.value is None:
        return not_identified("one of the two edges is not known")
    scale = predicted.value
    return measured.map(lambda lr: lr / scale, "")
