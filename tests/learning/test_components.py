import torch

from halfmask.learning.components import largest_components


def test_the_largest_component_of_each_class_and_image_stays():
    label = torch.tensor([[[1, 1, 0, 2], [0, 0, 0, 2], [1, 0, 0, 0], [1, 1, 0, 2]], [[0] * 4] * 4])
    clean = torch.tensor([[[0, 0, 0, 2], [0, 0, 0, 2], [1, 0, 0, 0], [1, 1, 0, 0]], [[0] * 4] * 4])
    assert largest_components(label, 3).equal(clean)
    diagonal = torch.eye(4, dtype=torch.long)[None]  # corners hold together
    assert largest_components(diagonal, 2).equal(diagonal)


def test_regions_by_themselves_in_3d():
    label = torch.zeros(2, 2, 4, 4, 4, dtype=torch.long)
    label[:, 0, :2] = 1
    label[:, :, 3, 3, 3] = 1
    clean = label.clone()
    clean[:, 0, 3] = 0
    assert largest_components(label, 2, exclusive=False).equal(clean)
