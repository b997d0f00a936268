#!/usr/bin/env python3
"""Goldens of the families that mmcls lacks and torchvision has: SqueezeNet, MNASNet, GoogLeNet, in float64; and their sizes.

    python tools/golden/torchvision_families.py

Needs torch and torchvision. Weights and inputs: `formula.py`; a parameter's name is `backbone.` and torchvision's own. Writes
`squeezenet`, `mnasnet`, `googlenet`, packed as those of `architectures.py`, and `torchvision_architectures.json`, and prints
how far torch's own float32 is from the logits and gradients.
"""

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models import GoogLeNet, MNASNet, SqueezeNet

import formula
from files import f32, write_json, write_safetensors

SCRIPT = "tools/golden/torchvision_families.py"
VERSIONS = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
SAMPLES = 16
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
KINDS = {"SqueezeNet": SqueezeNet, "MNASNet": MNASNet, "GoogLeNet": GoogLeNet}

# Gradients are those of evaluation: many norm layers over small batches amplify rounding.
CLASSIFIERS = {
    "squeezenet": (dict(type="SqueezeNet", num_classes=10, dropout=0.0), [3, 3, 57, 50]),
    "mnasnet": (dict(type="MNASNet", alpha=0.5, num_classes=10, dropout=0.0), [4, 3, 49, 64]),
    "googlenet": (dict(type="GoogLeNet", num_classes=10, aux_logits=False, dropout=0.0), [4, 3, 75, 64]),
}

ARCHS = [
    dict(type="SqueezeNet"),
    dict(type="SqueezeNet", version="1_1"),
    dict(type="MNASNet", alpha=0.5),
    dict(type="MNASNet", alpha=0.75),
    dict(type="MNASNet", alpha=1.0),
    dict(type="MNASNet", alpha=1.3),
    dict(type="GoogLeNet"),
    dict(type="GoogLeNet", aux_logits=False),
]


def build(config):
    keys = {key: value for key, value in config.items() if key != "type"}
    if config["type"] == "GoogLeNet":
        keys["init_weights"] = False
    return KINDS[config["type"]](**keys)


def state_of(model):
    return [[f"backbone.{name}", list(value.shape)] for name, value in model.state_dict().items()]


def filled(config, dtype):
    model = build(config)
    state = model.state_dict()
    for name, value in list(state.items()):
        state[name] = torch.from_numpy(formula.parameter(f"backbone.{name}", tuple(value.shape)))
    model.load_state_dict(state, strict=True)
    return model.to(dtype)


def run(config, shape, dtype):
    model = filled(config, dtype)
    images = torch.from_numpy(formula.image(shape)).to(dtype)
    labels = torch.from_numpy(formula.labels("label", shape[0], 10))
    with torch.no_grad():
        out = {"eval.logits": f32(model.eval()(images))}
    F.cross_entropy(model(images), labels).backward()
    with torch.no_grad():
        logits = model.train()(images)
    out.update({"train.logits": f32(logits), "train.loss": f32(F.cross_entropy(logits, labels))})
    after = [f32(value) for name, value in model.state_dict().items() if ".running_" in name]
    if after:
        out["after"] = np.concatenate(after)
    norms, probes, samples = [], [], []
    for name, parameter in model.named_parameters():
        grad = parameter.grad.double().numpy()
        norms.append(np.sqrt(np.square(grad).sum()))
        probes.append((grad * formula.fill(f"probe.backbone.{name}", grad.shape, -1.0, 1.0)).sum())
        flat = grad.reshape(-1)
        samples.append(flat if flat.size <= SAMPLES else flat[::flat.size // SAMPLES][:SAMPLES])
    out.update({"grad": np.concatenate(samples).astype(np.float32), "grad_norm": np.array(norms),
                "grad_probe": np.array(probes)})
    return out, state_of(model)


def size(config):
    """A row of `torchvision_architectures.json`, as those of `architectures.json`."""
    model = build(config)
    state = {name: value.shape for name, value in model.state_dict().items() if "num_batches_tracked" not in name}
    lines = "".join(f"{name} {','.join(map(str, shape))}\n" for name, shape in sorted(state.items()))
    parameters = sum(p.numel() for p in model.parameters())
    return {"backbone": config, "parameters": parameters, "learned": parameters, "keys": len(state),
            "digest": f"{formula.fnv1a(lines):016x}"}


def main():
    torch.set_num_threads(1)
    for name, (backbone, shape) in CLASSIFIERS.items():
        exact, state = run(backbone, shape, torch.float64)
        config = dict(type="ImageClassifier", backbone=backbone, neck=None, head=dict(type="ClsHead"))
        write_safetensors(f"{name}.safetensors", exact, {
            "script": SCRIPT, "versions": VERSIONS, "config": config, "input": shape, "state_dict": state})
        single, _ = run(backbone, shape, torch.float32)
        norms = exact["grad_norm"]
        kept = norms > 1e-9 * norms.max()
        for kind in ("grad_norm", "grad_probe"):
            error = np.abs(single[kind] - exact[kind])[kept] / norms[kept]
            print(f"    float32 {kind}: {error.max():.1e}")
        counts = [min(int(np.prod(s)), SAMPLES) for n, s in state if not n.endswith(BUFFERS)]
        worst, start = 0.0, 0
        for count in counts:
            part = slice(start, start + count)
            worst = max(worst, np.abs(single["grad"][part] - exact["grad"][part]).max() / np.abs(exact["grad"][part]).max())
            start += count
        print(f"    float32 grad: {worst:.1e}")
        error = np.abs(single["train.logits"] - exact["train.logits"]).max() / np.abs(exact["train.logits"]).max()
        print(f"    float32 train.logits: {error:.1e}")
    write_json("torchvision_architectures.json", [size(config) for config in ARCHS])


if __name__ == "__main__":
    main()
