import pytest
import torch

from halfmask.networks.translator import Translator


@pytest.mark.parametrize("shape", [(16, 16), (17, 21), (16, 16, 16), (5, 18, 9)])
def test_a_new_one_leaves_images_as_they_are_whatever_their_size(shape):
    x = torch.randn(2, 3, *shape)
    assert Translator(3, len(shape), width=4, blocks=1)(x).equal(x)


@pytest.mark.parametrize("dims", [2, 3])
def test_only_the_channels_that_differ_change_and_the_others_help(dims):
    torch.manual_seed(0)
    translator = Translator(3, dims, changed=(1,), width=4, blocks=1)
    torch.nn.init.normal_(translator.last.weight)
    x = torch.randn(2, 3, *(16,) * dims)
    other = x.clone()
    other[:, 2] += torch.randn_like(other[:, 2])
    out, moved = translator(x), translator(other)
    assert out[:, [0, 2]].equal(x[:, [0, 2]]) and not out[:, 1].equal(x[:, 1])
    assert not moved[:, 1].equal(out[:, 1])


def test_it_learns_another_contrast():
    """Bright becomes dark: what z-scored T1 and T2 differ in."""
    torch.manual_seed(0)
    translator = Translator(1, 2, width=8, blocks=1)
    optimizer = torch.optim.Adam(translator.parameters(), 3e-3)
    for _ in range(150):
        x = torch.nn.functional.interpolate(torch.randn(4, 1, 8, 8), scale_factor=4)
        loss = (translator(x) + x).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.5  # 1.6 for one that does nothing
