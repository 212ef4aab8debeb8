"""The atom: what a group layer computes does not depend on micro-batches or ranks."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lars_sweep.errors import TrainError
from lars_sweep.train.atoms import Atoms
from lars_sweep.train.dropout import GroupDropout
from lars_sweep.train.layers import GroupBatchNorm2d, calibrating, number_layers, set_atoms
from lars_sweep.train.models import build_model
from lars_sweep.train.running_statistics import RunningStatistics

GROUP, GROUPS, CHANNELS = 4, 6, 3


def images(groups: int = GROUPS, *, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(groups * GROUP, CHANNELS, 5, 5, generator=generator, dtype=dtype)
    # Groups that differ, so that statistics of the wrong samples are seen.
    return x * torch.linspace(1, 3, len(x), dtype=dtype).view(-1, 1, 1, 1) + 0.3


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    generator = torch.Generator().manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(CHANNELS, 8, 3),
        GroupBatchNorm2d(8, affine=True, eps=1e-4),
        nn.ReLU(),
        GroupDropout(0.5),
        nn.Conv2d(8, 4, 3),
        GroupBatchNorm2d(4, affine=False, eps=1e-4),
        nn.Flatten(),
        GroupDropout(0.3),
        nn.Linear(4, 5),
    ).to(dtype)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    number_layers(net)
    return net


def run(net: nn.Module, x: Tensor, micro_batches: list[int]) -> tuple[Tensor, Tensor]:
    """Outputs and the gradient of a step whose groups come in these micro-batches."""
    net.train()
    net.zero_grad()
    outputs, first = [], 0
    for groups in micro_batches:
        set_atoms(net, Atoms(seed=1, step=5, first_group=first, groups=groups))
        y = net(x[first * GROUP : (first + groups) * GROUP])
        (y**2).sum().backward()
        outputs.append(y.detach())
        first += groups
    gradient = torch.cat([p.grad.flatten() for p in net.parameters()])
    return torch.cat(outputs), gradient


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_every_group_is_normalised_as_torch_normalises_it_alone(affine, memory_format):
    x = images().to(memory_format=memory_format)
    ours = GroupBatchNorm2d(CHANNELS, affine=affine, eps=1e-4, momentum=0.1).double()
    theirs = nn.BatchNorm2d(CHANNELS, affine=affine, eps=1e-4, momentum=0.1).double()
    set_atoms(ours, Atoms(seed=0, step=0, first_group=0, groups=GROUPS))
    expected = torch.cat([theirs(chunk) for chunk in x.split(GROUP)])
    torch.testing.assert_close(ours(x), expected, rtol=0, atol=0)


def test_running_buffers_move_once_per_step_towards_the_mean_over_groups():
    layer = GroupBatchNorm2d(CHANNELS, momentum=0.1).double()
    statistics = RunningStatistics(layer)
    expected = []
    for step, x in enumerate((images(), 2 * images() + 1)):
        before = layer.running_mean.clone()
        for first, groups in ((0, 2), (2, 4)):
            set_atoms(layer, Atoms(seed=0, step=step, first_group=first, groups=groups))
            layer(x[first * GROUP : (first + groups) * GROUP])
            assert layer.running_mean.equal(before)
        statistics.fold()
        chunks = x.split(GROUP)
        mean = torch.stack([c.mean((0, 2, 3)) for c in chunks]).mean(0)
        variance = torch.stack([c.var((0, 2, 3), correction=1) for c in chunks]).mean(0)
        expected.append((mean, variance))
        assert layer.pending.eq(0).all()
    (mean, variance), (next_mean, next_variance) = expected
    torch.testing.assert_close(layer.running_mean, 0.9 * mean + 0.1 * next_mean)
    torch.testing.assert_close(layer.running_var, 0.9 * variance + 0.1 * next_variance)


def test_the_first_step_leaves_nothing_of_the_initial_buffers_also_after_a_checkpoint():
    """Averaged in, mean 0 and variance 1 would raise the logits of 53 layers to hundreds."""
    net = build_model("resnet50", 10, seed=0)
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(8, 3, 64, 64, generator=generator), torch.arange(8)
    for step in range(2):
        set_atoms(net, Atoms(seed=0, step=step, first_group=0, groups=2))
        with torch.no_grad():
            trained = nn.functional.cross_entropy(net(x), labels)
            RunningStatistics(net).fold()
            evaluated = nn.functional.cross_entropy(net.eval()(x), labels)
        assert abs(evaluated - trained) < 2
        restored = build_model("resnet50", 10, seed=1)
        restored.load_state_dict(net.state_dict())
        net = restored


def test_layers_of_any_width_and_momentum_are_folded_as_each_alone():
    """The first without groups of its own, the last two in one step with more than one."""
    generator = torch.Generator().manual_seed(5)
    widths, momenta, groups = (3, 5, 2), (0.1, 0.3, 1.0), (0, 1, 4)
    layers = nn.ModuleList(
        GroupBatchNorm2d(width, momentum=momentum).double()
        for width, momentum in zip(widths, momenta, strict=True)
    )
    statistics = RunningStatistics(layers)
    for _ in range(2):
        expected = []
        for layer, count in zip(layers, groups, strict=True):
            layer.pending.copy_(torch.rand(len(layer.pending), generator=generator))
            layer.pending[-1] = count
            mean, variance = (layer.pending[:-1] / max(count, 1)).view(2, -1)
            share = max(float(layer.untouched), layer.momentum) if count else 0.0
            expected += [
                torch.lerp(layer.running_mean, mean, share),
                torch.lerp(layer.running_var, variance, share),
                torch.tensor(float(layer.untouched if count == 0 else 0), dtype=torch.float64),
                torch.zeros_like(layer.pending),
            ]
        statistics.fold()
        found = [
            tensor
            for layer in layers
            for tensor in (layer.running_mean, layer.running_var, layer.untouched, layer.pending)
        ]
        torch.testing.assert_close(found, expected)


def test_a_network_without_batch_norm_has_nothing_to_fold():
    statistics = RunningStatistics(nn.Linear(2, 2))
    statistics.fold()
    assert statistics.pending.numel() == 0


@given(cuts=st.sets(st.integers(1, GROUPS - 1)))
@settings(max_examples=15, deadline=None)
def test_micro_batches_change_nothing(cuts):
    edges = [0, *sorted(cuts), GROUPS]
    micro_batches = [b - a for a, b in itertools.pairwise(edges)]
    net, x = network(), images()
    statistics = RunningStatistics(net)
    whole = *run(net, x, [GROUPS]), statistics.pending.clone()
    statistics.fold()
    parts = *run(net, x, micro_batches), statistics.pending
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_planted_fault_batch_norm_per_micro_batch_is_seen():
    net, x = network(), images()
    reference, _ = run(net, x, [GROUPS])

    class PerMicroBatch(GroupBatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            self.groups = 1
            return super().forward(x)

    for module in net:
        if isinstance(module, GroupBatchNorm2d):
            module.__class__ = PerMicroBatch
    faulty, _ = run(net, x, [2, 4])
    assert not torch.allclose(faulty, reference, rtol=1e-6)


def test_planted_fault_dropout_from_a_local_generator_is_seen():
    net, x = network(), images()

    class Local(GroupDropout):
        def _mask(self, x: Tensor, groups: int) -> Tensor:
            generator = torch.Generator().manual_seed(int(self.key) % 2**62)
            kept = torch.rand(x.shape, generator=generator) >= self.p
            return kept.to(x.dtype) / (1 - self.p)

    for module in net:
        if isinstance(module, GroupDropout):
            module.__class__ = Local
    whole, _ = run(net, x, [GROUPS])
    parts, _ = run(net, x, [2, 4])
    assert not torch.allclose(whole, parts, rtol=1e-6)


def test_recomputed_statistics_do_not_depend_on_chunks_ranks_or_order():
    net, x = network(), images()

    def statistics(shares: list[list[Tensor]]) -> list[Tensor]:
        """Of ranks with one share each, one after another, and the sum that they would make."""
        total: list[Tensor] = []
        for share in shares:
            with calibrating(net, GROUP) as moments:
                for chunk in share:
                    net(chunk)
                if total:
                    torch._foreach_add_(moments, total)
                total = [m.clone() for m in moments]
        return [t for bn in (net[1], net[5]) for t in bn.calibrated]

    chunks = list(x.split(GROUP))
    whole = statistics([[x]])
    for shares in ([chunks], [chunks[::-1]], [chunks[:2], chunks[2:]], [[x[:8]], [x[8:]]]):
        for a, b in zip(whole, statistics(shares), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_recomputed_statistics_are_those_of_the_whole_set_and_leave_the_ema_alone():
    x = images()[:-2]  # The last group is smaller.
    layer = GroupBatchNorm2d(CHANNELS, affine=False).double()
    with calibrating(layer, GROUP):
        layer(x)
    layer.eval()
    expected = (x - x.mean((0, 2, 3), keepdim=True)) / torch.sqrt(
        x.var((0, 2, 3), correction=0, keepdim=True) + layer.eps
    )
    torch.testing.assert_close(layer(x), expected)
    assert layer.running_mean.eq(0).all()


def test_statistics_of_old_weights_are_dropped_when_training_goes_on():
    x, layer = images(), GroupBatchNorm2d(CHANNELS).double()
    with calibrating(layer, GROUP):
        layer(x)
    set_atoms(layer, Atoms(seed=0, step=0, first_group=0, groups=GROUPS))
    torch.testing.assert_close(layer.eval()(x), x / (1 + layer.eps) ** 0.5)


def test_calibrating_restores_the_mode_and_uses_no_dropout():
    net, x = network(), images()
    net.train()
    with calibrating(net, GROUP):
        torch.testing.assert_close(net(x), net(x))
    assert net.training


def mask(
    p: float = 0.5, *, seed: int = 1, step: int = 2, layer: int = 0, groups: int = 8
) -> Tensor:
    dropout = GroupDropout(p, layer=layer)
    set_atoms(dropout, Atoms(seed=seed, step=step, first_group=0, groups=groups))
    return dropout(torch.ones(groups * 32, 200))


@pytest.mark.parametrize("p", [0.1, 0.4, 0.5, 0.7])
def test_dropout_keeps_a_share_of_one_minus_p_and_the_mean(p):
    kept = (mask(p) > 0).double()
    n = kept.numel()
    assert abs(kept.mean() - (1 - p)) < 4 * (p * (1 - p) / n) ** 0.5
    # Rows and columns too: 4.5 standard deviations over 456 of them.
    for dim, m in ((0, len(kept)), (1, kept.shape[1])):
        assert (kept.mean(dim) - (1 - p)).abs().max() < 4.5 * (p * (1 - p) / m) ** 0.5
    torch.testing.assert_close(mask(p).max(), torch.tensor(1 / (1 - p)))


@pytest.mark.parametrize("change", [{"seed": 9}, {"step": 3}, {"layer": 1}])
def test_masks_of_other_seeds_steps_and_layers_are_independent(change):
    same = (mask() > 0) == (mask(**change) > 0)
    assert abs(same.double().mean() - 0.5) < 4 * 0.5 / same.numel() ** 0.5


def test_rows_of_a_mask_are_independent():
    rows = (mask() > 0).double() - 0.5
    correlation = rows @ rows.T / (0.25 * rows.shape[1])
    correlation.fill_diagonal_(0)
    assert correlation.abs().max() < 6 / rows.shape[1] ** 0.5


def test_golden_mask():
    kept = "".join("1" if v > 0 else "0" for v in mask(groups=1)[0, :32])
    assert kept == "01101110101011001011101100010010"


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_a_compiled_mask_is_the_same(p):
    """Compiled code and other devices take torch's operations, the CPU numpy's."""
    dropout = GroupDropout(p)
    set_atoms(dropout, Atoms(seed=1, step=2, first_group=3, groups=8))
    x = torch.ones(256, 200)
    compiled = torch.compile(dropout, backend="eager")
    torch.testing.assert_close(compiled(x), dropout(x), rtol=0, atol=0)


def test_no_generator_is_touched():
    before = torch.random.get_rng_state()
    mask()
    assert torch.equal(before, torch.random.get_rng_state())


def test_without_atoms_the_layers_are_those_of_torch():
    x = images()
    ours, theirs = GroupBatchNorm2d(CHANNELS).double(), nn.BatchNorm2d(CHANNELS).double()
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    torch.testing.assert_close(ours.running_var, theirs.running_var, rtol=0, atol=0)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=0)
    torch.manual_seed(0)
    dropped = GroupDropout(0.5)(x)
    torch.manual_seed(0)
    torch.testing.assert_close(dropped, nn.functional.dropout(x, 0.5))


def test_groups_that_do_not_divide_the_micro_batch_are_refused():
    for layer in (GroupBatchNorm2d(CHANNELS).double(), GroupDropout(0.5)):
        set_atoms(layer, Atoms(seed=0, step=0, first_group=0, groups=5))
        with pytest.raises(TrainError, match="5 groups, which do not divide 24 samples"):
            layer(images())


def test_no_groups_are_refused():
    with pytest.raises(TrainError, match="got 0; allowed: at least 1"):
        set_atoms(nn.Identity(), Atoms(seed=0, step=0, first_group=0, groups=0))
