#!/usr/bin/env python3
"""State dicts of torchvision's and timm's models, for the maps of `zoo::names`.

Writes `names_torchvision.json` and `names_timm.json`: a row for every model with its name, the keys and shapes of its state
dict without batch counters, and the logits of a batch of one, by the formula's weights and image, in f64; none for those
with parameters that the formula does not know, and for large ones. Needs torchvision and timm in one environment, which is
not that of the originals; see the README.
"""

import torch

from files import write_json
from formula import image, parameter

SIZE = [1, 3, 64, 64]
TORCHVISION = {
    "resnet18": True, "resnext50_32x4d": False, "wide_resnet50_2": False, "vgg11": False, "vgg11_bn": False,
    "mobilenet_v2": True, "mobilenet_v3_small": True, "mobilenet_v3_large": False, "shufflenet_v2_x1_0": True,
    "densenet121": True, "regnet_x_800mf": True, "efficientnet_b0": True, "vit_b_16": False,
}
TIMM = {
    "resnet18": False, "seresnet50": False, "vgg11_bn": False, "mobilenetv2_100": True, "mobilenetv3_large_100": True,
    "densenet121": False, "regnetx_004": True, "efficientnet_b0": True, "vit_base_patch16_224": False,
    "deit_tiny_distilled_patch16_224": False,
}


def row(name, model, numbers):
    model = model.double().eval()
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    out = {"model": name, "state_dict": [[k, list(v.shape)] for k, v in state.items()]}
    if numbers:
        with torch.no_grad():
            for key, value in state.items():
                value.copy_(torch.from_numpy(parameter(key, list(value.shape))).double())
            logits = model(torch.from_numpy(image(SIZE)).double())[0, :40]
        out |= {"input": SIZE, "logits": [float(f"{x:.9g}") for x in logits.tolist()]}
    return out


def main():
    import torchvision

    write_json("names_torchvision.json", [
        row(name, getattr(torchvision.models, name)(), numbers) for name, numbers in TORCHVISION.items()])
    import timm

    write_json("names_timm.json", [row(name, timm.create_model(name), numbers) for name, numbers in TIMM.items()])


if __name__ == "__main__":
    main()
