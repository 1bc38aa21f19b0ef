import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from halfmask.inference.sliding_window import gaussian, mirrored, sliding_window, windows

sides = lambda low, high: st.lists(st.integers(low, high), min_size=3, max_size=3)


def pointwise(x):
    """Three "probabilities" of each voxel by itself."""
    return torch.stack([x[:, 0], 1 - x[:, 0], x[:, 0] * x[:, 1]], 1)


@settings(max_examples=60, deadline=None)
@given(shape=sides(1, 20), patch=sides(1, 12), overlap=st.floats(0, 0.9), batch=st.integers(1, 5), flat=st.booleans())
def test_a_pointwise_network_gives_its_own_output(shape, patch, overlap, batch, flat):
    """On images larger and smaller than the patch, in 3D and slice by slice."""
    image = torch.rand(2, *shape)
    seen = []

    def predict(windows):
        seen.append(windows.shape)
        return pointwise(windows)

    patch = patch[1:] if flat else patch
    out = sliding_window(image, predict, patch=patch, overlap=overlap, batch=batch)
    torch.testing.assert_close(out, pointwise(image[None])[0], rtol=1e-4, atol=1e-5)
    assert all(s[0] <= batch and s[2:] == tuple(patch) for s in seen), "a network is given its patch, nothing else"


def test_padding_is_the_mean_of_normalized_images():
    seen = []
    sliding_window(torch.ones(1, 2, 3, 4), lambda x: (seen.append(x), x)[1], patch=(4, 4, 4))
    assert seen[0].sum() == 2 * 3 * 4
    assert seen[0][0, 0, 1:3, :3, :].all(), "on both sides alike"


def test_is_monais_where_windows_coincide():
    from monai.inferers import SlidingWindowInferer

    torch.manual_seed(0)
    conv = torch.nn.Conv3d(1, 3, 3, padding=1)  # sees the window's border, so weights matter
    network = lambda x: conv(x).softmax(1)
    image = torch.randn(1, 17, 25, 17)
    theirs = SlidingWindowInferer((9, 9, 9), overlap=0.5, mode="gaussian", sigma_scale=0.125, padding_mode="constant")
    with torch.no_grad():
        ours = sliding_window(image, network, patch=(9, 9, 9), overlap=0.5)
        torch.testing.assert_close(ours, theirs(image[None], network)[0], atol=1e-5, rtol=1e-4)
        plain = network(image[None])[0]
    inner = (slice(None), *(slice(1, -1),) * 3)
    assert (ours - plain)[inner].abs().max() > 1e-3, "else the test says nothing of the weights"


@pytest.mark.parametrize("size", [(1, 7, 8), (5, 6), (48, 48, 48)])
def test_weights_are_positive_symmetric_and_highest_in_the_middle(size):
    weight = gaussian(size)
    assert weight.shape == size
    assert weight.min() >= 1e-3
    assert weight.max() == 1
    torch.testing.assert_close(weight, weight.flip(tuple(range(len(size)))))
    assert weight[tuple(n // 2 for n in size)] == weight.max()


@pytest.mark.parametrize("flips", [(True, True, True), (False, True, False), (False, False, False)])
def test_mirroring_changes_nothing_for_what_does_not_mind(flips):
    x = torch.randn(2, 1, 4, 5, 6)
    smooth = lambda x: torch.nn.functional.avg_pool3d(x, 3, 1, 1)
    torch.testing.assert_close(mirrored(smooth, flips)(x), smooth(x))


@pytest.mark.parametrize("flips", [(True, False), (False, True), (False, False), (True, True)])
def test_forbidden_axes_are_never_mirrored(flips):
    """A network that answers with the place in its window: only allowed axes come out averaged."""
    x = torch.zeros(1, 1, 4, 6)
    ramps = [torch.linspace(0, 1, n) for n in (4, 6)]
    place = lambda x: torch.stack(torch.meshgrid(*ramps, indexing="ij"))[None]
    seen = mirrored(place, flips)(x)[0]
    for axis, allowed in enumerate(flips):
        expected = torch.full((4, 6), 0.5) if allowed else place(x)[0, axis]
        torch.testing.assert_close(seen[axis], expected)


def test_without_overlap_a_large_picture_is_twelve_tiles_and_stitched_again():
    """S4MI's 1408×1876 pixels in tiles of 480, at a tenth of the size; at the edges tiles overlap, where it pads."""
    image, seen = torch.randn(3, 1, 141, 188), []

    def tile(windows):
        seen.extend(windows)
        return windows

    stitched = sliding_window(image, tile, patch=(48, 48), overlap=0, batch=5)
    torch.testing.assert_close(stitched, image)
    assert len(seen) == 12 and {tuple(t.shape) for t in seen} == {(3, 48, 48)}


@pytest.mark.parametrize("patch", [(5, 4, 6), (6, 5)], ids=["3d", "2d"])
@pytest.mark.parametrize("batch", [1, 4, 1000])
def test_who_is_to_see_the_whole_image_sees_its_windows_once_in_batches_that_are_spread(patch, batch):
    image, visited = torch.randn(2, 11, 12, 3), []
    sliding_window(image, lambda x: (visited.extend(x), x)[1], patch=patch)
    seen = list(windows(image, patch=patch, batch=batch))
    assert sorted(w.flatten().tolist() for b in seen for w in b) == sorted(w.flatten().tolist() for w in visited)
    sizes = [len(b) for b in seen]
    assert max(sizes) <= batch and max(sizes) - min(sizes) <= 1
    assert all(torch.equal(a, b) for a, b in zip(seen, windows(image, patch=patch, batch=batch), strict=True))
    if batch == 4:
        ordered = [w.flatten().tolist() for w in visited]
        for b in seen:
            places = sorted(ordered.index(w.flatten().tolist()) for w in b)
            assert places[-1] - places[0] > len(visited) / 2


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_an_overlap_that_is_none(overlap):
    with pytest.raises(ValueError, match=r"overlap lies in \[0, 1\), got"):
        sliding_window(torch.zeros(1, 4, 4, 4), pointwise, patch=(2, 2, 2), overlap=overlap)


def test_weights_serve_inside_and_outside_of_inference_mode():
    """They are kept between calls; tensors born in inference mode would break a gradient later."""
    gaussian.cache_clear()
    with torch.inference_mode():
        sliding_window(torch.zeros(1, 4, 4, 4), lambda x: x, patch=(4, 4, 4))
    image = torch.ones(1, 4, 4, 4, requires_grad=True)
    sliding_window(image, lambda x: x, patch=(4, 4, 4)).sum().backward()
    torch.testing.assert_close(image.grad, torch.ones_like(image))
