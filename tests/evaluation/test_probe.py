import itertools

import numpy as np
import pytest
import torch

from halfmask import testing
from halfmask.data.batch import IGNORE, Images
from halfmask.evaluation.probe import Probe, accuracies, commonest, effective_rank, probed_level


def test_effective_rank_counts_directions():
    torch.manual_seed(0)
    independent = torch.linalg.qr(torch.randn(64, 64)).Q[:, 1:6]
    independent = independent - independent.mean(0)
    assert effective_rank(torch.randn(5000, 7)) == pytest.approx(7, abs=0.05)
    assert effective_rank(torch.randn(50, 1) @ torch.randn(1, 7) + 3) == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.full((50, 7), 1e8) + 0.0) == 1
    assert effective_rank(1e-20 * torch.randn(5000, 7)) == pytest.approx(7, abs=0.05)  # a scale is no collapse
    assert np.isnan(effective_rank(torch.randn(50, 7) / torch.arange(7)))  # 1 / 0: training has broken down
    values = np.linalg.svd(independent.double().numpy(), compute_uv=False) ** 2
    share = values / values.sum()
    assert effective_rank(independent) == pytest.approx(np.exp(-(share * np.log(share)).sum()), abs=1e-4)


@pytest.mark.parametrize("stride", [(2, 2), (1, 4), (2, 1, 4)])
def test_the_commonest_class_of_a_cell_leaves_out_what_nobody_annotated(stride):
    torch.manual_seed(0)
    label = torch.randint(0, 3, (3, *(8,) * len(stride)))
    label[torch.rand(label.shape) < 0.6] = IGNORE
    found = commonest(label, stride)
    for image, *cell in itertools.product(range(3), *(range(8 // s) for s in stride)):
        part = label[(image, *(slice(c * s, (c + 1) * s) for c, s in zip(cell, stride, strict=True)))]
        counts = [(part == k).sum().item() for k in range(3)]
        expected = int(np.argmax(counts)) if max(counts) else IGNORE
        assert found[(image, *cell)] == expected


def test_probes_know_what_features_tell_and_nothing_else():
    torch.manual_seed(0)
    truth = torch.randint(0, 3, (300,))
    told = torch.nn.functional.one_hot(truth, 3) + 0.1 * torch.randn(300, 3)
    found = accuracies(told[:200], truth[:200], told[200:], truth[200:])
    assert found == {"k-NN": 1.0, "linear": 1.0}
    noise = torch.randn(300, 3)
    assert all(0.15 < a < 0.5 for a in accuracies(noise[:200], truth[:200], noise[200:], truth[200:]).values())
    assert accuracies(told[:200] / 0, truth[:200], told[200:], truth[200:]) == {}
    one = torch.zeros(200, dtype=torch.long)
    assert accuracies(told[:200], one, told[200:], truth[200:]) == {}  # one class: nothing to tell apart
    few = accuracies(told[:9], truth[:9], told[9:], truth[9:])  # fewer than the neighbors
    assert few.keys() == {"k-NN", "linear"}


def test_the_level_probed_is_neither_too_coarse_nor_missing():
    assert probed_level([(1, 1), (2, 2), (4, 4), (8, 8), (16, 16)]) == 2
    assert probed_level([(1, 1, 1), (1, 2, 2), (2, 4, 4), (4, 16, 16)]) == 2
    assert probed_level([(16, 16)]) == 0


@pytest.mark.parametrize("dims", [2, 3])
def test_collapsed_features_are_told_once(dims, capsys):
    torch.manual_seed(0)
    network = testing.small(dims).encoder().eval()
    batch = testing.some_batch(dims, labeled=6, unlabeled=6)
    probe = Probe(batch.unlabeled, batch.labeled, testing.some_batch(dims, labeled=6).labeled)
    figures = probe.look(network)
    assert 1.5 < figures["rank"] <= 5
    assert 0.2 < figures["k-NN accuracy"] <= 1 and 0.2 < figures["linear accuracy"] <= 1
    assert capsys.readouterr().err == ""
    for p in network.parameters():
        torch.nn.init.zeros_(p)
    assert probe.look(network)["rank"] == probe.look(network)["rank"] == 1
    assert capsys.readouterr().err.count("they have collapsed") == 1


def test_regions_and_crops_without_labels_can_be_looked_at():
    torch.manual_seed(0)
    network = testing.small(2).encoder().eval()
    regions = [testing.some_batch(2, exclusive=False, labeled=6).labeled for _ in range(2)]
    assert "linear accuracy" in Probe(regions[0], *regions).look(network)
    empty = regions[0].with_(label=torch.full((6, 16, 16), IGNORE))
    assert isinstance(empty, Images)
    assert Probe(regions[0], empty, regions[1]).look(network).keys() == {"rank"}
    assert Probe(regions[0]).look(network).keys() == {"rank"}
