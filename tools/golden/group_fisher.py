"""Importances of group Fisher pruning, and the order in which channels go, as MMRazor 1.0 computes them in float64.

    /opt/oracle/mmrazor/bin/python tools/golden/group_fisher.py

Weights, images and labels are those of the formula; nothing learns. The original looks for the least importance below 1e5
and takes a channel of the first unit where there is none, so the least one is looked for here. Writes
tests/golden/group_fisher.safetensors.
"""
import warnings

import numpy as np
import torch
from mmcls.structures import ClsDataSample
from mmcls.utils import register_all_modules
from mmengine.registry import MODELS, DefaultScope

import mmrazor.models  # noqa: F401
from mmrazor.implementations.pruning.group_fisher import GroupFisherChannelMutator  # noqa: F401

from files import write_safetensors
from formula import fill, labels, parameter

warnings.filterwarnings("ignore")
register_all_modules(init_default_scope=False)
DefaultScope.get_instance("mmrazor", scope_name="mmrazor")


IMAGE, BATCH, BATCHES = [8, 3, 16, 16], 8, 2

RESNET = dict(
    type="mmcls.ImageClassifier",
    backbone=dict(type="mmcls.ResNet_CIFAR", depth=18, stem_channels=6, base_channels=6, num_stages=2, strides=(1, 2),
                  dilations=(1, 1), out_indices=(1,)),
    neck=dict(type="mmcls.GlobalAveragePooling"),
    head=dict(type="mmcls.LinearClsHead", num_classes=5, in_channels=12, loss=dict(type="mmcls.CrossEntropyLoss")),
)
# Depthwise convolutions.
MOBILENET = dict(
    type="mmcls.ImageClassifier",
    backbone=dict(type="mmcls.MobileNetV2", widen_factor=0.25, out_indices=(2,)),
    neck=dict(type="mmcls.GlobalAveragePooling"),
    head=dict(type="mmcls.LinearClsHead", num_classes=5, in_channels=8, loss=dict(type="mmcls.CrossEntropyLoss")),
)


def build(cfg, kind):
    model = MODELS.build(cfg)
    mutator = MODELS.build(dict(
        type="mmrazor.GroupFisherChannelMutator",
        parse_cfg=dict(type="ChannelAnalyzer", tracer_type="BackwardTracer", demo_input=tuple([1] + IMAGE[1:])),
        channel_unit_cfg=dict(type="GroupFisherChannelUnit", default_args=dict(normalization_type=kind))))
    mutator.prepare_from_supernet(model)
    # What takes the place of layers has weights of its own.
    values = {name: torch.from_numpy(parameter(name, list(t.shape)).astype(np.float64))
              for name, t in model.state_dict().items()
              if name.rsplit(".", 1)[-1] in ("weight", "bias", "running_mean", "running_var")}
    assert not model.load_state_dict(values, strict=False).unexpected_keys
    return model.train().double(), mutator


def step(model, mutator, number):
    """What a training step adds to the importances; no weight moves."""
    images = torch.from_numpy(fill(f"images{number}", IMAGE, -2.0, 2.0).astype(np.float64))
    classes = labels(f"labels{number}", BATCH, 5)
    samples = [ClsDataSample().set_gt_label(int(c)) for c in classes]
    mutator.start_record_info()
    losses = model(images, samples, mode="loss")
    model.zero_grad()
    sum(v.mean() for k, v in losses.items() if "loss" in k).backward()
    mutator.end_record_info()
    mutator.update_imp()
    gains = {}
    for unit in mutator.mutable_units:
        gains[unit.name] = [float(unit._delta_flop_of_a_channel), float(unit._delta_memory_of_a_channel)]
    mutator.reset_recorded_info()
    return gains


def live(unit):
    return unit.mutable_channel.current_mask.bool()


tensors, metadata = {}, {}
for name, cfg, kinds in [("resnet", RESNET, ["flops", "act", "none"]), ("mobilenet", MOBILENET, ["act", "none"])]:
    metadata[name] = {k: cfg[k] for k in ("backbone", "head")}
    for kind in kinds:
        model, mutator = build(cfg, kind)
        for number in range(BATCHES):
            gains = step(model, mutator, number)
        metadata[f"{name}.gains"] = gains
        for unit in mutator.mutable_units:
            tensors[f"{name}.{kind}.{unit.name}"] = unit.normalized_fisher_info.numpy().astype(np.float64)
        mutator.reset_imp()
        order = []
        for number in range(2 * BATCHES, 10 * BATCHES):
            step(model, mutator, number % 6)
            if (number + 1) % BATCHES:
                continue
            units = [u for u in mutator.mutable_units if u.mutable_channel.activated_channels > 1]
            unit = min(units, key=lambda u: float(u.importance().min()))
            index = int(unit.importance().argmin())
            order.append([unit.name, int(live(unit)[:index].sum()), float(unit.importance().min())])
            assert unit.try_to_prune_min_channel()
            mutator.reset_imp()
        metadata[f"{name}.{kind}.order"] = order
        print(name, kind, len(mutator.mutable_units), [o[:2] for o in order][:6])
metadata["batches"] = str(BATCHES)
write_safetensors("group_fisher.safetensors", tensors, metadata)
