#!/usr/bin/env python3
"""Goldens of the learning-rate schedules: mmengine's own, stepped as its runner steps them.

    python tools/golden/schedules.py

Needs mmengine 0.10. Every case trains 60 iterations in epochs of `epoch_length`, from SGD with a rate of 0.1, and
`lr` holds the rate that each iteration used. The configs are what a user writes; `end` defaults to `max_epochs` or
`max_iters`, as in `Runner.build_param_scheduler`, and the defaulted value is used before conversion to iterations.
"""

import warnings

warnings.filterwarnings("ignore")

import copy

import mmengine.optim  # registers the schedulers
import torch
from mmengine.registry import PARAM_SCHEDULERS

from files import write_json

ITERATIONS = 60

BY_ITER = dict(by_epoch=False)
CONVERTED = dict(by_epoch=True, convert_to_iter_based=True)

# Every case: the length of an epoch, and the schedulers in the order of the config.
CASES = {
    "cosine_iter": (6, [dict(type="CosineAnnealingLR", T_max=60, **BY_ITER)]),
    "cosine_iter_default_t_max": (6, [dict(type="CosineAnnealingLR", eta_min=0.001, **BY_ITER)]),
    "cosine_iter_eta_min": (6, [dict(type="CosineAnnealingLR", T_max=60, eta_min=0.01, **BY_ITER)]),
    "cosine_iter_eta_min_ratio": (6, [dict(type="CosineAnnealingLR", T_max=50, eta_min_ratio=0.05, **BY_ITER)]),
    "cosine_iter_begin_end": (6, [dict(type="CosineAnnealingLR", T_max=40, eta_min=0.01, begin=10, end=50, **BY_ITER)]),
    "cosine_iter_cut_short": (6, [dict(type="CosineAnnealingLR", T_max=40, end=20, **BY_ITER)]),
    "cosine_iter_past_t_max": (6, [dict(type="CosineAnnealingLR", T_max=15, eta_min=0.01, **BY_ITER)]),
    "cosine_epoch": (6, [dict(type="CosineAnnealingLR", T_max=10, by_epoch=True)]),
    "cosine_epoch_begin_end": (4, [dict(type="CosineAnnealingLR", eta_min=0.002, begin=3, end=13, by_epoch=True)]),
    "cosine_converted": (6, [dict(type="CosineAnnealingLR", T_max=10, eta_min=0.001, **CONVERTED)]),
    "cosine_converted_begin": (6, [dict(type="CosineAnnealingLR", T_max=8, begin=2, **CONVERTED)]),
    "cosine_converted_default_t_max": (6, [dict(type="CosineAnnealingLR", begin=2, **CONVERTED)]),
    "multi_step_iter": (6, [dict(type="MultiStepLR", milestones=[20, 40, 50], gamma=0.2, **BY_ITER)]),
    "multi_step_epoch": (6, [dict(type="MultiStepLR", milestones=[3, 6, 8], by_epoch=True)]),
    "multi_step_repeated": (6, [dict(type="MultiStepLR", milestones=[3, 3, 6], gamma=0.5, by_epoch=True)]),
    "multi_step_begin_end": (6, [dict(type="MultiStepLR", milestones=[10, 20, 40], begin=5, end=50, **BY_ITER)]),
    "multi_step_converted": (6, [dict(type="MultiStepLR", milestones=[3, 6], **CONVERTED)]),
    "linear_iter": (6, [dict(type="LinearLR", start_factor=0.01, end=20, **BY_ITER)]),
    "linear_iter_defaults": (6, [dict(type="LinearLR", **BY_ITER)]),
    "linear_iter_end_factor": (6, [
        dict(type="LinearLR", start_factor=1.0, end_factor=0.1, begin=5, end=45, **BY_ITER)]),
    "linear_epoch": (6, [dict(type="LinearLR", start_factor=0.1, end=5, by_epoch=True)]),
    "linear_converted": (6, [dict(type="LinearLR", start_factor=0.1, end=5, **CONVERTED)]),
    "warmup_iter_cosine_iter": (6, [
        dict(type="LinearLR", start_factor=0.001, begin=0, end=10, **BY_ITER),
        dict(type="CosineAnnealingLR", T_max=50, eta_min=0.0005, begin=10, end=60, **BY_ITER)]),
    "warmup_converted_cosine_epoch": (6, [
        dict(type="LinearLR", start_factor=0.01, begin=0, end=2, **CONVERTED),
        dict(type="CosineAnnealingLR", T_max=8, begin=2, end=10, by_epoch=True)]),
    "warmup_converted_cosine_converted": (6, [
        dict(type="LinearLR", start_factor=0.01, begin=0, end=2, **CONVERTED),
        dict(type="CosineAnnealingLR", T_max=8, eta_min=0.001, begin=2, end=10, **CONVERTED)]),
    "warmup_iter_multi_step_epoch": (6, [
        dict(type="LinearLR", start_factor=0.25, begin=0, end=10, **BY_ITER),
        dict(type="MultiStepLR", milestones=[4, 8], gamma=0.1, by_epoch=True)]),
    "warmup_iter_cosine_iter_overlapping": (6, [
        dict(type="LinearLR", start_factor=0.1, begin=0, end=20, **BY_ITER),
        dict(type="CosineAnnealingLR", T_max=60, **BY_ITER)]),
}


def build(config, optimizer, epoch_length):
    """As `Runner.build_param_scheduler` does."""
    config = copy.deepcopy(config)
    config.setdefault("end", ITERATIONS // epoch_length if config.get("by_epoch", True) else ITERATIONS)
    return PARAM_SCHEDULERS.build(config, default_args=dict(optimizer=optimizer, epoch_length=epoch_length))


def run(epoch_length, configs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedulers = [build(config, optimizer, epoch_length) for config in configs]
    rates = []
    for iteration in range(1, ITERATIONS + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            if not scheduler.by_epoch:
                scheduler.step()
        if iteration % epoch_length == 0:
            for scheduler in schedulers:
                if scheduler.by_epoch:
                    scheduler.step()
    return rates


def main():
    write_json("schedules.json", [
        {"name": name, "base_lr": 0.1, "epoch_length": epoch_length, "max_epochs": ITERATIONS // epoch_length,
         "max_iters": ITERATIONS, "param_scheduler": configs, "lr": run(epoch_length, configs)}
        for name, (epoch_length, configs) in CASES.items()])


if __name__ == "__main__":
    main()
