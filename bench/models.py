"""The models of the measurements in PyTorch: layer for layer those of mmcls, so that both sides compute the same.

Every row of ROWS has a config of the same name in bench/configs.
"""

from dataclasses import dataclass
from typing import Callable

import torch
from torch import nn


def conv_bn(cin, cout, size, stride=1, groups=1, act=nn.ReLU):
    """mmcv's ConvModule: convolution without bias, batch normalization, activation."""
    layers = [
        nn.Conv2d(cin, cout, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(cout),
    ]
    if act is not None:
        layers.append(act(inplace=True))
    return nn.Sequential(*layers)


class Classifier(nn.Module):
    """Backbone, global average pooling and one linear layer."""

    def __init__(self, backbone, channels, classes):
        super().__init__()
        self.backbone = backbone
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        return self.fc(self.pool(self.backbone(x)).flatten(1))


class Basic(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, cin, planes, stride):
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(cin, planes, 3, stride), conv_bn(planes, planes, 3, act=None)
        )
        changes = stride != 1 or cin != planes
        self.downsample = conv_bn(cin, planes, 1, stride, act=None) if changes else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.body(x) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 (which has the stride: style 'pytorch') and 1x1, and a shortcut."""

    expansion = 4

    def __init__(self, cin, planes, stride):
        super().__init__()
        cout = planes * self.expansion
        self.body = nn.Sequential(
            conv_bn(cin, planes, 1),
            conv_bn(planes, planes, 3, stride),
            conv_bn(planes, cout, 1, act=None),
        )
        changes = stride != 1 or cin != cout
        self.downsample = conv_bn(cin, cout, 1, stride, act=None) if changes else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.body(x) + shortcut)


def resnet(block, blocks, stem, classes):
    """ResNet (7x7 stem and pooling) or ResNet_CIFAR (3x3 stem)."""
    layers = {
        "imagenet": [conv_bn(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)],
        "cifar": [conv_bn(3, 64, 3)],
    }[stem]
    cin = 64
    for stage, count in enumerate(blocks):
        planes = 64 * 2**stage
        for i in range(count):
            layers.append(block(cin, planes, 2 if stage > 0 and i == 0 else 1))
            cin = planes * block.expansion
    return Classifier(nn.Sequential(*layers), cin, classes)


class Inverted(nn.Module):
    """MobileNetV2's block: expand, depthwise, project."""

    def __init__(self, cin, cout, stride, ratio):
        super().__init__()
        hidden = cin * ratio
        layers = [conv_bn(cin, hidden, 1, act=nn.ReLU6)] if ratio != 1 else []
        layers += [
            conv_bn(hidden, hidden, 3, stride, groups=hidden, act=nn.ReLU6),
            conv_bn(hidden, cout, 1, act=None),
        ]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and cin == cout

    def forward(self, x):
        return x + self.conv(x) if self.shortcut else self.conv(x)


def mobilenet_v2(classes):
    """MobileNetV2 of width 1."""
    layers, cin = [conv_bn(3, 32, 3, 2, act=nn.ReLU6)], 32
    settings = [
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
        (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ]  # fmt: skip
    for ratio, cout, count, stride in settings:
        for i in range(count):
            layers.append(Inverted(cin, cout, stride if i == 0 else 1, ratio))
            cin = cout
    layers.append(conv_bn(cin, 1280, 1, act=nn.ReLU6))
    return Classifier(nn.Sequential(*layers), 1280, classes)


class Shuffle(nn.Module):
    """ShuffleNetV2's block: half the channels pass, or both branches halve the image; then channels are shuffled."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        half = cout // 2
        self.stride = stride
        if stride > 1:
            self.branch1 = nn.Sequential(
                conv_bn(cin, cin, 3, stride, groups=cin, act=None), conv_bn(cin, half, 1)
            )
        self.branch2 = nn.Sequential(
            conv_bn(cin if stride > 1 else half, half, 1),
            conv_bn(half, half, 3, stride, groups=half, act=None),
            conv_bn(half, half, 1),
        )

    def forward(self, x):
        if self.stride > 1:
            x = torch.cat((self.branch1(x), self.branch2(x)), dim=1)
        else:
            c = x.shape[1] // 2
            x = torch.cat((x[:, :c], self.branch2(x[:, c:])), dim=1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def shufflenet_v2(classes):
    """ShuffleNetV2 of width 1."""
    layers, cin = [conv_bn(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)], 24
    for cout, count in [(116, 4), (232, 8), (464, 4)]:
        for i in range(count):
            layers.append(Shuffle(cin, cout, 2 if i == 0 else 1))
            cin = cout
    layers.append(conv_bn(cin, 1024, 1))
    return Classifier(nn.Sequential(*layers), 1024, classes)


def vgg11(classes):
    """The convolutions of VGG-11: with bias, without normalization, without the three linear layers."""
    layers, cin = [], 3
    for cout, count in [(64, 1), (128, 1), (256, 2), (512, 2), (512, 2)]:
        for _ in range(count):
            layers += [nn.Conv2d(cin, cout, 3, padding=1), nn.ReLU(inplace=True)]
            cin = cout
        layers.append(nn.MaxPool2d(2, 2))
    return Classifier(nn.Sequential(*layers), cin, classes)


@dataclass(frozen=True)
class Row:
    """One model with the batch it is measured at."""

    build: Callable[[], nn.Module]
    batch: int
    shape: tuple
    classes: int


ROWS = {
    "resnet18_cifar": Row(lambda: resnet(Basic, (2, 2, 2, 2), "cifar", 10), 64, (3, 32, 32), 10),
    "resnet50": Row(lambda: resnet(Bottleneck, (3, 4, 6, 3), "imagenet", 1000), 8, (3, 224, 224), 1000),
    "mobilenet_v2": Row(lambda: mobilenet_v2(1000), 16, (3, 224, 224), 1000),
    "shufflenet_v2": Row(lambda: shufflenet_v2(1000), 16, (3, 224, 224), 1000),
    "vgg11": Row(lambda: vgg11(10), 64, (3, 32, 32), 10),
}
