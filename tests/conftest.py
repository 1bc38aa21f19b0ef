import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors are slower on more

import functools

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """A made-up data set: one case sealed, five with labels, two without."""
    from halfmask.data.phantom import make_phantoms

    folder = tmp_path_factory.mktemp("cohort") / "data"
    return make_phantoms(folder, subjects=8, labeled=5, test=1, shape=(32, 36, 32))


@pytest.fixture(scope="session")
def prepared(cohort, tmp_path_factory):
    """The cohort's store, 2D or 3D, with patches so small that a step takes milliseconds: ``prepared(2)``."""
    from halfmask.data.layouts import read_index
    from halfmask.data.plan import read_plan, write_plan
    from halfmask.data.prepare import prepare

    @functools.cache
    def store(dims):
        out = tmp_path_factory.mktemp("stores") / f"{dims}d"
        plan = prepare(read_index(cohort), out, dims=dims).plan
        small = {"patch": (16,) * dims, "pooling": [(2,) * dims] * 2, "kernels": [(3,) * dims] * 3, "labeled": 2}
        write_plan(
            plan.model_copy(update={**small, "unlabeled": 2, "network_settings": {"width": 4}}), out / "plan.yaml"
        )
        assert read_plan(out / "plan.yaml").patch == small["patch"]
        return prepare(read_index(cohort), out, dims=dims)

    return store
