#!/usr/bin/env python3
"""Goldens of MobileNetV3, networks with squeeze and excitation, RegNet, DenseNet, ShuffleNetV1, EfficientNet, Inception v3, AlexNet, ConvNeXt, Swin and vision transformers,
from mmcls itself, in float64; and the size of every architecture that a family knows by name.

    python tools/golden/architectures.py [NAME ..]

Needs torch 1.13 and mmcls 1.0.0rc6. Weights and inputs: `formula.py`. Writes the classifiers below, `architecture_variants`
and `architectures.json`, or those that are named, and prints how far torch's own float32 is from the classifiers, as
`resnet.py` does.
"""

import copy
import math
import sys
import warnings

warnings.filterwarnings("ignore")

import numpy as np
import torch
from mmcls.models.backbones import efficientnet
from mmcls.registry import MODELS
from mmcls.structures import ClsDataSample
from mmcls.utils import register_all_modules

import formula
import resnet
from backbones import SAMPLES, packed
from files import f32, write_json, write_safetensors

SCRIPT = "tools/golden/architectures.py"

LITES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2), "lite3": (1.2, 1.4), "lite4": (1.4, 1.8)}


def teach_lite():
    """EfficientNet-Lite as architectures of mmcls' EfficientNet, built of its own blocks: only the inner widths and the
    numbers of blocks of the inner kinds are scaled, and nothing is squeezed and excited."""
    kind = efficientnet.EfficientNet
    scale = efficientnet.model_scaling
    kind.arch_settings.update({name: (*factors, None) for name, factors in LITES.items()})
    kind.layer_settings["l"] = [[[*block[:2], 0, *block[3:]] for block in layer] for layer in kind.layer_settings["b"]]

    def scaled(layers, setting):
        width, depth, size = setting
        if size is not None:
            return scale(layers, setting)
        layers = copy.deepcopy(layers)
        for block in (block for layer in layers[1:-1] for block in layer):
            block[1] = efficientnet.make_divisible(block[1] * width, 8)
        first, last, inner = layers[1], layers[-2][-1], []
        for block in [block for layer in layers[2:-1] for block in layer][:-1]:
            if inner and inner[-1][0][1] == block[1]:
                inner[-1].append(block)
            else:
                inner.append([block])
        inner = [run + [run[-1]] * (math.ceil(depth * len(run)) - len(run)) for run in inner] + [[last]]
        stages = [first]
        for run in inner:
            if run[0][3] == 1:
                stages[-1] = stages[-1] + run
            else:
                stages.append(run)
        return [layers[0], *stages, layers[-1]]

    efficientnet.model_scaling = scaled


def linear(features):
    return dict(type="LinearClsHead", num_classes=resnet.CLASSES, in_channels=features,
                loss=dict(type="CrossEntropyLoss", loss_weight=1.0))


def pooled(backbone, features):
    return dict(type="ImageClassifier", backbone=backbone, neck=dict(type="GlobalAveragePooling"),
                head=linear(features))


def tokens(backbone, head, features, **keys):
    return dict(type="ImageClassifier", backbone=backbone, neck=None,
                head=dict(linear(features), type=head, **keys))


TINY = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=40)

CLASSIFIERS = {
    "vision_transformer": (tokens(dict(type="VisionTransformer", arch=TINY, img_size=40, patch_size=8),
                                  "VisionTransformerClsHead", 24, hidden_dim=16), [4, 3, 40, 40]),
    "deit": (tokens(dict(type="DistilledVisionTransformer", arch=TINY, img_size=(36, 24), patch_size=8),
                    "DeiTClsHead", 24), [4, 3, 36, 24]),
    "seresnet": (pooled(dict(type="SEResNet", depth=50, stem_channels=16, base_channels=8, num_stages=2, se_ratio=4,
                             strides=(1, 2), dilations=(1, 1), out_indices=(1,)), 64), [4, 3, 48, 48]),
    "regnet": (pooled(dict(type="RegNet", arch=dict(w0=16, wa=8.0, wm=2.0, depth=5, group_w=8, bot_mul=1.0),
                           stem_channels=12, strides=(2, 2, 2), dilations=(1, 1, 1), out_indices=(2,)), 64),
               [4, 3, 48, 48]),
    "mobilenet_v3": (pooled(dict(type="MobileNetV3", arch="small_050"), 288), [4, 3, 56, 56]),
    # With a smaller eps the first norm layer's factor has next to no gradient: norm layers follow it everywhere.
    "densenet": (pooled(dict(type="DenseNet", arch=dict(growth_rate=8, depths=[2, 3, 2], init_channels=12),
                             norm_cfg=dict(type="BN", eps=0.1)), 35), [3, 3, 40, 40]),
    "shufflenet_v1": (pooled(dict(type="ShuffleNetV1", widen_factor=0.5), 480), [8, 3, 48, 48]),
    "efficientnet": (pooled(dict(type="EfficientNet"), 1280), [4, 3, 57, 57]),
    "efficientnet_lite": (pooled(dict(type="EfficientNet", arch="lite0", act_cfg=dict(type="ReLU6")), 1280),
                          [4, 3, 57, 57]),
    "convnext": (dict(type="ImageClassifier", neck=None, head=linear(64), backbone=dict(
        type="ConvNeXt", arch=dict(depths=[1, 2, 1, 1], channels=[8, 16, 32, 64]))), [3, 3, 67, 64]),
    # Maps of 8x6 and 4x3 places: windows of 3 that are shifted and padded, and such that are not shifted.
    "swin_transformer": (pooled(dict(type="SwinTransformer", arch=dict(embed_dims=12, depths=[2, 2], num_heads=[2, 3]),
                                     img_size=(32, 24), window_size=3, out_indices=(1,), drop_path_rate=0.0), 24),
                         [4, 3, 32, 24]),
    "alexnet": (pooled(dict(type="AlexNet"), 256), [3, 3, 95, 80]),
    "inception_v3": (dict(type="ImageClassifier", backbone=dict(type="InceptionV3", num_classes=10, dropout=0.0),
                          neck=None, head=dict(type="ClsHead")), [3, 3, 107, 107]),
}

# Norm layers over small batches amplify rounding so much that torch's own float32 gradients are wrong by a hundredth and
# more: gradients of these are taken in evaluation.
IN_EVALUATION = ["efficientnet_lite", "inception_v3"]

# Odd sizes, so that padding and ceiling of every stride count.
VARIANTS = {
    "mobilenet_v3_stages": (dict(type="MobileNetV3", out_indices=(0, 1, 4, 9, 12)), [1, 3, 41, 37]),
    "mobilenet_v3_large": (dict(type="MobileNetV3", arch="large", norm_cfg=dict(type="BN")), [1, 3, 37, 40]),
    "mobilenet_v3_075": (dict(type="MobileNetV3", arch="small_075", norm_cfg=None), [1, 3, 33, 33]),
    "seresnext": (dict(type="SEResNeXt", depth=50, stem_channels=8, base_channels=16, groups=4, width_per_group=6,
                       out_indices=(0, 3)), [1, 3, 45, 51]),
    "regnet_style": (dict(type="RegNet", arch=dict(w0=24, wa=20.0, wm=2.5, depth=6, group_w=20, bot_mul=1.0),
                          in_channels=1, style="caffe", avg_down=True, strides=(1, 2, 2), dilations=(1, 1, 2),
                          out_indices=(0, 2)), [1, 1, 33, 29]),
    "regnet_narrow": (dict(type="RegNet", arch=dict(w0=16, wa=12.0, wm=2.0, depth=4, group_w=4, bot_mul=0.5),
                           strides=(2, 2, 1), dilations=(1, 1, 1), out_indices=(2,)), [1, 3, 33, 29]),
    "densenet_stages": (dict(type="DenseNet", in_channels=1, bn_size=2, compression_factor=0.3,
                             arch=dict(growth_rate=6, depths=[1, 2], init_channels=10),
                             act_cfg=dict(type="LeakyReLU", negative_slope=0.1), out_indices=[0, 1]), [1, 1, 37, 41]),
    "densenet121": (dict(type="DenseNet"), [1, 3, 32, 33]),
    "shufflenet_v1_1": (dict(type="ShuffleNetV1", groups=1, out_indices=(0, 2)), [1, 3, 33, 37]),
    "shufflenet_v1_2": (dict(type="ShuffleNetV1", groups=2, widen_factor=0.5), [1, 3, 33, 32]),
    "shufflenet_v1_4": (dict(type="ShuffleNetV1", groups=4, act_cfg=dict(type="ELU", alpha=0.5)), [1, 3, 32, 33]),
    "shufflenet_v1_8": (dict(type="ShuffleNetV1", groups=8), [1, 3, 32, 32]),
    "efficientnet_stages": (dict(type="EfficientNet", out_indices=(0, 2, 4, 6)), [1, 3, 37, 40]),
    "efficientnet_b1_plain": (dict(type="EfficientNet", arch="b1", conv_cfg=None, norm_cfg=dict(type="BN"),
                                   act_cfg=dict(type="GELU")), [1, 3, 33, 32]),
    "efficientnet_em": (dict(type="EfficientNet", arch="em", act_cfg=dict(type="ReLU"), out_indices=(1, 6)),
                        [1, 3, 29, 32]),
    "efficientnet_lite1": (dict(type="EfficientNet", arch="lite1", act_cfg=dict(type="ReLU6"), out_indices=(4, 6)),
                           [1, 3, 33, 37]),
    "convnext_stages": (dict(type="ConvNeXt", arch=dict(depths=[1, 1, 2], channels=[6, 8, 12]), in_channels=1,
                             stem_patch_size=3, act_cfg=dict(type="ReLU"), linear_pw_conv=False,
                             gap_before_final_norm=False, out_indices=[0, 2]), [2, 1, 37, 32]),
    "convnext_plain": (dict(type="ConvNeXt", arch=dict(depths=[1, 1], channels=[6, 8]), layer_scale_init_value=0.0,
                            norm_cfg=dict(type="LN2d"), out_indices=[0, 1]), [2, 3, 33, 32]),
    "swin_stages": (dict(type="SwinTransformer", arch=dict(embed_dims=8, depths=[2, 1, 2], num_heads=[1, 2, 4]),
                         img_size=20, patch_size=2, in_channels=1, window_size=4, pad_small_map=True,
                         use_abs_pos_embed=True, out_after_downsample=True, out_indices=[0, 2]), [2, 1, 20, 20]),
    "swin_plain": (dict(type="SwinTransformer", arch=dict(embed_dims=8, depths=[2, 2], num_heads=[2, 2]), img_size=24,
                        stage_cfgs=dict(block_cfgs=dict(window_size=2)), patch_cfg=dict(norm_cfg=None), norm_cfg=None,
                        out_indices=[0, 1]), [2, 3, 24, 24]),
    "vit_stages": (dict(type="VisionTransformer", arch=dict(TINY, num_layers=3), img_size=(33, 21), patch_size=(8, 7),
                        out_indices=[0, 2], qkv_bias=False, final_norm=False, norm_cfg=dict(type="LN"),
                        layer_cfgs=dict(act_cfg=dict(type="GELU", approximate="tanh"), num_fcs=3)), [2, 3, 33, 21]),
    "vit_average": (dict(type="VisionTransformer", arch=TINY, img_size=24, patch_size=8, with_cls_token=False,
                         output_cls_token=False, avg_token=True, pre_norm=True, in_channels=1,
                         patch_cfg=dict(stride=5, padding=2, norm_cfg=dict(type="LN"))), [2, 1, 24, 24]),
    "vit_maps": (dict(type="VisionTransformer", arch=TINY, img_size=24, patch_size=8, output_cls_token=False,
                      layer_cfgs=[dict(num_heads=2), dict(feedforward_channels=8, norm_cfg=dict(type="LN", eps=0.1))],
                      patch_cfg=dict(padding="same", kernel_size=9)), [2, 3, 24, 24]),
    "deit_stages": (dict(type="DistilledVisionTransformer", arch=TINY, img_size=32, patch_size=16,
                         out_indices=[0, 1]), [2, 3, 32, 32]),
}

ARCHS = {
    "MobileNetV3": ["small", "small_075", "small_050", "large"],
    "RegNet": ["regnetx_400mf", "regnetx_800mf", "regnetx_1.6gf", "regnetx_3.2gf", "regnetx_4.0gf", "regnetx_6.4gf",
               "regnetx_8.0gf", "regnetx_12gf"],
    "DenseNet": ["121", "161", "169", "201"],
    "VisionTransformer": ["small", "base", "large", "huge", "eva-giant", "deit-tiny", "deit-small", "DeiT-B"],
    "DistilledVisionTransformer": ["deit-tiny", "deit-small", "deit-base"],
    "SwinTransformer": ["tiny", "small", "base", "L"],
    "EfficientNet": ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "l2", "es", "em", "el", *LITES],
}


CONVNEXTS = ["atto", "femto", "pico", "nano", "tiny", "small", "base", "large", "xlarge", "huge"]


def archs():
    """The backbones whose sizes are counted."""
    yield from (dict(type=kind, arch=arch) for kind, names in ARCHS.items() for arch in names)
    yield from (dict(type="ShuffleNetV1", groups=groups) for groups in (1, 2, 3, 4, 8))
    yield from (dict(type=kind, depth=depth) for kind in ("SEResNet", "SEResNeXt") for depth in (50, 101, 152))
    yield from (dict(type="ConvNeXt", arch=arch) for arch in CONVNEXTS)
    yield dict(type="SwinTransformer", frozen_stages=1)
    yield dict(type="ConvNeXt", frozen_stages=2)
    yield dict(type="AlexNet")
    yield dict(type="AlexNet", num_classes=1000)
    yield dict(type="InceptionV3")
    yield dict(type="InceptionV3", aux_logits=True)
    yield from FROZEN


FROZEN = [
    dict(type="MobileNetV3", frozen_stages=3),
    dict(type="MobileNetV3", frozen_stages=12),
    dict(type="SEResNet", depth=50, frozen_stages=1),
    dict(type="RegNet", arch="regnetx_400mf", frozen_stages=2),
    dict(type="DenseNet", frozen_stages=2),
    dict(type="ShuffleNetV1", frozen_stages=1),
    dict(type="EfficientNet", frozen_stages=3),
    dict(type="VisionTransformer", arch="deit-tiny", frozen_stages=3),
    dict(type="VisionTransformer", arch="deit-tiny", frozen_stages=12),
    dict(type="DistilledVisionTransformer", arch="deit-tiny", frozen_stages=1),
]


def size(config):
    """A row of `architectures.json`."""
    model = MODELS.build(dict(config))
    model.train()
    state = {name: value.shape for name, value in model.state_dict().items() if not name.endswith(("num_batches_tracked", resnet.INDEX))}
    lines = "".join(f"{name} {','.join(map(str, shape))}\n" for name, shape in sorted(state.items()))
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {"backbone": config, "parameters": sum(p.numel() for p in model.parameters()), "learned": learned,
            "keys": len(state),
            "digest": f"{formula.fnv1a(lines):016x}"}


def classifier(name, config, shape):
    run = in_evaluation if name in IN_EVALUATION else (lambda *args: resnet.run(*args, SAMPLES, SAMPLES))
    exact, state = run(config, shape, torch.float64)
    write_safetensors(f"{name}.safetensors", packed(exact, state), {
        "script": SCRIPT, "versions": resnet.VERSIONS, "config": config, "input": shape, "state_dict": state})
    resnet.print_single_precision(exact, run(config, shape, torch.float32)[0])


def in_evaluation(config, shape, dtype):
    """As `resnet.run`, but gradients are those of the loss in evaluation."""
    out, state = resnet.run(config, shape, dtype, SAMPLES, SAMPLES)
    model = resnet.build(config, dtype).eval()
    images = torch.from_numpy(formula.image(shape)).to(dtype)
    labels = formula.labels("label", shape[0], resnet.CLASSES)
    targets = [ClsDataSample().set_gt_label(int(label)) for label in labels]
    model(images, targets, mode="loss")["loss"].backward()
    for name, parameter in model.named_parameters():
        grad = parameter.grad.double().numpy()
        out[f"grad.{name}"] = resnet.sampled(grad, SAMPLES, SAMPLES).astype(np.float32)
        out[f"grad_norm.{name}"] = np.sqrt(np.square(grad).sum())
        out[f"grad_sum.{name}"] = grad.sum()
        out[f"grad_probe.{name}"] = (grad * formula.fill(f"probe.{name}", grad.shape, -1.0, 1.0)).sum()
    return out, state


def flat(features):
    """Features as they are returned, lists of them in a row."""
    return [one for item in features for one in (item if isinstance(item, (list, tuple)) else [item])]


def variants():
    out, about = {}, {}
    for name, (backbone, shape) in VARIANTS.items():
        model = resnet.build(dict(type="ImageClassifier", backbone=backbone), torch.float64).eval()
        with torch.no_grad():
            features = flat(model(torch.from_numpy(formula.image(shape)).double(), mode="tensor"))
        out.update({f"{name}.{i}": f32(feature) for i, feature in enumerate(features)})
        about[name] = {"backbone": backbone, "input": shape, "parameters": sum(p.numel() for p in model.parameters())}
    write_safetensors("architecture_variants.safetensors", out, {
        "script": SCRIPT, "versions": resnet.VERSIONS, "variants": about})


def main(wanted):
    torch.set_num_threads(1)
    register_all_modules()
    teach_lite()
    for name, (config, shape) in CLASSIFIERS.items():
        if not wanted or name in wanted:
            classifier(name, config, shape)
    if not wanted or "architecture_variants" in wanted:
        variants()
    if not wanted or "architectures" in wanted:
        write_json("architectures.json", [size(config) for config in archs()])


if __name__ == "__main__":
    main(sys.argv[1:])
