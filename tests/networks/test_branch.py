import torch

from halfmask import testing
from halfmask.networks.branch import Branch, level_heads


def test_a_branch_decodes_as_the_network_does_that_it_is_of():
    torch.manual_seed(0)
    net, x = testing.small(2)(), testing.some_batch(2).image
    branch = Branch(net)
    torch.testing.assert_close(branch(net.encode(x)), net(x))
    assert {name.partition(".")[0] for name, _ in branch.named_parameters()} == {"decoder", "head"}


def test_each_coarser_level_has_a_head_for_its_width():
    net = testing.small(3)()
    maps = net.decode(net.encode(testing.some_batch(3).image))
    heads = level_heads(net)
    assert len(heads) == len(maps) - 1 and len(level_heads(net, 1)) == 0 and len(level_heads(net, 9)) == len(heads)
    for head, map_ in zip(heads, maps[1:], strict=True):
        assert head(map_).shape == (len(map_), testing.CLASSES, *map_.shape[2:])
