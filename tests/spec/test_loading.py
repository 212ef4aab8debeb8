"""What a sweep file may say, and what is said about it when it may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lars_sweep.errors import SpecError
from lars_sweep.fit.noise_scale import MINIMUM_BLOCKS
from lars_sweep.spec.loading import load_sweep
from lars_sweep.spec.sweep import FEWEST_MEASUREMENTS, SweepSpec

GOOD = """\
name = "good"
[model]
name = "small_alexnet_bn"
[data]
name = "digits"
[training]
bn_batch = 32
warmup = { epochs = 2 }
[space]
optimizer = ["sgd", "lars"]
global_batch = [64, 256]
epochs = 10
base_lr = 0.1
"""


def load(tmp_path: Path, text: str, *overrides: str) -> SweepSpec:
    path = tmp_path / "sweep.toml"
    path.write_text(text, encoding="utf-8")
    return load_sweep(path, overrides)


def problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """Every problem of a text, without the folder."""
    with pytest.raises(SpecError) as caught:
        load(tmp_path, text, *overrides)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


EVERYTHING_WRONG = """\
name = "Bad Name"
nme = 3
[model]
name = "alexnett"
[data]
name = "digit"
augmentation = "lots"
[training]
bn_batch = "32"
momentun = 0.9
nesterov = 1
base_lr = 3
warmup = 5
[space]
optimizer = ["sgd"]
global_batch = [64, 64, -1]
trust_coefficient = 0.1
epochs = 0
lr_excluded = []
weight_decay = { lgo = [1, 2] }
momentum = nan
[space.base_lr.by_batch]
64 = { log = [0, 1], pints = 3 }
128 = -1
[strategy]
kind = "tpe"
strata = ["optimizer", "global_bach"]
[seeds]
count = 0
[sedes]
"""


def test_all_problems_at_once_each_with_its_line(tmp_path: Path) -> None:
    found = problems(tmp_path, EVERYTHING_WRONG, "budget.trials=many", "space.epochs=-3")
    where = [line.split(": got ")[0] for line in found]
    assert where == [
        "--set: budget.trials",
        "--set: space.epochs",
        "sweep.toml:1: name",
        "sweep.toml:2: nme",
        "sweep.toml:4: model.name",
        "sweep.toml:6: data.name",
        "sweep.toml:7: data.augmentation",
        "sweep.toml:9: training.bn_batch",
        "sweep.toml:10: training.momentun",
        "sweep.toml:11: training.nesterov",
        "sweep.toml:12: training.base_lr",
        "sweep.toml:13: training.warmup",
        "sweep.toml:16: space.global_batch[1]",
        "sweep.toml:16: space.global_batch[2]",
        "sweep.toml:17: space.trust_coefficient",
        "sweep.toml:19: space.lr_excluded",
        "sweep.toml:20: space.weight_decay",
        "sweep.toml:21: space.momentum",
        "sweep.toml:23: space.base_lr.by_batch.64.pints",
        "sweep.toml:23: space.base_lr.by_batch.64.log[0]",
        "sweep.toml:24: space.base_lr.by_batch.128",
        "sweep.toml:25: strategy",
        "sweep.toml:27: strategy.strata[1]",
        "sweep.toml:29: seeds.count",
        "sweep.toml:30: sedes",
    ]
    assert "did you mean momentum?" in found[8]
    assert found[4].startswith(
        'sweep.toml:4: model.name: got "alexnett"; allowed: did you mean alexnet?'
    )
    assert (
        found[12] == "sweep.toml:16: space.global_batch[1]: got 64 again; allowed: each value once"
    )


def test_the_error_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, GOOD + "epochs = 3\n")
    assert caught.value.exit_status == 2


def _space(line: str) -> str:
    return GOOD.replace("base_lr = 0.1\n", line + "\n")


def _extra(line: str) -> str:
    return GOOD + line + "\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_space(""), "sweep.toml: space.base_lr: got nothing; allowed: a number > 0"),
        (_space("base_lr = -0.1"), ":13: space.base_lr: got -0.1; allowed: a number > 0"),
        (_space("base_lr = inf"), ":13: space.base_lr: got inf; allowed: a number > 0"),
        (_space("base_lr = []"), ":13: space.base_lr: got an empty list; allowed: at least one"),
        (_space("base_lr = [1, 1.0]"), "space.base_lr[1]: got 1.0 again; allowed: each value once"),
        (_space("base_lr = true"), "space.base_lr: got true; allowed: a number > 0"),
        (_space("base_lr = 1e400"), "space.base_lr: got inf; allowed: a number > 0"),
        (_space("base_lr = 1" + "0" * 400), "allowed: a number > 0"),
        (_space("base_lr = { epochs = 3 }"), "got {epochs = 3}; allowed: a number > 0, without a"),
        (
            _space("base_lr = { log = [0.1, 1] }"),
            "base_lr.points: got nothing; allowed: an integer",
        ),
        (
            _space("base_lr = { log = [0.1, 1], points = 1 }"),
            "points: got 1; allowed: an integer ≥ 2",
        ),
        (
            _space("base_lr = { log = [1, 0.1], points = 3 }"),
            "base_lr.log: got [1.0, 0.1]; allowed: low",
        ),
        (
            _space("base_lr = { log = [0, 1], points = 3 }"),
            "base_lr.log[0]: got 0.0; allowed: a number",
        ),
        (_space("base_lr = { linear = [-1, 1], points = 3 }"), "base_lr.linear[0]: got -1.0"),
        (_space("base_lr = { log = [1, 2], linear = [1, 2] }"), "unknown key 'linear'"),
        (_space("base_lr = {}"), "allowed: a value, a list, or a table with log, linear, scale"),
        (
            _space('base_lr = { scale = "cubic", from_batch = 64, from_lr = 1 }'),
            "base_lr.scale: got \"cubic\"; allowed: 'linear' or 'sqrt'",
        ),
        (
            _space('base_lr = { scale = "sqrt", from_batch = 0, from_lr = -1, times = [0] }'),
            "base_lr.from_batch: got 0; allowed: an integer ≥ 1",
        ),
        (
            _space('base_lr = { scale = "sqrt", from_batch = 0, from_lr = -1, times = [0] }'),
            "base_lr.times[0]: got 0; allowed: a number > 0",
        ),
        (_space('base_lr = { scale = "sqrt", from_lr = 1 }'), "base_lr.from_batch: got nothing"),
        (
            _space("base_lr = { by_batch = { 64 = 1 } }"),
            "base_lr.by_batch: got no entry for 256; allowed: one for each of 64, 256",
        ),
        (
            _space("base_lr = { by_batch = { 64 = 1, 256 = 1, 512 = 1 } }"),
            "base_lr.by_batch.512: got an entry for 512; allowed: entries for 64, 256 only",
        ),
        (_space("base_lr = { by_batch = {} }"), "base_lr.by_batch: got an empty table"),
        (
            _space("base_lr = { by_optimizer = { sgd = 1 } }"),
            "base_lr.by_optimizer: got no entry for lars",
        ),
        (
            _space("base_lr = { by_optimizer = { sgd = 1, lars = { by_batch = { 64 = 1 } } } }"),
            "base_lr.by_optimizer.lars.by_batch: got no entry for 256",
        ),
        (
            _space("base_lr = { by_batch = { 64 = { by_optimizer = { sgd = 1, lars = 1 } } } }"),
            "got by_optimizer inside by_batch; allowed: no table inside by_batch",
        ),
        (
            _space("base_lr = { by_optimizer = { sdg = 1, lars = 1 } }"),
            "base_lr.by_optimizer.sdg: got \"sdg\"; allowed: 'sgd', 'lars', 'adamw' or 'lamb'",
        ),
        (_extra("warmup = { epochs = 3 }"), "space.warmup: got {epochs = 3}; allowed: one place"),
        (_extra("warmup_start = 0.1"), "warmup_start: got 0.1; allowed: {share = …} or {lr = …}"),
        (_extra("warmup_start = { share = 1.5 }"), "warmup_start.share: got 1.5"),
        (_extra("warmup_start = { epochs = 1 }"), "got {epochs = 1}; allowed: {share = …} or {lr"),
        (_extra("warmup_start = { share = 0, lr = 0 }"), "allowed: exactly one of {share = …}"),
        (_extra("momentum = 1"), "space.momentum: got 1; allowed: a number ≥ 0 and < 1"),
        (_extra("nesterov = { log = [1, 2], points = 2 }"), "got a range; allowed: true or false"),
        (_extra('precision = "fp16"'), "allowed: did you mean bf16? one of fp32, tf32, bf16"),
        (
            _extra("evaluations = { linear = [1, 2], points = 3 }"),
            "points: got 3; allowed: at most 2",
        ),
        (_extra("evaluations = 2.0"), "space.evaluations: got 2.0; allowed: an integer ≥ 1"),
        (_extra("milestones = [0.5]"), "space.milestones: got [0.5]; allowed: a single list, in"),
        (_extra('momentum = { scale = "sqrt", from_batch = 1, from_lr = 1 }'), "only base_lr"),
        (_extra("lr_excluded = 1"), "lr_excluded: got 1; allowed: only with exclusions = bias_bn"),
        (_extra("step_factor = 0.5"), "only with schedule = step, which no trial has"),
        (
            _extra('schedule = ["poly", "step"]'),
            "training.milestones: got nothing; allowed: a list",
        ),
        (
            _extra('model = ["alexnet"]'),
            'space.model: got ["alexnet"]; allowed: one place; [model]',
        ),
        (_extra("[training.x]"), "got unknown key 'x'"),
        (
            GOOD.replace("bn_batch = 32", "bn_batch = [32, 64]"),
            "training.bn_batch: got [32, 64]; allowed: a single",
        ),
        (GOOD.replace("bn_batch = 32", ""), "training.bn_batch: got nothing"),
        (GOOD.replace('name = "small_alexnet_bn"', ""), "model.name: got nothing; allowed: one of"),
        (GOOD.replace('name = "digits"', ""), "data.name: got nothing; allowed: a value; required"),
        (GOOD.replace('name = "digits"', "name = 3"), "data.name: got 3; allowed: text in quotes"),
        (
            GOOD.replace('name = "digits"', 'nam = "digits"'),
            "data.nam: got unknown key 'nam'; allowed: did you mean name?",
        ),
        (
            GOOD.replace('name = "small_alexnet_bn"', "name = 3"),
            "model.name: got 3; allowed: text in quotes",
        ),
        (
            GOOD.replace("[space]", "[spce]"),
            "spce: got unknown key 'spce'; allowed: did you mean space?",
        ),
        (
            "data = 3\n" + GOOD.replace('[data]\nname = "digits"', ""),
            "data: got 3; allowed: a table",
        ),
        ("space = 3\n", "space: got 3; allowed: a table, [space]"),
        (
            _extra("[strategy]\nn_points = 3"),
            "strategy: got {n_points = 3}; allowed: n_points only for",
        ),
        (
            _extra('[strategy]\nkind = "random"'),
            "allowed: n_points, the number of points per stratum",
        ),
        (_extra('[strategy]\nkind = "hyperband"'), 'strategy.kind: got "hyperband"'),
        (_extra("[strategy]\nsampler = { seed = 1 }"), "sampler only for tpe and gp"),
        (
            _extra('[strategy]\nkind = "qmc"\nn_points = 4\nsampler = { seed = 1 }'),
            "sampler only for tpe and gp",
        ),
        (
            _extra('[strategy]\nstrata = ["model", "model"]'),
            'strata[1]: got "model"; allowed: each field once',
        ),
        (_extra("[strategy.pruner]\nn = 3"), "strategy.pruner.name: got nothing"),
        (_extra('[strategy.pruner]\nname = "median"'), 'strategy.pruner.name: got "median"'),
        (_extra("[seeds]\ncount = 3\nlist = [1]"), "allowed: either count or list"),
        (_extra("[seeds]\nlist = [1, 1]"), "at least one seed in list, each once"),
        (_extra("[seeds]\nlist = []"), "at least one seed in list, each once"),
        (_extra("[seeds]\ncount = true"), "seeds.count: got true; allowed: an integer"),
        (_extra("[budget]\ndevice_hours = 3"), "allowed: device_hours together with images_per_s"),
        (
            _extra('[protocol]\nname = "paper"\nval_share = 0.1'),
            "val_share only with name = held_out",
        ),
        (_extra("[protocol]\ndelta = 0"), "protocol.delta: got 0; allowed: greater than 0"),
        ("version = 2\n" + GOOD, "version: got 2; allowed: 1"),
        (_extra("[origin]\nfile = 'x'"), "origin: got unknown key 'origin'"),
    ],
)
def test_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(problems(tmp_path, text))


SAMPLED = GOOD + '[strategy]\nkind = "tpe"\nn_points = 5\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            SAMPLED.replace("base_lr = 0.1", "base_lr = { log = [0.1, 1], points = 3 }"),
            "base_lr.points: got 3; allowed: no points: a sampler draws from the range",
        ),
        (
            SAMPLED.replace("epochs = 10", "epochs = { linear = [1, 2] }"),
            "epochs.points: got nothing; allowed: an integer ≥ 2",
        ),
        (
            SAMPLED + 'strata = ["optimizer"]\n'.replace("base_lr = 0.1", ""),
            None,
        ),
        (
            SAMPLED.replace(
                "base_lr = 0.1", 'base_lr = { scale = "sqrt", from_batch = 64, from_lr = 1 }'
            )
            + 'strata = ["optimizer"]\n',
            "got values that depend on global_batch, which varies within a stratum; "
            "allowed: global_batch among strategy.strata, or kind = grid",
        ),
        (
            SAMPLED.replace("base_lr = 0.1", "base_lr = { by_optimizer = { sgd = 1, lars = 2 } }")
            + 'strata = ["global_batch"]\n',
            "got values that depend on optimizer, which varies within a stratum",
        ),
        (
            SAMPLED.replace("epochs = 10", "epochs = { by_batch = { 64 = 1, 256 = 2 } }")
            + 'strata = ["epochs"]\n',
            'strata[0]: got "epochs"; allowed: global_batch among the strata too',
        ),
    ],
)
def test_refused_when_sampled(tmp_path: Path, text: str, expected: str | None) -> None:
    if expected is None:
        load(tmp_path, text)
    else:
        assert expected in "\n".join(problems(tmp_path, text))


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot read the sweep file"):
        load_sweep(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes("name = 'é'".encode("latin-1"))
    with pytest.raises(SpecError, match="cannot read the sweep file"):
        load_sweep(tmp_path / "latin.toml")


FULL = (
    GOOD.replace("base_lr = 0.1", "")
    + """\
model_ = 1
[space.base_lr.by_optimizer]
sgd = { scale = "sqrt", from_batch = 64, from_lr = 0.1, times = { log = [0.1, 10], points = 5 } }
lars = { by_batch = { 64 = [1, 2], 256 = { linear = [1, 3], points = 3 } } }
[strategy]
pruner = { name = "MedianPruner", n_warmup_steps = 5, deep = { x = [1, "a", 2.5] } }
[seeds]
list = [4, 5]
[budget]
device_hours = 2.5
images_per_s = 100
""".replace("model_ = 1\n", "")
)


def test_json_makes_the_same_sweep(tmp_path: Path) -> None:
    spec = load(tmp_path, FULL, "seeds.paired=true", "name=other")
    assert spec.origin.overrides == ("seeds.paired=true", "name=other")
    assert (spec.seeds.paired, spec.name) == (True, "other")
    again = SweepSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.spec_hash == spec.spec_hash
    assert again.strategy.pruner is not None
    assert again.strategy.pruner.options == {"n_warmup_steps": 5, "deep": {"x": [1, "a", 2.5]}}


def test_a_stored_sweep_is_checked_too(tmp_path: Path) -> None:
    content = json.loads(load(tmp_path, GOOD).model_dump_json())
    content["space"]["base_lr"] = -1
    with pytest.raises(ValueError, match="base_lr: got -1; allowed: a number > 0"):
        SweepSpec.model_validate_json(json.dumps(content))


def test_spec_hash_is_of_the_content(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD)
    assert len(spec.spec_hash) == 64
    blocks = GOOD.split("[")
    moved = "[".join([blocks[0], *reversed(blocks[1:])])
    same = [
        moved.replace('["sgd", "lars"]', '["sgd", "lars"]'),
        GOOD.replace("epochs = 10", "epochs = 10.0 # ten"),
        GOOD.replace("bn_batch = 32", "bn_batch = 32\nmomentum = 0.9"),
        GOOD + "momentum = 0.9\n",
        GOOD + "[seeds]\ncount = 3\n",
        GOOD + "[seeds]\nlist = [0, 1, 2]\n",
        GOOD + '[strategy]\nstrata = ["epochs", "global_batch", "optimizer", "model"]\n',
    ]
    for text in same[1:]:
        assert load(tmp_path, text).spec_hash == spec.spec_hash, text
    assert load(tmp_path, GOOD, "space.base_lr=0.1").spec_hash == spec.spec_hash
    for other in (
        "space.base_lr=0.2",
        "seeds.count=4",
        "data.name=synthetic",
        "space.momentum=0.8",
    ):
        assert load(tmp_path, GOOD, other).spec_hash != spec.spec_hash


def test_the_noise_scale_is_measured_where_the_file_says_so(tmp_path: Path) -> None:
    off = load(tmp_path, GOOD)
    assert off.noise_scale is None
    on = load(tmp_path, GOOD + "[noise_scale]\n")
    assert on.noise_scale is not None
    assert (on.noise_scale.evaluations, on.noise_scale.measurements) == (4, 20)
    assert on.spec_hash == load(tmp_path, GOOD, "noise_scale.evaluations=4").spec_hash
    assert on.spec_hash != off.spec_hash
    # As before there was such a table: a run directory holds on to its hash.
    assert off.spec_hash == "9653fb048b7cfaed933166f70df9a31753e2a5846fc8d1a2ed04800497a3b9ed"
    assert FEWEST_MEASUREMENTS == MINIMUM_BLOCKS
    (problem,) = problems(tmp_path, GOOD, "noise_scale.measurements=4")
    assert "noise_scale.measurements: got 4; allowed: greater than or equal to 5" in problem


def test_defaults(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD)
    assert spec.seeds.values == (0, 1, 2)
    assert spec.strategy.kind == "grid"
    assert spec.strategy.strata == ("model", "optimizer", "global_batch", "epochs")
    assert spec.strategy.pruner is None
    assert spec.val_share == 1 / 6
    assert load(tmp_path, GOOD, "data.name=imagenet").val_share == 50_000 / 1_281_167
    assert load(tmp_path, GOOD, "protocol.val_share=0.2").val_share == 0.2
    assert load(tmp_path, GOOD, "protocol.name=paper").val_share == 0.0
    assert spec.axes["trust_coefficient"] == 0.001
    assert spec.axes["weight_decay"] == 0.0005
    assert "lr_excluded" not in spec.axes


_JUNK = st.recursive(
    st.one_of(
        st.none().map(lambda _: "x"),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(["lars", "sgd", "poly", "", "a:b"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "log",
                    "linear",
                    "points",
                    "scale",
                    "by_batch",
                    "by_optimizer",
                    "epochs",
                    "64",
                    "lars",
                    "times",
                    "share",
                    "from_lr",
                    "from_batch",
                    "name",
                    "kind",
                    "list",
                ]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(
    key=st.sampled_from(
        [
            "space.base_lr",
            "space.epochs",
            "space.optimizer",
            "space.global_batch",
            "space.warmup",
            "space.model",
            "training.milestones",
            "training.bn_batch",
            "space.evaluations",
            "space.schedule",
            "strategy",
            "strategy.strata",
            "strategy.kind",
            "strategy.pruner",
            "seeds",
            "budget",
            "protocol",
            "space",
            "training",
            "model",
            "data",
            "name",
        ]
    ),
    value=_JUNK,
)
def test_no_value_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    path = tmp_path_factory.mktemp("junk") / "sweep.toml"
    path.write_text(GOOD, encoding="utf-8")
    try:
        spec = load_sweep(path, [f"{key}={_toml(value)}"])
    except SpecError as error:
        assert error.problems  # noqa: PT017
        assert all(problem.key and problem.given for problem in error.problems)  # noqa: PT017
    else:
        assert SweepSpec.model_validate_json(spec.model_dump_json()) == spec


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {_toml(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)
