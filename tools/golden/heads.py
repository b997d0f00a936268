#!/usr/bin/env python3
"""Goldens of mmcls's heads and necks, in float64.

    python tools/golden/heads.py

Needs torch 1.13 and mmcls 1.0.0rc6. Weights and inputs: `formula.py`; the power `p` of a generalized mean is its own
first value. A head gets features `fill("features", 4 x 6, -2, 2)`, a neck `fill("features", 4 x 6 x 5 x 3, 0, 2)`; four
samples of five classes have the labels of a case, or weights of the classes `fill("soft", 0, 1)`. Of every case:
`{case}.output` in training, `{case}.grad.{key}` of every parameter and of the features, for a head after its `loss`
(`{case}.loss`), for a neck of the sum of its outputs times `fill("upstream", -1, 1)`; `{case}.score` and, in the
metadata, `predicted` are what a head predicts in evaluation.
"""

import warnings

warnings.filterwarnings("ignore")

import mmcls
import torch
from mmcls.models import build_head, build_neck
from mmcls.structures import ClsDataSample
from mmcls.utils import register_all_modules

import formula
from files import f32, write_safetensors

ROWS, CLASSES = 4, 5
HARD = [3, 0, 4, 1]
SEVERAL = [[3], [0, 2], [4, 1, 2], []]

HEADS = {
    "linear": (dict(type="LinearClsHead", num_classes=5, in_channels=6, topk=(1, 3), cal_acc=True), HARD),
    "linear_soft": (dict(type="LinearClsHead", num_classes=5, in_channels=6), "soft"),
    "linear_smooth": (dict(type="LinearClsHead", num_classes=5, in_channels=6,
                           loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1)), HARD),
    "stacked": (dict(type="StackedLinearClsHead", num_classes=5, in_channels=6, mid_channels=[7, 3]), HARD),
    "stacked_norm": (dict(type="StackedLinearClsHead", num_classes=5, in_channels=6, mid_channels=[4],
                          norm_cfg=dict(type="BN1d"), act_cfg=None), HARD),
    "several": (dict(type="MultiLabelLinearClsHead", num_classes=5, in_channels=6), SEVERAL),
    "several_top": (dict(type="MultiLabelLinearClsHead", num_classes=5, in_channels=6, topk=2,
                         loss=dict(type="AsymmetricLoss")), SEVERAL),
    "several_threshold": (dict(type="MultiLabelLinearClsHead", num_classes=5, in_channels=6, thr=0.3, topk=1,
                               loss=dict(type="FocalLoss")), SEVERAL),
    "several_soft": (dict(type="MultiLabelLinearClsHead", num_classes=5, in_channels=6,
                          loss=dict(type="CrossEntropyLoss", use_soft=True)), "soft"),
}
NECKS = {
    "gem": (dict(type="GeneralizedMeanPooling"), 4),
    "gem_fixed": (dict(type="GeneralizedMeanPooling", p=1.5, p_trainable=False, eps=0.5), 4),
    "gap1": (dict(type="GlobalAveragePooling", dim=1), 3),
    "gap3": (dict(type="GlobalAveragePooling", dim=3), 5),
    "reduction": (dict(type="LinearReduction", in_channels=6, out_channels=3, act_cfg=dict(type="ReLU")), 2),
}
SPATIAL = [5, 3, 2]


def fill(module):
    state = {name: value if name == "p" else torch.from_numpy(formula.parameter(name, tuple(value.shape)))
             for name, value in module.state_dict().items()}
    module.load_state_dict(state)
    return module.double()


def samples(labels):
    out = []
    for i in range(ROWS):
        sample = ClsDataSample()
        if labels == "soft":
            sample.set_gt_score(torch.from_numpy(formula.fill("soft", (ROWS, CLASSES), 0.0, 1.0)[i]).double())
        else:
            sample.set_gt_label(torch.tensor(labels[i], dtype=torch.long) if isinstance(labels[i], list) else labels[i])
        out.append(sample)
    return out


def gradients(module, features):
    out = {f"grad.{name}": f32(p.grad) for name, p in module.named_parameters() if p.grad is not None}
    out["grad.features"] = f32(features.grad)
    return out


def head(config, labels):
    module = fill(build_head(config)).train()
    features = torch.from_numpy(formula.fill("features", (ROWS, 6), -2.0, 2.0)).double().requires_grad_()
    out = {"output": f32(module((features,)))}
    losses = module.loss((features,), samples(labels))
    losses["loss"].backward()
    out.update({name: f32(value) for name, value in losses.items()})
    out.update(gradients(module, features))
    with torch.no_grad():
        predictions = fill(module).eval().predict((features,), samples(labels))
    out["score"] = f32(torch.stack([p.pred_label.score for p in predictions]))
    return out, [p.pred_label.label.tolist() for p in predictions]


def neck(config, rank):
    module = fill(build_neck(config)).train()
    shape = tuple([ROWS, 6] + SPATIAL[:rank - 2])
    features = torch.from_numpy(formula.fill("features", shape, 0.0, 2.0)).double().requires_grad_()
    (output,) = module((features,))
    (output * torch.from_numpy(formula.fill("upstream", tuple(output.shape), -1.0, 1.0))).sum().backward()
    return {"output": f32(output), **gradients(module, features)}, shape


def main():
    torch.set_num_threads(1)
    register_all_modules()
    out, heads, necks = {}, {}, {}
    for name, (config, labels) in HEADS.items():
        numbers, predicted = head(config, labels)
        out.update({f"{name}.{key}": value for key, value in numbers.items()})
        heads[name] = {"config": config, "labels": labels, "predicted": predicted}
    for name, (config, rank) in NECKS.items():
        numbers, shape = neck(config, rank)
        out.update({f"{name}.{key}": value for key, value in numbers.items()})
        necks[name] = {"config": config, "shape": shape}
    write_safetensors("heads.safetensors", out, {
        "script": "tools/golden/heads.py", "versions": f"torch {torch.__version__}, mmcls {mmcls.__version__}",
        "heads": heads, "necks": necks})


if __name__ == "__main__":
    main()
