"""How far a trial has come: everything of a checkpoint beside model and optimizer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from lars_sweep.spec.trainer import Evaluation, LayerNorms, NoiseNorms
from lars_sweep.train.divergence import DivergenceWatch


@dataclass(slots=True, kw_only=True)
class Progress:
    """Plain values only."""

    watch: DivergenceWatch
    step: int = 0
    """Optimizer steps done."""
    wall_s: float = 0.0
    """Seconds of training and evaluation, over all attempts that led here."""
    evaluations: list[Evaluation] = field(default_factory=list)
    layers: list[LayerNorms] = field(default_factory=list)
    noise: list[NoiseNorms] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        """Dictionaries, lists, numbers and strings."""
        return asdict(self)

    @staticmethod
    def from_plain(content: dict[str, Any]) -> Progress:
        """The progress that `to_plain` described."""
        return Progress(
            watch=DivergenceWatch(**content["watch"]),
            step=content["step"],
            wall_s=content["wall_s"],
            evaluations=[Evaluation(**row) for row in content["evaluations"]],
            layers=[LayerNorms(**row) for row in content["layers"]],
            noise=[NoiseNorms(**row) for row in content["noise"]],
        )
