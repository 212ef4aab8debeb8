"""Everything fitted at once: what must not change does not; too little data is said to be so."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from lars_sweep.errors import OutcomeError
from lars_sweep.fit.analysis import (
    KINDS,
    Analysis,
    FitOptions,
    Refused,
    TooLittle,
    analyse,
    chosen_trials,
)
from lars_sweep.fit.analysis.curves_in_steps import EpochsFinding, epochs_finding
from lars_sweep.fit.analysis.of_group import GroupFindings, Part
from lars_sweep.fit.answers import Answer, Kind, to_jsonable
from lars_sweep.fit.rows import Rows

SAMPLES = 50_000
SIGMA = 0.2
TESTED_LRS = 0.5 * np.arange(-4, 5)
"""Octaves from the best LR."""


def sweep(
    batches: tuple[int, ...] = (256, 1024, 4096, 16384),
    epochs: tuple[float, ...] = (15.0,),
    octaves: np.ndarray = TESTED_LRS,
    seeds: int = 3,
    sigma: float = SIGMA,
    scale: float = 1.0,
    **constants: Any,
) -> Rows:
    """A flat top that falls off on either side and a cliff, over accuracy that grows with steps.

    Args:
        scale: batches and samples times this: the same steps.
    """
    rng = np.random.default_rng(5)
    rows: list[dict[str, Any]] = []
    for batch in batches:
        for length in epochs:
            plateau = 70.0 - 12.0 * np.exp(-(np.ceil(length * SAMPLES / batch)) / 400.0)
            for octave in octaves:
                for seed in range(seeds):
                    noise = sigma * rng.standard_normal(2)
                    height = plateau - 3.0 * max(0.0, abs(octave) - 0.8) ** 2
                    rows.append(
                        {
                            "model": "net",
                            "optimizer": "lars",
                            "global_batch": int(batch * scale),
                            "epochs": length,
                            "samples": int(SAMPLES * scale),
                            "base_lr": 0.1 * batch**0.5 * 2.0**octave,
                            "seed": seed + 1000 * len(rows),
                            "status": "diverged" if octave > 1.7 else "ok",
                            "accuracy": 0.1 if octave > 1.7 else height + noise[0],
                            "accuracy_val": 0.1 if octave > 1.7 else height + noise[1],
                            **constants,
                        }
                    )
    return table(rows)


def table(rows: list[dict[str, Any]]) -> Rows:
    """Rows as columns, text as objects."""
    return Rows(
        {
            name: np.array(
                [row[name] for row in rows], dtype=object if isinstance(value, str) else None
            )
            for name, value in rows[0].items()
        }
    )


def joined(*parts: Rows) -> Rows:
    """Rows of several tables with the same columns."""
    return Rows({name: np.concatenate([part[name] for part in parts]) for name in parts[0].columns})


def replaced(rows: Rows, **columns: Any) -> Rows:
    """Some columns exchanged, or set to one value."""
    full = {
        name: value if isinstance(value, np.ndarray) else np.full(len(rows), value, dtype=object)
        for name, value in columns.items()
    }
    return Rows({**rows.columns, **full})


def content(analysis: Analysis) -> Any:
    """Everything found, as plain values."""
    return json.loads(
        json.dumps(
            {
                field.name: to_jsonable(getattr(analysis, field.name))
                for field in dataclasses.fields(analysis)
                if field.name not in ("options", "counts")
            }
        )
    )


def answers(value: object) -> Iterator[Answer]:
    """All answers inside a result."""
    if isinstance(value, Answer):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from answers(getattr(value, field.name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from answers(item)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return sweep()


@pytest.fixture(scope="module")
def found(rows: Rows) -> Analysis:
    return analyse(rows)


def test_a_good_sweep_answers_every_question_that_its_columns_allow(found: Analysis) -> None:
    intervals = [entry.found for entry in found.lr_interval]
    assert len(intervals) == 4
    for finding in intervals:
        assert finding is not None
        assert finding.interval.inner is not None
        assert finding.metric == "accuracy_val"
    (scaling,) = (entry.found for entry in found.best_lr)
    assert scaling is not None
    nominal = scaling.nominal
    assert not isinstance(nominal, (TooLittle, Refused))
    assert nominal.alpha.interval is not None
    assert 0.5 in nominal.alpha.interval
    (epochs,) = (entry.found for entry in found.epochs)
    assert epochs is not None
    assert epochs.steps.metric == "accuracy"
    assert epochs.steps.target.batch == 256
    assert len(found.batch) == 1
    (gap,) = {entry.result for entry in found.gap}
    assert gap == TooLittle("the table has no columns train_loss and test_loss")
    assert found.layers[0].result == TooLittle("no layer norms are recorded")


def test_the_effective_edges_follow_the_measured_rates(rows: Rows) -> None:
    one = sweep(batches=(256,), trust_coefficient=0.001)
    trials = np.array([f"t{i}" for i in range(len(one))], dtype=object)
    ok = one.status == "ok"
    layers = Rows(
        {
            "trial_id": np.repeat(trials[ok], 2),
            "layer": np.tile(np.array(["a", "b"], dtype=object), int(ok.sum())),
            "step": np.full(2 * int(ok.sum()), 10),
            "effective_lr": np.repeat(one.floats("base_lr")[ok], 2) ** 0.5,
        }
    )
    kinds = FitOptions(kinds=("lr-interval",))
    finding = analyse(replaced(one, trial_id=trials), None, layers, options=kinds)
    (interval,) = (entry.found for entry in finding.lr_interval)
    assert interval is not None
    assert not isinstance(interval.effective, TooLittle)
    low, effective = interval.interval.low.value, interval.effective.low.value
    assert low is not None
    assert effective == pytest.approx(low**0.5, rel=0.02)
    assert not isinstance(interval.gamma_eta, TooLittle)
    assert interval.gamma_eta.low.value == pytest.approx(0.001 * low)


def test_the_order_of_rows_changes_nothing(rows: Rows, found: Analysis) -> None:
    shuffled = rows.where(np.random.default_rng(1).permutation(len(rows)))
    assert content(analyse(shuffled)) == content(found)


def test_failed_rows_change_nothing(rows: Rows, found: Analysis) -> None:
    failed = replaced(
        rows.where(np.arange(30)), status="failed", accuracy=np.full(30, np.nan), model="other"
    )
    with_failed = analyse(joined(rows, failed))
    assert content(with_failed) == content(found)
    assert with_failed.counts["failed"] == 30


def test_units_of_lr_scale_edges_and_nothing_else(rows: Rows, found: Analysis) -> None:
    kinds = FitOptions(kinds=("lr-interval", "best-lr"))
    scaled = analyse(replaced(rows, base_lr=8.0 * rows.floats("base_lr")), options=kinds)
    for one, other in zip(found.lr_interval, scaled.lr_interval, strict=True):
        assert one.found is not None
        assert other.found is not None
        a, b = one.found.interval.plateau.value, other.found.interval.plateau.value
        assert a == pytest.approx(b, rel=1e-9)
        for own, theirs in zip(_limits(one.found), _limits(other.found), strict=True):
            assert theirs == pytest.approx(8.0 * own, rel=1e-9)
    for a, b in zip(found.best_lr, scaled.best_lr, strict=True):
        assert a.found is not None
        assert b.found is not None
        assert not isinstance(a.found.nominal, (TooLittle, Refused))
        assert not isinstance(b.found.nominal, (TooLittle, Refused))
        assert b.found.nominal.alpha.value == pytest.approx(a.found.nominal.alpha.value)
        assert b.found.nominal.best_form == a.found.nominal.best_form


def _limits(finding: Any) -> list[float]:
    interval = finding.interval
    ends = [interval.low.interval, interval.high.interval]
    return [limit for end in ends for limit in (end.low, end.high) if limit is not None]


def test_units_of_batch_scale_batches_and_leave_epochs(rows: Rows) -> None:
    kinds = FitOptions(kinds=("epochs", "batch"), target=68.0)
    found, doubled = (analyse(table, options=kinds) for table in (rows, sweep(scale=2.0)))
    ((one,), (other,)) = (
        [entry.found for entry in analysis.epochs] for analysis in (found, doubled)
    )
    assert one is not None
    assert other is not None
    for a, b in zip(one.answers, other.answers, strict=True):
        assert b.batch == 2 * a.batch
        assert b.epochs.kind is a.epochs.kind
        assert b.epochs.value == pytest.approx(a.epochs.value, rel=1e-6)
    for first, second in zip(found.batch, doubled.batch, strict=True):
        assert first.found is not None
        assert second.found is not None
        losing = first.found.losing.value
        assert losing is not None
        assert second.found.losing.value == pytest.approx(2.0 * losing, rel=1e-6)


def test_twice_the_seeds_shrink_intervals_by_the_square_root(rows: Rows, found: Analysis) -> None:
    again = replaced(rows, seed=rows["seed"] + 1_000_000)
    twice = analyse(joined(rows, again), options=FitOptions(kinds=("batch", "lr-interval")))
    for one, other in zip(found.batch, twice.batch, strict=True):
        assert one.found is not None
        assert other.found is not None
        for a, b in zip(one.found.losses, other.found.losses, strict=True):
            assert a.loss.interval is not None
            assert b.loss.interval is not None
            # half the variance of a mean, and copies add degrees of freedom but no scatter
            ratio = b.loss.interval.width / a.loss.interval.width
            assert ratio == pytest.approx((0.5 * 2 * 2 / 5) ** 0.5, abs=0.02)
    for before, after in zip(found.lr_interval, twice.lr_interval, strict=True):
        assert before.found is not None
        assert after.found is not None
        widths = [
            interval.plateau.interval.width
            for interval in (before.found.interval, after.found.interval)
            if interval.plateau.interval is not None
        ]
        assert widths[1] < 0.85 * widths[0]


def test_val_chooses_and_test_reports() -> None:
    one = sweep(batches=(256,), octaves=np.array([-0.5, 0.0, 0.5]))
    best_on_val = np.unique(one.floats("base_lr"))[0]
    at_it = one.floats("base_lr") == best_on_val
    val = np.where(at_it, 80.0, 60.0)
    report = np.where(at_it, 50.0, 70.0)
    told = analyse(replaced(one, accuracy_val=val, accuracy=report), options=FitOptions(kinds=()))
    ((chosen,),) = (entry.found for entry in told.chosen if entry.found is not None)
    assert (chosen.lr, chosen.accuracy) == (best_on_val, 50.0)
    assert chosen.at_edge


def test_the_target_is_estimated_as_the_curve_is_and_its_batch_reaches_it() -> None:
    """Where val chooses, the mean on test at the chosen LR lies below a flat top's height."""
    (entry,) = analyse(sweep(epochs=(10.0, 20.0)), options=FitOptions(kinds=("epochs",))).epochs
    assert entry.found is not None
    steps, baseline = entry.found.steps, entry.found.answers[0]
    here = (steps.cells.batch == 256) & (steps.cells.epochs == steps.target.epochs)
    assert steps.target.value == steps.cells.accuracy[here]
    assert (baseline.batch, baseline.epochs.kind) == (256, Kind.REACHED)
    assert baseline.epochs.value == baseline.epochs.interval.high == steps.target.epochs


def test_runs_above_the_target_bound_the_epochs_that_reach_it() -> None:
    """A batch that its curve has below the target, of which one cell lies far above it."""
    (entry,) = analyse(sweep(), options=FitOptions(kinds=("epochs",))).epochs
    assert entry.found is not None
    steps = entry.found.steps
    cells = steps.cells
    last = np.flatnonzero(cells.batch == cells.batch.max())[-1]
    lift = np.where(np.arange(len(cells)) == last, 80.0, cells.accuracy)
    never = {Kind.NEVER_COMPATIBLE, Kind.CANNOT}
    for lucky, kinds in ((cells.accuracy, never), (lift, {Kind.REACHED})):
        target = dataclasses.replace(steps.target, value=71.0, se=0.0, batch=None, epochs=None)
        seen = dataclasses.replace(cells, accuracy=lucky)
        told = epochs_finding(dataclasses.replace(steps, cells=seen, target=target))
        assert isinstance(told, EpochsFinding)
        answer = told.answers[-1].epochs
        assert answer.kind in kinds
    assert answer.interval.high == cells.epochs[last]


@pytest.mark.parametrize(("lrs", "middle"), [(2, 0), (3, 1), (4, 1), (7, 3)])
def test_of_equal_lrs_the_middle_one_is_chosen(lrs: int, middle: int) -> None:
    flat = sweep(batches=(256,), octaves=TESTED_LRS[:lrs])
    flat = replaced(flat, accuracy=np.full(len(flat), 77.0), accuracy_val=np.full(len(flat), 77.0))
    ((chosen,),) = (e.found for e in analyse(flat, options=FitOptions(kinds=())).chosen)
    assert chosen.lr == np.unique(flat.floats("base_lr"))[middle]


def test_a_pruned_seed_makes_its_lr_ineligible() -> None:
    one = sweep(batches=(256,), octaves=np.array([-0.5, 0.0, 0.5]))
    best = analyse(one, options=FitOptions(kinds=())).chosen[0].found
    assert best is not None
    first = np.flatnonzero(one.floats("base_lr") == best[0].lr)[0]
    status, accuracy = one["status"].copy(), one.floats("accuracy").copy()
    status[first], accuracy[first] = "pruned", np.nan
    pruned = replaced(one, status=status, accuracy=accuracy)
    then = analyse(pruned, options=FitOptions(kinds=())).chosen[0].found
    assert then is not None
    assert then[0].lr != best[0].lr


# ── nothing is pooled that differs


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        (("pruned", "pruned"), "no run finished: all pruned"),
        (("diverged", "pruned"), "no run finished: all diverged or pruned"),
        (("ok", "pruned"), "every LR with a finished seed has a pruned one as well"),
    ],
)
def test_the_reason_for_no_chosen_lr_is_the_runs_own_end(
    ends: tuple[str, str], reason: str
) -> None:
    one = sweep(batches=(256,), octaves=np.array([-0.5, 0.5]), seeds=2)
    status = np.where(np.arange(len(one)) % 2 == 0, *ends).astype(object)
    accuracy = np.where(status == "ok", one.floats("accuracy"), np.nan)
    told = analyse(replaced(one, status=status, accuracy=accuracy), options=FitOptions(kinds=()))
    assert told.chosen[0].result.reason.startswith(reason)  # type: ignore[union-attr]


def test_what_no_fit_models_splits_groups() -> None:
    small = {"batches": (256, 1024), "octaves": np.array([0.0])}
    mixed = joined(sweep(**small, augmentation="none"), sweep(**small, augmentation="extended"))
    told = analyse(mixed, options=FitOptions(kinds=("batch",)))
    assert [entry.key["augmentation"] for entry in told.chosen] == ["extended", "none"]
    assert [len(entry.found or ()) for entry in told.chosen] == [2, 2]


def test_what_follows_the_batch_is_pooled_by_name() -> None:
    one = sweep(batches=(256, 1024), octaves=np.array([0.0]))
    following = replaced(one, warmup_epochs=np.where(one["global_batch"] == 256, 2.0, 5.0))
    (entry,) = analyse(following, options=FitOptions(kinds=("batch",))).chosen
    assert entry.pooled == ("warmup_epochs",)
    apart = joined(following, replaced(following, warmup_epochs=np.full(len(one), 9.0)))
    split = analyse(apart, options=FitOptions(kinds=("batch",))).chosen
    assert [entry.pooled for entry in split] == [(), (), ()]
    assert [entry.key["warmup_epochs"] for entry in split] == [2.0, 5.0, 9.0]


def test_rivals_share_all_but_their_own() -> None:
    small = {"batches": (256, 1024)}
    lars = sweep(**small, exclusions="none", weight_decay=0.0005)
    fair = sweep(**small, exclusions="none", weight_decay=0.0001)
    unfair = sweep(**small, exclusions="bias_bn", weight_decay=0.0001)
    kinds = FitOptions(kinds=("batch", "lr-interval"))
    told = analyse(joined(lars, replaced(fair, optimizer="sgd")), options=kinds)
    (contrast,) = (entry.found for entry in told.contrast)
    assert contrast is not None
    assert contrast.lars_minus_sgd.value == pytest.approx(0.0, abs=1e-9)  # the very same rows
    assert [entry.key.global_batch for entry in told.width_ratio] == [256, 1024]
    none = analyse(joined(lars, replaced(unfair, optimizer="sgd")), options=kinds)
    assert none.contrast == none.width_ratio == ()


def test_a_missing_column_is_an_error_that_names_it(rows: Rows) -> None:
    without = Rows({name: column for name, column in rows.columns.items() if name != "samples"})
    with pytest.raises(OutcomeError, match="'samples'"):
        analyse(without)


# ── too little data


def agreeing(rows: Rows) -> Rows:
    """Every seed as the first one of its LR and batch, but for the last bits."""
    keys = zip(rows["global_batch"].tolist(), rows.floats("base_lr").tolist(), strict=True)
    first: dict[tuple[int, float], float] = {}
    values = [first.setdefault(k, a) for k, a in zip(keys, rows.floats("accuracy"), strict=True)]
    accuracy = np.array(values) * (1.0 + 2.0**-52 * (np.arange(len(values)) % 3))
    return replaced(rows, accuracy=accuracy, accuracy_val=accuracy)


POINT = {"batches": (256,), "octaves": np.array([0.0]), "seeds": 1}
TOO_LITTLE: dict[str, Rows] = {
    "one point": sweep(**POINT),
    "two points": sweep(**POINT | {"batches": (256, 1024)}),
    "two seeds": sweep(**POINT | {"seeds": 2}),
    "all diverged": replaced(sweep(), status="diverged"),
    "one batch": sweep(batches=(256,)),
    "no seeds": sweep(seeds=1),
    "constant accuracy": replaced(
        sweep(octaves=TESTED_LRS[:7]),
        accuracy=np.full(84, 50.0),
        accuracy_val=np.full(84, 50.0),
    ),
    "all pruned": replaced(
        sweep(batches=(256, 1024)),
        status="pruned",
        accuracy=np.full(54, np.nan),
        accuracy_val=np.full(54, np.nan),
    ),
    "seeds that agree but for rounding": agreeing(sweep(batches=(256, 1024, 4096))),
    "all failed": replaced(sweep(**POINT), status="failed"),
    "no rows": sweep(**POINT).where(np.array([], dtype=np.intp)),
}
NO_NOISE = {"no seeds", "seeds that agree but for rounding"}
KNOWN_WITHOUT_SEEDS = {"one batch"}
"""Those with replicate seeds, whose LR intervals are real."""


@pytest.mark.parametrize("name", TOO_LITTLE)
def test_too_little_data_is_said_to_be_so(name: str) -> None:
    told = analyse(TOO_LITTLE[name])
    assert set(told.options.kinds) == set(KINDS)
    json.dumps(content(told), allow_nan=False)
    everything = [getattr(told, field.name) for field in dataclasses.fields(told)]
    for answer in answers([e for e in everything if isinstance(e, tuple)]):
        # a batch loses exactly nothing against itself; all else is measured
        assert answer.value == 0.0 or answer.interval is None or answer.interval.width > 0, answer
    derived = (told.epochs, told.batch, told.best_lr, told.critical_batch, told.gap, told.layers)
    if name in NO_NOISE:  # its best LRs scatter about the power law, which gives an interval
        derived = tuple(entries for entries in derived if entries is not told.best_lr)
    for answer in answers(list(derived)):
        assert answer.kind not in (Kind.BOUNDED, Kind.REACHED), answer
    if name not in KNOWN_WITHOUT_SEEDS:
        for entry in told.lr_interval:
            assert entry.found is None or entry.found.interval.inner is None
    for entries in derived:
        assert all(entry.found is not None or entry.result.reason for entry in entries)  # type: ignore[union-attr]


def test_one_seed_with_a_stated_sigma_has_intervals() -> None:
    told = analyse(TOO_LITTLE["no seeds"], options=FitOptions(sigma=0.2, kinds=("lr-interval",)))
    kinds = [entry.found.interval.low.kind for entry in told.lr_interval if entry.found]
    assert kinds == [Kind.BOUNDED] * 4


def test_groups_fitted_elsewhere_give_the_same_analysis() -> None:
    """As `report.workers` does it: the work and its result are pickled."""
    rows = sweep(batches=(256, 1024))

    def elsewhere(
        function: Callable[[Part], GroupFindings], items: Sequence[Part]
    ) -> list[GroupFindings]:
        sent = [pickle.loads(pickle.dumps((function, item))) for item in items]
        return [pickle.loads(pickle.dumps(do(item))) for do, item in reversed(sent)][::-1]

    assert content(analyse(rows, mapper=elsewhere)) == content(analyse(rows))


def test_curves_and_norms_of_the_chosen_trials_are_enough() -> None:
    rows = sweep(batches=(256, 1024))
    trials = np.array([f"t{i}" for i in range(len(rows))], dtype=object)
    named = Rows({**rows.columns, "trial_id": trials})
    curves = Rows(
        {
            "trial_id": np.repeat(trials, 3),
            "epochs": np.tile([1.0, 2.0, 3.0], len(trials)),
            "train_loss": np.tile([2.0, 1.0, 0.5], len(trials)),
            "test_loss": np.tile([2.1, 1.2, 0.8], len(trials)),
        }
    )
    wanted = chosen_trials(named)
    assert 0 < len(wanted) < len(trials)
    few = curves.where(np.array([trial in wanted for trial in curves["trial_id"].tolist()]))
    assert content(analyse(named, few)) == content(analyse(named, curves))


def test_paired_seeds_are_compared_with_themselves() -> None:
    rows = sweep(batches=(256, 1024), octaves=np.array([0.0]))
    seeds = np.tile(np.arange(3), 2)
    luck = 0.1 * seeds + np.random.default_rng(2).normal(0.0, 0.005, len(rows))
    losses = replaced(rows, train_loss=np.ones(len(rows)), test_loss=1.5 + luck, seed=seeds)

    def width(paired: bool) -> float:
        (gap,) = analyse(losses, options=FitOptions(paired=paired)).gap
        assert gap.found is not None
        ((interval,),) = ([one.difference.interval] for one in gap.found.comparisons)
        assert interval is not None
        return interval.width

    assert width(paired=True) < 0.3 * width(paired=False)


def test_keeping_up_is_fitted_unless_it_is_not_asked_for() -> None:
    two = sweep(batches=(256, 1024))
    few = analyse(two, options=FitOptions(kinds=("lr-interval",)))
    none = analyse(two, options=FitOptions(kinds=("lr-interval",), keep_up=False))
    for before, after in zip(few.lr_interval, none.lr_interval, strict=True):
        assert before.found is not None
        assert after.found is not None
        assert before.found.interval == after.found.interval
        assert not isinstance(before.found.versus_baseline, (TooLittle, Refused))
        assert after.found.versus_baseline == Refused("not asked for")
