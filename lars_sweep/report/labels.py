"""How names and numbers are written, in figures, tables and sentences alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from lars_sweep.nouns import count
from lars_sweep.report.observations import GIVEN, Observations

NBSP = "\N{NO-BREAK SPACE}"
OPTIMIZERS = {"lars": "LARS", "sgd": "SGD", "lamb": "LAMB", "adamw": "AdamW"}


def optimizer_label(name: str) -> str:
    """``lars`` → LARS."""
    return OPTIMIZERS.get(name, name)


def batch_label(batch: float) -> str:
    """As the paper writes batches: 64, 256, 1K, 32K; 1000 stays 1000."""
    batch = int(batch)
    return f"{batch // 1024}K" if batch >= 1024 and batch % 1024 == 0 else str(batch)


def lr_label(lr: float) -> str:
    """Three significant digits; tables and CSV files hold them all."""
    return f"{lr:.3g}" if lr < 999.5 else f"{lr:,.0f}"


def number(value: float) -> str:
    """Up to six significant digits, no exponent for everyday sizes."""
    return f"{value:.6g}"


def signed(value: float) -> str:
    """Points of accuracy with their sign; what rounds to nothing has none."""
    text = f"{value:+.2f}"
    return text[1:] if float(text) == 0.0 else text


def spread_label(mean: float, sd: float) -> str:
    """Mean ± standard deviation, no spread where one seed has none: ``97.12 ± 0.21``."""
    return f"{mean:.2f}" if math.isnan(sd) else f"{mean:.2f} ± {sd:.2f}"


def listed(items: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    parts = list(items)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def field_label(name: str, value: object) -> str:
    """A setting's value with what it is: ``15 epochs``, ``momentum 0.9``, ``alexnet_bn``."""
    if name == "optimizer":
        return optimizer_label(str(value))
    if name == "epochs":
        return count(float(str(value)), "epoch")
    if name in ("run", "model", "dataset", "sweep", "stratum"):
        return str(value)
    words = name.replace("_", " ")
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return f"no {words}"
    return f"{words} {number(value) if isinstance(value, float) else value}"


def panel_labels(strata: pd.DataFrame, fields: Sequence[str]) -> dict[int, str]:
    """Panel number → title: the optimizer and whatever varies between panels."""
    panels = strata.drop_duplicates("panel").set_index("panel").sort_index()
    shown = [n for n in fields if n == "optimizer" or panels[n].nunique(dropna=False) > 1]
    return {
        int(str(panel)): ", ".join(field_label(n, row[n]) for n in shown)
        for panel, row in panels.iterrows()
    }


def footer(observations: Observations) -> str:
    """What every figure says about where its data come from: the protocol, the sweep, the rest."""
    strata = observations.strata
    fields = [f for f in ("model", "dataset", "epochs") if strata[f].nunique() == 1]
    about = [field_label(name, strata[name].iloc[0]) for name in fields]
    sweeps = sorted(strata["sweep"].unique())
    return " · ".join([*about, f"sweep {', '.join(sweeps)}", protocol_label(observations)])


def figure_footer(observations: Observations, fixture: str) -> str:
    """The footer, led by what says that the numbers are published ones."""
    text = footer(observations)
    return f"{fixture} · {text}" if fixture else text


def protocol_label(observations: Observations) -> str:
    """The protocol with what it means (PROTOCOL.md 1)."""
    if observations.protocol in _PROTOCOLS:
        return _PROTOCOLS[observations.protocol]
    splits = sorted(observations.strata["split"].unique())
    if not splits:
        return "protocol not known: no trial has finished"
    return f"mixed protocols: {listed(_CHOICES.get(split, split) for split in splits)}"


_PROTOCOLS = {
    "held_out": "protocol held_out: LR chosen on val, accuracy reported on test",
    "paper": "protocol paper: LR chosen and accuracy reported on the same test set",
    GIVEN: "accuracy as given: the table does not say on which split, nor on which LRs were chosen",
}
_CHOICES = {
    "held_out": "held_out chooses on val",
    "paper": "paper on test",
    GIVEN: "a table without split by its accuracy as given",
}


def chosen_on(observations: Observations) -> str:
    """The split that choices look at: ``on val``; ``as given`` where a table does not say."""
    known = {"held_out": "on val", "paper": "on test", GIVEN: "as given"}
    return known.get(observations.protocol, "by which LRs are chosen")


def reported_on(observations: Observations) -> str:
    """The split of the reported accuracy: ``on test``; ``as given`` where a table does not say."""
    splits = set(observations.strata["split"])
    return "as given" if splits == {GIVEN} else "as reported" if GIVEN in splits else "on test"


def reported_head(observations: Observations) -> str:
    """Its column in a table."""
    return "Test %" if reported_on(observations) == "on test" else "Accuracy %"
