"""Whole images as networks are shown them in use, and maps of where these looked."""

import numpy as np
import pytest
import torch
from PIL import Image

from halfmask import verbs
from halfmask.data.formats import read
from halfmask.data.layouts import read_images
from halfmask.data.load import Loader
from halfmask.data.sample import Stream
from halfmask.data.store import Store
from halfmask.inference.classify import ClassPredictor, classify_cases


def spotted(folder):
    """Dark pictures of 40×64 pixels with a bright spot, at the left where the number is even, else at the right."""
    (folder / "images").mkdir(parents=True)
    for number in range(8):
        image = np.random.default_rng(number).integers(20, 60, (40, 64, 3)).astype(np.uint8)
        image[12:28, slice(44, 60) if number % 2 else slice(4, 20)] = 220
        Image.fromarray(image).save(folder / f"images/p{number}.png")
    rows = [f"p{n},images/p{n}.png,{'right' if n % 2 else 'left'}" for n in range(8)]
    (folder / "cases.csv").write_text("\n".join(["case,image,class", *rows]) + "\n")
    return folder


@pytest.fixture
def store(tmp_path):
    verbs.prepare(spotted(tmp_path / "data"), out=tmp_path / "store", workers=1, test=0)
    return Store(tmp_path / "store")


def test_networks_are_shown_in_use_what_they_were_trained_on(store):
    """A picture that does not fill the patch, in the middle of the same surroundings."""
    cases = [store.case(name) for name in store.stored]
    stream = Stream(cases, patch=(1, *store.plan.patch), margin=(0, 0, 0), size=8, seed=0, name="labeled", labeled=True)
    (batch,) = Loader(stream, None, dims=2, device=torch.device("cpu"), threads=0).batches(0, 1)
    predictor = ClassPredictor(lambda x: x, store.plan, torch.device("cpu"))
    assert cases[0].shape[1:] != store.plan.patch
    for number, image in zip(batch.labeled.case.tolist(), batch.labeled.image, strict=True):
        shown = predictor.framed(cases[number].normalized())
        torch.testing.assert_close(shown, image, rtol=1e-4, atol=0.01)  # but for the surroundings' gray value


def test_maps_are_of_their_own_case_and_reach_255(store, tmp_path):
    """Beside one that cannot be read."""
    data = tmp_path / "data"
    (data / "images/p1.png").write_bytes(b"no picture")
    look = lambda image: {"bright": 1e-3 * image[:, 0]}
    predict = lambda image: torch.full((len(image), 2), 0.5)
    predictor = ClassPredictor(predict, store.plan, torch.device("cpu"), look=look)
    found = classify_cases(read_images(data / "images", channels=3), predictor, tmp_path / "maps")
    assert found.names == [f"p{n}" for n in (0, 2, 3, 4, 5, 6, 7)] and len(found.failed) == 1
    assert found.probability.shape == (7, 2) and "p1" in found.failed[0]
    assert not list((tmp_path / "maps/bright").glob("p1*"))
    for name in found.names:
        (values,), _ = read(tmp_path / f"maps/bright/{name}.png")
        left, right = values[0, :, :32], values[0, :, 32:]
        assert values.shape == (1, 40, 64) and values.max() == 255
        assert (left.max() < right.max()) == (int(name[1]) % 2 == 1)
