#!/usr/bin/env python3
"""Goldens of the residual networks, from mmcls itself, in float64.

    python tools/golden/resnet.py

Needs torch 1.13 and mmcls 1.0.0rc6. Weights and inputs: `formula.py`. Writes `resnet18`, `resnet_cifar`,
`resnet_cifar50` and `resnet_variants`, each `.safetensors`, and prints how far torch's own float32 is from them,
which is the least tolerance a float32 test can have: relative to the largest element of the same tensor, for
`grad_sum` and `grad_probe` to `grad_norm`.
"""

import warnings

warnings.filterwarnings("ignore")

import mmcls
import numpy as np
import torch
from mmcls.models import build_classifier
from mmcls.structures import ClsDataSample
from mmcls.utils import register_all_modules

import formula
from files import f32, write_safetensors

CLASSES = 10
FULL = 512
SAMPLES = 256
# A buffer that follows from sizes.
INDEX = "relative_position_index"
VERSIONS = f"torch {torch.__version__}, mmcls {mmcls.__version__}"

CLASSIFIERS = {
    "resnet18": (dict(type="ResNet", depth=18), 512, [2, 3, 64, 64]),
    "resnet_cifar": (dict(type="ResNet_CIFAR", depth=18, base_channels=16, stem_channels=16), 128, [4, 3, 32, 32]),
    "resnet_cifar50": (dict(type="ResNet_CIFAR", depth=50, base_channels=8, stem_channels=8), 256, [2, 3, 16, 16]),
}

# Odd sizes, so that padding and ceiling of every stride count.
VARIANTS = {
    "deep_stem": (dict(type="ResNet", depth=18, stem_channels=8, base_channels=8, num_stages=3, strides=(1, 2, 2),
                       dilations=(1, 1, 1), out_indices=(1, 2), deep_stem=True), [2, 3, 45, 39]),
    "avg_down_caffe": (dict(type="ResNet", depth=50, stem_channels=8, base_channels=4, out_indices=(0, 1, 2, 3),
                            style="caffe", avg_down=True), [1, 3, 45, 51]),
    "dilated": (dict(type="ResNet", depth=18, stem_channels=4, base_channels=4, strides=(1, 2, 1, 1),
                     dilations=(1, 1, 2, 4), out_indices=(2, 3)), [1, 3, 37, 33]),
    "dilated_expansion2": (dict(type="ResNet", depth=50, stem_channels=8, base_channels=8, expansion=2, num_stages=3,
                                strides=(1, 2, 1), dilations=(1, 1, 2), out_indices=(2,)), [1, 3, 33, 37]),
    "cifar_gray": (dict(type="ResNet_CIFAR", depth=18, in_channels=1, stem_channels=8, base_channels=4, num_stages=3,
                        strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)), [2, 1, 14, 13]),
}


def learned(names):
    """Those of a state dict's names that are parameters and no buffers."""
    buffers = ("running_mean", "running_var", "num_batches_tracked", INDEX)
    return [name for name in names if name.rsplit(".", 1)[-1] not in buffers]


def build(config, dtype):
    """The model with the formula's numbers in every parameter and buffer."""
    model = build_classifier(config)
    state = {name: value if name.endswith(INDEX) else torch.from_numpy(formula.parameter(name, tuple(value.shape)))
             for name, value in model.state_dict().items()}
    model.load_state_dict(state, strict=True)
    assert learned(state) == [name for name, _ in model.named_parameters()]
    return model.to(dtype)


def shapes(model):
    return [[name, list(value.shape)] for name, value in model.state_dict().items()]


def sampled(values, full, samples):
    """All of up to `full` elements, else as many as `samples` at multiples of n / `samples`."""
    flat = values.reshape(-1)
    return values if flat.size <= full else flat[::flat.size // samples][:samples]


def run(config, shape, dtype, full=FULL, samples=SAMPLES):
    """Everything a classifier golden holds, and the list of its state."""
    model = build(config, dtype)
    state = shapes(model)
    images = torch.from_numpy(formula.image(shape)).to(dtype)
    labels = formula.labels("label", shape[0], CLASSES)
    logits = []
    model.head.register_forward_hook(lambda module, inputs, output: logits.append(output.detach()))

    out = {}
    with torch.no_grad():
        out["eval.logits"] = f32(model.eval()(images, mode="tensor"))
    targets = [ClsDataSample().set_gt_label(int(label)) for label in labels]
    losses = model.train()(images, targets, mode="loss")
    assert list(losses) == ["loss"] and len(logits) == 2
    losses["loss"].backward()
    out["train.logits"] = f32(logits[1])
    out["train.loss"] = f32(losses["loss"])
    for name, value in model.state_dict().items():
        if name.endswith((".running_mean", ".running_var")):
            out[f"after.{name}"] = f32(value)
        elif name.endswith(".num_batches_tracked"):
            assert value == 1
    for name, parameter in model.named_parameters():
        grad = parameter.grad.double().numpy()
        out[f"grad.{name}"] = sampled(grad, full, samples).astype(np.float32)
        out[f"grad_norm.{name}"] = np.sqrt(np.square(grad).sum())
        out[f"grad_sum.{name}"] = grad.sum()
        out[f"grad_probe.{name}"] = (grad * formula.fill(f"probe.{name}", grad.shape, -1.0, 1.0)).sum()
    return out, state


def print_single_precision(exact, single):
    """The largest deviation of each kind of number. A gradient that is 0 but for rounding, as that of a shift before a
    norm layer, is measured against the largest gradient."""
    worst = {}
    largest = max(float(value) for key, value in exact.items() if key.startswith("grad_norm."))
    for key, value in exact.items():
        kind = key.split(".", 1)[0] if "grad" in key or "after" in key else key
        norm = float(exact[key.replace(kind, "grad_norm", 1)]) if "grad" in kind else largest
        if norm < 1e-9 * largest:
            scale = largest
        elif kind in ("grad_sum", "grad_probe"):
            scale = norm
        else:
            scale = np.abs(value).max() or 1.0
        error = float(np.abs(single[key].astype(np.float64) - value).max() / scale)
        worst[kind] = max(worst.get(kind, (0.0, "")), (error, key))
    for kind, (error, key) in worst.items():
        print(f"    float32 {kind}: {error:.1e} ({key})")


def classifier(name, backbone, features, shape):
    config = dict(type="ImageClassifier", backbone=backbone, neck=dict(type="GlobalAveragePooling"),
                  head=dict(type="LinearClsHead", num_classes=CLASSES, in_channels=features,
                            loss=dict(type="CrossEntropyLoss", loss_weight=1.0)))
    exact, state = run(config, shape, torch.float64)
    write_safetensors(f"{name}.safetensors", exact, {
        "script": "tools/golden/resnet.py", "versions": VERSIONS, "config": config, "input": shape,
        "labels": formula.labels("label", shape[0], CLASSES).tolist(), "state_dict": state})
    print_single_precision(exact, run(config, shape, torch.float32)[0])


def variants():
    out, about = {}, {}
    for name, (backbone, shape) in VARIANTS.items():
        config = dict(type="ImageClassifier", backbone=backbone)
        model = build(config, torch.float64).eval()
        with torch.no_grad():
            stages = model(torch.from_numpy(formula.image(shape)).double(), mode="tensor")
        for index, stage in zip(backbone["out_indices"], stages):
            out[f"{name}.stage{index}"] = f32(stage)
        about[name] = {"config": config, "input": shape, "state_dict": shapes(model)}
    write_safetensors("resnet_variants.safetensors", out, {
        "script": "tools/golden/resnet.py", "versions": VERSIONS, "variants": about})


def main():
    torch.set_num_threads(1)
    register_all_modules()
    for name, (backbone, features, shape) in CLASSIFIERS.items():
        classifier(name, backbone, features, shape)
    variants()


if __name__ == "__main__":
    main()
