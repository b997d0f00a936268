#!/usr/bin/env python3
"""Goldens of `optim_wrapper`: which parameter gets which settings, and what clipping and accumulation make of gradients.

    python tools/golden/optim_wrapper.py

Rows of the kind `paramwise`: the `optim_wrapper` of a user's config and what mmengine's default constructor gives every
parameter of MobileNetV2 with a widen factor of 0.1, in groups of equal settings.

Rows of the kind `steps`: the `optim_wrapper`, and the parameters `head.fc.weight` [10, 16] and `head.fc.bias` [10], from
`fill(name, -1, 1)` on, after each of 10 iterations; the gradient of iteration `k`, from 0, is
`fill("grad.{name}.{k}", -1, 1)`. Training ends at iteration 10. `norm` is the last gradient norm that was logged.
"""

import copy
import logging
import warnings

warnings.filterwarnings("ignore")

import torch
from mmcls.models import MobileNetV2
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper

import formula
from files import write_json

SGD = dict(type="SGD", lr=0.5, momentum=0.9, weight_decay=0.1)

PARAMWISE = {
    "norm": dict(norm_decay_mult=0.0),
    "norm_and_bias": dict(norm_decay_mult=0.0, bias_decay_mult=0.5, bias_lr_mult=2.0),
    "flat": dict(flat_decay_mult=0.25),
    "all": dict(bias_lr_mult=3.0, bias_decay_mult=0.0, norm_decay_mult=0.5, dwconv_decay_mult=0.1, flat_decay_mult=0.9),
    "depthwise_and_flat": dict(dwconv_decay_mult=0.1, flat_decay_mult=0.9, bypass_duplicate=True),
    "custom": dict(norm_decay_mult=0.0, custom_keys={
        "backbone": dict(lr_mult=0.1), "backbone.layer1": dict(decay_mult=0.5), "layer2.0.conv": dict(lr_mult=2.0),
        "head": dict(lr_mult=10, decay_mult=0, momentum=0.5), ".fc.bias": dict(decay_mult=3.0)}),
    "equally_long": dict(custom_keys={"layer3": dict(lr_mult=0.3), "conv.0": dict(lr_mult=0.7),
                                      "weight": dict(lr_mult=0.2)}),
}

STEPS = {
    "clip": dict(clip_grad=dict(max_norm=1.0)),
    "clip_rarely": dict(clip_grad=dict(max_norm=1e6)),
    "clip_l1": dict(clip_grad=dict(max_norm=5.0, norm_type=1)),
    "clip_l3": dict(clip_grad=dict(max_norm=1.5, norm_type=3.0)),
    "clip_inf": dict(clip_grad=dict(max_norm=0.5, norm_type="inf")),
    "clip_value": dict(clip_grad=dict(type="value", clip_value=0.25)),
    "accumulate_by_two": dict(accumulative_counts=2),
    "accumulate_by_three": dict(accumulative_counts=3),
    "accumulate_by_four_and_clip": dict(accumulative_counts=4, clip_grad=dict(max_norm=0.5)),
    "accumulate_longer_than_the_training": dict(accumulative_counts=16),
}


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = MobileNetV2(widen_factor=0.1)
        self.head = torch.nn.Module()
        self.head.fc = torch.nn.Linear(1280, 10)


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Module()
        self.head.fc = torch.nn.Linear(16, 10)


def paramwise(options):
    config = dict(optimizer=SGD, paramwise_cfg=options)
    model = Model()
    names = {id(p): name for name, p in model.named_parameters()}
    groups = {}
    for group in build_optim_wrapper(model, copy.deepcopy(config)).optimizer.param_groups:
        key = (group["lr"], group["weight_decay"], group["momentum"])
        groups.setdefault(key, []).extend(names[id(p)] for p in group["params"])
    return {"optim_wrapper": config, "groups": [
        {"lr": lr, "weight_decay": decay, "momentum": momentum, "names": sorted(members)}
        for (lr, decay, momentum), members in groups.items()]}


def steps(options):
    config = dict(optimizer=SGD, **options)
    model = Head().double()
    wrapper = build_optim_wrapper(model, copy.deepcopy(config))
    wrapper.initialize_count_status(model, 0, 10)
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        parameter.data = torch.from_numpy(formula.fill(name, parameter.shape, -1.0, 1.0)).double()
    history = {name: [] for name in parameters}
    for k in range(10):
        loss = sum((p * torch.from_numpy(formula.fill(f"grad.{name}.{k}", p.shape, -1.0, 1.0)).double()).sum()
                   for name, p in parameters.items())
        wrapper.update_params(loss)
        for name, parameter in parameters.items():
            history[name].append([float(f"{v:.9g}") for v in parameter.detach().flatten().tolist()])
    scalars = MessageHub.get_current_instance().log_scalars
    norm = scalars.pop("train/grad_norm", None)
    # The weight's first row is enough: all elements are treated alike.
    history["head.fc.weight"] = [row[:16] for row in history["head.fc.weight"]]
    return {"optim_wrapper": config, "norm": norm.current() if norm else None, "values": history}


def main():
    logging.disable(logging.CRITICAL)
    write_json("optim_wrapper.json",
               [{"kind": "paramwise", "name": name, **paramwise(options)} for name, options in PARAMWISE.items()]
               + [{"kind": "steps", "name": name, **steps(options)} for name, options in STEPS.items()])


if __name__ == "__main__":
    main()
