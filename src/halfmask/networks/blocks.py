"""Convolutions with normalization and nonlinearity, in 2D and 3D from one code."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from halfmask.networks.levels import Shape

Norm = Literal["instance", "batch"]
Dropout = Annotated[float, Field(ge=0, lt=1)]

CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
AVERAGE: dict[int, type[nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
MAXIMUM: dict[int, type[nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
DROPOUT: dict[int, type[nn.Module]] = {2: nn.Dropout2d, 3: nn.Dropout3d}
NORM: dict[tuple[Norm, int], type[nn.Module]] = {
    ("instance", 2): nn.InstanceNorm2d,
    ("instance", 3): nn.InstanceNorm3d,
    ("batch", 2): nn.BatchNorm2d,
    ("batch", 3): nn.BatchNorm3d,
}


def normalized(conv: nn.Module, width: int, dims: int, *, norm: Norm, slope: float | None = 0.01) -> nn.Sequential:
    """A convolution, its norm (with scale and shift) and leaky ReLU; slope 0 is ReLU, None none at all."""
    layers = OrderedDict(conv=conv, norm=NORM[norm, dims](width, affine=True))
    if slope is not None:
        layers["nonlinearity"] = nn.LeakyReLU(slope, inplace=True)
    return nn.Sequential(layers)


def conv_block(
    dims: int,
    inputs: int,
    width: int,
    kernel: Shape,
    stride: Shape | int = 1,
    *,
    norm: Norm,
    slope: float | None = 0.01,
    bias: bool = True,
) -> nn.Sequential:
    """Convolution, norm, leaky ReLU; the output has the input's shape divided by the stride."""
    padding = tuple((size - 1) // 2 for size in kernel)
    conv = CONV[dims](inputs, width, kernel, stride, padding, bias=bias)
    return normalized(conv, width, dims, norm=norm, slope=slope)


def conv_blocks(
    count: int,
    dims: int,
    inputs: int,
    width: int,
    kernel: Shape,
    stride: Shape | int = 1,
    *,
    norm: Norm,
    slope: float | None = 0.01,
) -> list[nn.Module]:
    """``count`` convolution blocks; the first changes the width and takes the stride."""
    first = conv_block(dims, inputs, width, kernel, stride, norm=norm, slope=slope)
    rest = (conv_block(dims, width, width, kernel, norm=norm, slope=slope) for _ in range(count - 1))
    return [first, *rest]


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut that averages where it strides and projects where the width changes.

    ResNet-D's basic block (He et al., CVPR 2019, arXiv:1812.01187) as in nnU-Net's residual encoder. The last
    norm starts at zero (see `he_normal`), so a new block is its shortcut.
    """

    def __init__(self, dims: int, inputs: int, width: int, kernel: Shape, stride: Shape | int = 1, *, norm: Norm):
        super().__init__()
        self.conv1 = conv_block(dims, inputs, width, kernel, stride, norm=norm)
        self.conv2 = conv_block(dims, width, width, kernel, norm=norm, slope=None)
        shortcut: list[nn.Module] = [] if stride in (1, (1,) * dims) else [AVERAGE[dims](stride)]
        if inputs != width:
            shortcut.append(conv_block(dims, inputs, width, (1,) * dims, norm=norm, slope=None, bias=False))
        self.skip = nn.Sequential(*shortcut)
        self.nonlinearity = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.nonlinearity(self.conv2(self.conv1(x)) + self.skip(x))


def residual_blocks(
    count: int, dims: int, inputs: int, width: int, kernel: Shape, stride: Shape | int = 1, *, norm: Norm
) -> list[nn.Module]:
    """``count`` residual blocks; the first changes the width and takes the stride."""
    first = ResidualBlock(dims, inputs, width, kernel, stride, norm=norm)
    return [first, *(ResidualBlock(dims, width, width, kernel, norm=norm) for _ in range(count - 1))]


def feature_dropout(dims: int, rate: float) -> list[nn.Module]:
    """Dropout of whole feature maps, or nothing: at rate 0 torch would still draw the noise."""
    return [DROPOUT[dims](rate)] if rate else []


def he_normal(module: nn.Module) -> None:
    """nnU-Net's initial weights, for ``network.apply``: He et al., ICCV 2015, arXiv:1502.01852; biases 0."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, ResidualBlock):
        nn.init.zeros_(module.conv2[1].weight)  # type: ignore[arg-type]
