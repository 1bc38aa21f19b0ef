import pytest
import torch

from halfmask.networks.critic import Critic


@pytest.mark.parametrize("shape", [(16, 16), (224, 224), (17, 1), (16, 16, 16), (1, 40, 23)])
def test_any_size_will_do(shape):
    critic = Critic(3, len(shape), width=4)
    x = torch.randn(2, 3, *shape)
    assert critic(x).shape == (2,) and critic.voxelwise(x).shape == (2, *shape)


@pytest.mark.parametrize("dims", [2, 3])
def test_images_are_judged_one_by_one_and_voxels_by_what_is_near(dims):
    torch.manual_seed(0)
    critic = Critic(3, dims, width=4, levels=2)
    x = torch.randn(3, 3, *(32,) * dims)
    torch.testing.assert_close(critic(x)[:1], critic(x[:1]))
    other = x.clone()
    other[..., 24:] = 0
    differ = (critic.voxelwise(x) - critic.voxelwise(other)).abs()
    assert differ[..., 26:].mean() > 10 * differ[..., :14].max()
    # The score of an image is the mean of its places, so that images of any size are judged alike.
    torch.testing.assert_close(critic(x), critic.layers(x).flatten(1).mean(1))
