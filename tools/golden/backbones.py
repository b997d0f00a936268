#!/usr/bin/env python3
"""Goldens of VGG, MobileNetV2 and ShuffleNetV2, from mmcls itself, in float64.

    python tools/golden/backbones.py

Needs torch 1.13 and mmcls 1.0.0rc6. Weights and inputs: `formula.py`. Writes `vgg11`, `mobilenet_v2`,
`shufflenet_v2` and `backbone_variants`, each `.safetensors`, and prints how far torch's own float32 is from them,
as `resnet.py` does.
"""

import warnings

warnings.filterwarnings("ignore")

import numpy as np
import torch
from mmcls.utils import register_all_modules

import formula
import resnet
from files import f32, write_safetensors

SCRIPT = "tools/golden/backbones.py"
SAMPLES = 16

CLASSIFIERS = {
    "vgg11": (dict(type="VGG", depth=11), 512, [2, 3, 32, 32]),
    "mobilenet_v2": (dict(type="MobileNetV2", widen_factor=0.25), 1280, [4, 3, 56, 56]),
    "shufflenet_v2": (dict(type="ShuffleNetV2", widen_factor=0.5), 1024, [4, 3, 64, 64]),
}

# Odd sizes, so that padding and ceiling of every stride count.
VARIANTS = {
    "vgg13_norm_ceil": (dict(type="VGG", depth=13, num_stages=4, dilations=(1, 1, 2, 1), out_indices=(2, 3),
                             norm_cfg=dict(type="BN"), ceil_mode=True), [1, 3, 19, 21]),
    "vgg11_no_last_pool": (dict(type="VGG", depth=11, num_stages=3, dilations=(1, 1, 1), out_indices=(1, 2),
                                with_last_pool=False, act_cfg=dict(type="ReLU6")), [1, 3, 13, 11]),
    "vgg16": (dict(type="VGG", depth=16), [1, 3, 35, 32]),
    "vgg19": (dict(type="VGG", depth=19, norm_cfg=dict(type="BN", eps=1e-3)), [1, 3, 32, 32]),
    "mobilenet_stages": (dict(type="MobileNetV2", widen_factor=0.35, out_indices=(0, 1, 3, 5, 6, 7)), [1, 3, 37, 35]),
    "mobilenet_wide": (dict(type="MobileNetV2", widen_factor=1.4, act_cfg=dict(type="ReLU")), [1, 3, 32, 32]),
    "mobilenet_no_norm": (dict(type="MobileNetV2", widen_factor=0.5, norm_cfg=None, out_indices=(6,)), [1, 3, 33, 32]),
    "shufflenet_1.0": (dict(type="ShuffleNetV2", out_indices=(1, 2, 3)), [1, 3, 37, 35]),
    "shufflenet_1.5": (dict(type="ShuffleNetV2", widen_factor=1.5, out_indices=(2, 3), act_cfg=dict(type="ReLU6")),
                       [1, 3, 32, 32]),
    "shufflenet_2.0": (dict(type="ShuffleNetV2", widen_factor=2.0), [1, 3, 32, 33]),
}


def packed(out, state):
    """One array for each kind of number instead of one for each parameter: what a parameter has comes in the order of
    the state dict."""
    names = [name for name, _ in state]
    learned = resnet.learned(names)
    kept = {key: out[key] for key in ("eval.logits", "train.logits", "train.loss")}
    after = [out[f"after.{name}"] for name in names if f"after.{name}" in out]
    if after:
        kept["after"] = np.concatenate(after)
    kept["grad"] = np.concatenate([out[f"grad.{name}"].reshape(-1) for name in learned])
    for kind in ("grad_norm", "grad_probe"):
        kept[kind] = np.array([out[f"{kind}.{name}"] for name in learned])
    return kept


def classifier(name, backbone, features, shape):
    config = dict(type="ImageClassifier", backbone=backbone, neck=dict(type="GlobalAveragePooling"),
                  head=dict(type="LinearClsHead", num_classes=resnet.CLASSES, in_channels=features,
                            loss=dict(type="CrossEntropyLoss", loss_weight=1.0)))
    exact, state = resnet.run(config, shape, torch.float64, SAMPLES, SAMPLES)
    write_safetensors(f"{name}.safetensors", packed(exact, state), {
        "script": SCRIPT, "versions": resnet.VERSIONS, "config": config, "input": shape, "state_dict": state})
    resnet.print_single_precision(exact, resnet.run(config, shape, torch.float32, SAMPLES, SAMPLES)[0])


def main():
    torch.set_num_threads(1)
    register_all_modules()
    for name, (backbone, features, shape) in CLASSIFIERS.items():
        classifier(name, backbone, features, shape)
    out, about = {}, {}
    for name, (backbone, shape) in VARIANTS.items():
        model = resnet.build(dict(type="ImageClassifier", backbone=backbone), torch.float64).eval()
        with torch.no_grad():
            stages = model(torch.from_numpy(formula.image(shape)).double(), mode="tensor")
        out.update({f"{name}.{i}": f32(stage) for i, stage in enumerate(stages)})
        count = sum(p.numel() for p in model.parameters())
        about[name] = {"backbone": backbone, "input": shape, "parameters": count}
    write_safetensors("backbone_variants.safetensors", out, {
        "script": SCRIPT, "versions": resnet.VERSIONS, "variants": about})


if __name__ == "__main__":
    main()
