"""Intensity transforms against their formulas elsewhere, and that nothing drawn changes nothing."""

import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F

from halfmask.augment import intensity
from halfmask.augment.draw import bias_knots, factor, histogram_levels, sometimes, uniform

SHAPES = [(20, 17), (12, 10, 9)]
QUARTERS = torch.tensor([0.25, 0.5, 0.75])

# Every transform with its neutral parameters and with random ones of size (B, C).
TRANSFORMS = {
    "noise": (
        intensity.noise,
        lambda size, dims: torch.zeros(size),
        lambda size, dims: uniform(size, 0.1, 1),
    ),
    "brightness": (intensity.brightness, lambda s, d: torch.ones(s), lambda s, d: factor(s, 0.5, 2)),
    "shift": (intensity.shift, lambda s, d: torch.zeros(s), lambda s, d: uniform(s, -1, 1)),
    "contrast": (intensity.contrast, lambda s, d: torch.ones(s), lambda s, d: factor(s, 0.5, 2)),
    "gamma": (intensity.gamma, lambda s, d: torch.ones(s), lambda s, d: factor(s, 0.5, 2)),
    "blur": (intensity.blur, lambda s, d: torch.zeros(s), lambda s, d: uniform(s, 0.5, 2)),
    "low_resolution": (
        intensity.low_resolution,
        lambda s, d: torch.ones(s),
        lambda s, d: uniform(s, 0.4, 0.9),
    ),
    "bias_field": (intensity.bias_field, lambda s, d: torch.zeros(*s, *[5] * d), bias_knots),
    "histogram_shift": (
        intensity.histogram_shift,
        lambda s, d: QUARTERS.expand(*s, 3),
        lambda s, d: histogram_levels(s),
    ),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_channel_is_changed_by_its_own_parameter_or_left_bit_for_bit(name, shape):
    transform, neutral, drawn = TRANSFORMS[name]
    x, size, dims = torch.randn(3, 2, *shape), (3, 2), len(shape)
    assert torch.equal(transform(x, neutral(size, dims)), x)
    parameter = drawn(size, dims)
    parameter[1], parameter[2, 0] = neutral(size, dims)[1], neutral(size, dims)[2, 0]
    out = transform(x, parameter)
    assert torch.equal(out[1], x[1])
    assert torch.equal(out[2, 0], x[2, 0])
    for i, c in ((0, 0), (0, 1), (2, 1)):
        assert not torch.equal(out[i, c], x[i, c])
        if name != "noise":  # which draws at each call
            alone = transform(x[i : i + 1, c : c + 1], parameter[i : i + 1, c : c + 1])
            torch.testing.assert_close(alone[0, 0], out[i, c])
    assert out.isfinite().all()
    assert transform(torch.ones(3, 2, *shape), parameter).isfinite().all()  # a constant image


def test_noise_has_the_variance_asked_for_and_noisy_is_clipped():
    x = torch.zeros(2, 1, 300, 300)
    out = intensity.noise(x, torch.tensor([[0.5], [2.0]]))
    torch.testing.assert_close(out.flatten(1).std(1), torch.tensor([0.5, 2.0]), rtol=0.02, atol=0)
    noisy = intensity.noisy(x, 0.1)
    assert 0.19 < noisy.abs().max() <= 0.2
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(intensity.noisy(x, 0.0), x)


@pytest.mark.parametrize("shape", SHAPES)
def test_blur_is_that_of_scipy(shape):
    x = torch.randn(3, 1, *shape)
    sigma = torch.tensor([[0.6], [1.0], [2.3]])
    for one, s, out in zip(x, sigma, intensity.blur(x, sigma), strict=True):
        expected = scipy.ndimage.gaussian_filter(one[0].numpy(), s.item(), mode="nearest")
        torch.testing.assert_close(out[0], torch.from_numpy(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("zoom", [0.5, 0.63, 0.9])
def test_low_resolution_is_down_nearest_and_up_linear(shape, zoom):
    x = torch.randn(2, 2, *shape)
    coarse = F.interpolate(x, [round(zoom * n) for n in shape], mode="nearest-exact")
    expected = F.interpolate(coarse, shape, mode="bilinear" if len(shape) == 2 else "trilinear")
    torch.testing.assert_close(intensity.low_resolution(x, zoom), expected, atol=1e-5, rtol=0)


def test_low_resolution_spares_thick_slices():
    x = torch.randn(1, 1, 8).view(1, 1, 8, 1, 1).expand(1, 1, 8, 10, 10)
    torch.testing.assert_close(intensity.low_resolution(x, 0.5, axes=(False, True, True)), x)


def test_histogram_shift_is_linear_interpolation_between_control_points():
    x, levels = torch.randn(4, 2, 16, 16), histogram_levels((4, 2))
    out = intensity.histogram_shift(x, levels)
    for one, level, image in zip(x.flatten(0, 1), levels.flatten(0, 1), out.flatten(0, 1), strict=True):
        low, span = one.min().item(), (one.max() - one.min()).item()
        expected = np.interp((one - low) / span, np.linspace(0, 1, 5), [0, *level.tolist(), 1]) * span + low
        torch.testing.assert_close(image, torch.from_numpy(expected).float(), atol=1e-4, rtol=0)


def test_histogram_levels_rise_and_half_of_them_bend_once():
    levels = histogram_levels((2000, 1))[:, 0]
    assert (F.pad(levels, (1, 1), value=0)[:, :-1].diff(dim=1) >= 0).all()
    assert (levels <= 1).all()
    once = (levels[:, 0] - levels[:, 1] / 2).abs() < 1e-6
    assert 0.45 < once.float().mean() < 0.55


@pytest.mark.parametrize("inverted", [False, True])
def test_gamma_bends_one_end_and_keeps_mean_and_sd(inverted):
    x = torch.linspace(-2, 3, 400).view(1, 1, 20, 20)
    out = intensity.gamma(x, 2.0, inverted)
    torch.testing.assert_close(out.mean(), x.mean(), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(), x.std(), atol=1e-4, rtol=0)
    steps = out.flatten().diff()
    assert (steps > 0).all()  # order stays
    assert (steps[0] < steps[-1]) == (not inverted)
    unit = (x + 2) / 5
    bent = 1 - (1 - unit) ** 2 if inverted else unit**2
    expected = (bent - bent.mean()) / bent.std() * x.std() + x.mean()
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=0)


def test_contrast_keeps_mean_and_range():
    x = torch.randn(1, 1, 30, 30)
    softer = intensity.contrast(x, 0.5)
    torch.testing.assert_close(softer, (x - x.mean()) * 0.5 + x.mean())
    harder = intensity.contrast(x, 2.0)
    assert torch.equal(harder.amax(), x.amax())
    assert torch.equal(harder.amin(), x.amin())


def test_a_bias_field_is_smooth_and_leaves_the_darkest_dark():
    x = torch.rand(2, 1, 24, 24, 24) + 1
    x[:, :, 0, 0, 0] = 0
    out = intensity.bias_field(x, bias_knots((2, 1), 3, strength=0.5))
    field = (out[:, :, 1:] / x[:, :, 1:]).log()
    assert field.abs().max() <= 0.5 + 1e-4
    assert field.diff(dim=-1).abs().max() < 0.1
    assert field.std() > 0.02
    assert (out[:, :, 0, 0, 0] == 0).all()


def test_parameters_are_drawn_as_often_and_as_far_as_asked():
    values = factor((4000, 2), 0.7, 1.5)
    assert values.min() >= 0.7
    assert values.max() <= 1.5
    assert 0.47 < (values < 1).float().mean() < 0.53
    some = sometimes(torch.ones(4000, 2), 0.3, 0.0)
    assert torch.equal(some[:, 0], some[:, 1])  # by sample
    assert 0.27 < some.mean() < 0.33
    channels = sometimes(torch.ones(4000, 2), 0.3, 0.0, each=0.5)
    assert 0.13 < channels.mean() < 0.17
    assert not torch.equal(channels[:, 0], channels[:, 1])
