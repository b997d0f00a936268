#!/usr/bin/env python3
"""How mmcls's models are filled under several `init_cfg`s.

    python tools/golden/init_cfg.py

Needs torch 1.13 and mmcls 1.0.0rc6. Writes `init_cfg.json`: of every model its config and, of every weight and bias,
the mean, the standard deviation, the least and the largest element after `init_weights` with seed 0.
"""

import logging
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import copy

import torch
from mmcls.models import build_classifier
from mmcls.utils import register_all_modules

from files import write_json

RESNET = dict(type="ResNet", depth=18, stem_channels=16, base_channels=16, num_stages=2, strides=(1, 2),
              dilations=(1, 1), out_indices=(1,))
HEAD = dict(type="LinearClsHead", num_classes=40, in_channels=32)


def model(backbone, head=HEAD, **more):
    return dict(type="ImageClassifier", backbone=backbone, neck=dict(type="GlobalAveragePooling"), head=head, **more)


def resnet(init_cfg, **more):
    return dict(**RESNET, init_cfg=init_cfg, **more)


CASES = {
    "default": model(RESNET),
    "kept_residual": model(dict(**RESNET, zero_init_residual=False)),
    "deep_stem": model(dict(RESNET, type="ResNetV1d")),
    "none": model(resnet(None), dict(**HEAD, init_cfg=None)),
    "outer_rules_where_inner_have_none": model(
        resnet(dict(type="Constant", layer="Conv2d", val=0.5)), dict(**HEAD, init_cfg=None),
        init_cfg=[dict(type="Normal", layer=["Linear", "Conv2d"], std=0.3, mean=1.0, bias=0.25),
                  dict(type="Constant", layer="_BatchNorm", val=2.0, bias=-1.0)]),
    "inner_rules_win": model(RESNET, init_cfg=dict(type="Normal", layer=["Linear", "BatchNorm2d"], std=0.3)),
    "later_rules_win": model(resnet([
        dict(type="Uniform", layer="_ConvNd", a=-1.0, b=3.0), dict(type="Xavier", layer="Conv2d", gain=2.0)])),
    "xavier_uniform": model(resnet(dict(type="Xavier", layer="Conv2d", distribution="uniform"))),
    "kaiming_in": model(resnet(dict(type="Kaiming", layer="Conv2d", mode="fan_in", nonlinearity="leaky_relu", a=0.5))),
    "kaiming_uniform": model(resnet(dict(type="Kaiming", layer="Conv2d", distribution="uniform",
                                         nonlinearity="linear"))),
    "caffe2": model(resnet(dict(type="Caffe2Xavier", layer="Conv2d"))),
    "truncated": model(RESNET, dict(**HEAD, init_cfg=dict(type="TruncNormal", layer="Linear", std=0.5, a=-0.4, b=0.6,
                                                          bias_prob=0.01))),
    "override": model(resnet(dict(
        type="Constant", layer="Conv2d", val=0.5, bias=2.0,
        override=[dict(name="layer1"), dict(type="Normal", name="conv1", std=0.1, bias=1.0)]))),
    "override_alone": model(resnet(dict(type="Constant", val=0.5, override=dict(name="layer2")))),
    "grouped": model(dict(RESNET, type="ResNeXt", depth=50, groups=4, width_per_group=8), dict(HEAD, in_channels=128)),
    "wide": model(dict(type="VGG", depth=11, num_stages=2, dilations=(1, 1), out_indices=(1,),
                       init_cfg=dict(type="Constant", layer="Conv2d", val=0.5, bias=0.1)),
                  dict(HEAD, in_channels=128)),
    "modules_fill_themselves": model(dict(type="MobileNetV2", widen_factor=0.25,
                                          init_cfg=dict(type="Constant", layer="Conv2d", val=0.5)),
                                     dict(HEAD, in_channels=1280)),
    "stacked": model(RESNET, dict(type="StackedLinearClsHead", num_classes=40, in_channels=32, mid_channels=[50],
                                  norm_cfg=dict(type="BN1d"))),
    "several": model(RESNET, dict(type="MultiLabelLinearClsHead", num_classes=40, in_channels=32)),
}


def main():
    register_all_modules()
    rows = []
    for name, config in CASES.items():
        torch.manual_seed(0)
        built = build_classifier(copy.deepcopy(config))
        built.init_weights()
        figures = {}
        for key, p in built.named_parameters():
            p = p.detach().double()
            figures[key] = [round(float(x), 7) for x in (p.mean(), p.std(unbiased=False), p.min(), p.max())]
        rows.append({"name": name, "config": config, "figures": figures})
    write_json("init_cfg.json", rows)


if __name__ == "__main__":
    main()
