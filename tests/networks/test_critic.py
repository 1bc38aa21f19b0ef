import pytest
import torch

from halfmask.networks.critic import Critic, ScaleCritic


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


@pytest.mark.parametrize("dims", [2, 3])
def test_spectral_norm_bounds_how_fast_scores_change(dims):
    """However large the weights become, each layer's kernel, as a matrix, has a largest singular value of about 1."""
    torch.manual_seed(0)
    small = {"width": 4, "spectral": True}
    for critic in (Critic(3, dims, levels=2, **small), ScaleCritic([3, 5], dims, **small)):
        convs = [m for m in critic.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d)]
        with torch.no_grad():
            for conv in convs:
                conv.parametrizations.weight.original.mul_(100)
        sides = [(2, 3, *(16,) * dims), (2, 5, *(8,) * dims)]
        judged = [torch.randn(side) for side in (sides if isinstance(critic, ScaleCritic) else sides[:1])]
        for _ in range(50):
            critic.places(*judged)
        for conv in convs:
            assert torch.linalg.matrix_norm(conv.weight.flatten(1), 2) < 1.05


@pytest.mark.parametrize("dims", [2, 3])
def test_a_critic_of_scales_sees_each_of_them(dims):
    """With sides that do not halve evenly, as of anisotropic images."""
    torch.manual_seed(0)
    critic = ScaleCritic([4, 6, 8], dims, width=4)
    maps = [torch.randn(2, width, *(side,) * dims) for width, side in ((4, 15), (6, 8), (8, 3))]
    scores = critic.places(*maps)
    assert scores.shape == (2, *(3,) * dims)
    for level in range(3):
        other = [m + torch.randn_like(m) * (k == level) for k, m in enumerate(maps)]
        assert not critic.places(*other).equal(scores)
    torch.testing.assert_close(critic.places(*[m[:1] for m in maps]), scores[:1])
