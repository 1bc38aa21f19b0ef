"""Where classifiers look: maps of networks small enough to know what they must be."""

import pytest
import torch
from torch import nn

from halfmask.inference import saliency
from halfmask.methods.classification.classification import Classification
from halfmask.networks.factory import Builder

RESNET = dict(width=4, blocks=(1, 1, 1, 1))
VIT = dict(hidden_size=12, layers=3, heads=2, token=8)


def method(name, dims=2, **settings):
    builder = Builder(name, channels=2, classes=3, dims=dims, patch=(32,) * dims, settings=settings)
    made = Classification(builder).eval()
    for p in made.head.parameters():
        p.data.normal_()
    return made


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("name", "settings", "kinds"), [
    ("resnet18", RESNET, {"gradient", "grad_cam"}), ("vit_ti16", VIT, {"gradient", "rollout"}),
])  # fmt: skip
def test_maps_have_the_images_shape_and_are_0_or_more(name, settings, kinds, dims):
    made, side = method(name, dims, **settings), 64 if name == "resnet18" else 32
    image = torch.randn(2, 2, *(side,) * dims)
    maps = saliency.maps(made, image)
    assert set(maps) == kinds
    for values in maps.values():
        assert values.shape == (2, *(side,) * dims) and values.dtype == torch.float32
        assert values.min() >= 0 and values.flatten(1).std(1).min() > 0 and not values.requires_grad
    assert all(p.grad is None for p in made.parameters()), "looking leaves nothing behind"


def test_the_gradient_of_a_linear_score_is_its_weights():
    class Linear(nn.Module):
        def logits(self, image):
            return torch.stack([(image * weights).sum((1, 2, 3)), image.sum((1, 2, 3)) - 1e6], 1)

    weights = torch.randn(2, 4, 4)
    found = saliency.gradient(Linear(), torch.randn(3, 2, 4, 4))
    torch.testing.assert_close(found, weights.abs().amax(0).expand(3, 4, 4))


def test_grad_cam_against_slow_loops():
    """With weights to which the mean feature is nothing, some places speak for the class and others against it."""
    made, decided = method("resnet18", **RESNET), 1
    image = torch.randn(1, 2, 64, 64)
    with torch.no_grad():
        features = made.student.encode(image)[-1][0]
        mean = features.mean((1, 2))
        made.head[1].weight -= torch.outer(made.head[1].weight @ mean, mean) / (mean @ mean)
        made.head[1].bias.copy_(torch.tensor([0.0, 1.0, 0.5]))
    slope = made.head[1].weight[decided].detach() / features[0].numel()  # of the mean, at each place
    cam = torch.zeros(2, 2)
    for row in range(2):
        for column in range(2):
            cam[row, column] = max(0.0, float(sum(slope[f] * features[f, row, column] for f in range(len(features)))))
    assert cam.min() == 0 < cam.max()
    expected = torch.nn.functional.interpolate(cam[None, None], (64, 64), mode="bilinear")[0]
    torch.testing.assert_close(saliency.grad_cam(made, image), expected, rtol=1e-3, atol=1e-5)


def test_rollout_follows_the_attention_through_all_blocks():
    """Two blocks, by hand: the share of each patch that reaches the class token."""
    made = method("vit_ti16", **VIT | {"layers": 2})
    image = torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        first, second = (a.mean(1)[0] for a in made.student.attentions(image))
    one, two = ((a + torch.eye(17)) / 2 for a in (first, second))
    reached = [sum(float(two[0, k] * one[k, patch]) for k in range(17)) for patch in range(1, 17)]
    expected = torch.nn.functional.interpolate(torch.tensor(reached).view(1, 1, 4, 4), (32, 32), mode="bilinear")[0]
    torch.testing.assert_close(saliency.rollout(made, image), expected)


def test_tokens_that_attend_to_all_alike_look_everywhere():
    made = method("vit_ti16", **VIT)
    for block in made.student.encoder.blocks:
        block.attn.qkv.weight.data.zero_()
        block.attn.qkv.bias.data.zero_()
    found = saliency.rollout(made, torch.randn(1, 2, 32, 32))
    torch.testing.assert_close(found, found.mean().expand_as(found))


def test_grad_cam_finds_what_a_network_has_learned_to_look_at():
    """A bright or a dark square somewhere tells the class: the map is highest on it."""
    torch.manual_seed(0)
    pooling, kernels = [(1, 1), (2, 2), (2, 2)], [(3, 3)] * 3
    builder = Builder("unet", channels=1, classes=2, dims=2, patch=(48, 48), pooling=pooling, kernels=kernels,
                      settings={"width": 4, "norm": "batch"})  # fmt: skip
    made = Classification(builder)
    optimizer = torch.optim.Adam(made.parameters(), 1e-2)

    def squares(count):
        image, inside = 0.3 * torch.randn(count, 1, 48, 48), torch.zeros(count, 48, 48, dtype=torch.bool)
        label = torch.arange(count) % 2
        for n in range(count):
            row, column = torch.randint(0, 36, (2,)).tolist()
            inside[n, row : row + 12, column : column + 12] = True
        return image + (4.0 * label.view(-1, 1, 1, 1) - 2) * inside[:, None], label, inside

    for _ in range(40):
        image, label, _ = squares(16)
        optimizer.zero_grad()
        nn.functional.cross_entropy(made.logits(image), label).backward()
        optimizer.step()
    image, label, inside = squares(40)
    made.eval()
    assert (made.predict(image).argmax(1) == label).all()
    found = saliency.grad_cam(made, image)
    pointing = [inside[n].flatten()[found[n].argmax()] for n in range(40)]
    assert sum(pointing) > 15, "two or three of forty by chance"
