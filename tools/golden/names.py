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

SIZE = 64
# Models of other names and sizes than the libraries'; and the side of the image where there are logits.
TORCHVISION = {
    "alexnet": 224, "convnext_of_two_stages": SIZE, "convnext_tiny": None, "densenet121": SIZE, "efficientnet_b0": SIZE,
    "googlenet": SIZE, "inception_v3": 75, "mnasnet0_5": SIZE, "mobilenet_v2": SIZE, "mobilenet_v3_large": None,
    "mobilenet_v3_small": SIZE, "regnet_x_800mf": SIZE, "resnet18": SIZE, "resnext50_32x4d": None,
    "shufflenet_v2_x1_0": SIZE, "squeezenet1_1": SIZE, "swin_of_three_stages": SIZE, "swin_t": None, "vgg11": None,
    "vgg11_bn": None, "vit_b_16": None, "wide_resnet50_2": None,
}
TIMM = {
    "convnext_of_four_stages": SIZE, "convnext_atto": SIZE, "deit_tiny_distilled_patch16_224": None, "densenet121": None,
    "efficientnet_b0": SIZE, "efficientnet_lite0": SIZE, "inception_v3": 75, "mnasnet_050": SIZE, "mobilenetv2_100": SIZE,
    "mobilenetv3_large_100": SIZE, "regnetx_004": SIZE, "resnet18": None, "seresnet50": None, "swin_of_three_stages": SIZE,
    "vgg11_bn": None, "vit_base_patch16_224": None,
}


def of_torchvision(name):
    from torchvision import models

    if name == "convnext_of_two_stages":
        stages = [models.convnext.CNBlockConfig(16, 32, 1), models.convnext.CNBlockConfig(32, None, 2)]
        return models.ConvNeXt(stages, num_classes=10)
    if name == "swin_of_three_stages":
        return models.SwinTransformer([4, 4], 32, [2, 2, 2], [1, 2, 4], [4, 4], num_classes=10)
    keys = dict(init_weights=False) if name in ("googlenet", "inception_v3") else {}
    return getattr(models, name)(**keys)


def of_timm(name):
    import timm

    if name == "convnext_of_four_stages":
        return timm.create_model("convnext_tiny", depths=(1, 1, 2, 1), dims=(16, 32, 48, 64), num_classes=10)
    if name == "swin_of_three_stages":
        return timm.create_model("swin_tiny_patch4_window7_224", img_size=SIZE, embed_dim=32, depths=(2, 2, 2),
                                 num_heads=(1, 2, 4), window_size=4, num_classes=10)
    return timm.create_model(name)


def row(name, model, size):
    model = model.double().eval()
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    out = {"model": name, "state_dict": [[k, list(v.shape)] for k, v in state.items()]}
    if size is not None:
        shape = [1, 3, size, size]
        with torch.no_grad():
            for key, value in state.items():
                if not key.endswith("relative_position_index"):
                    value.copy_(torch.from_numpy(parameter(key, list(value.shape))).double())
            logits = model(torch.from_numpy(image(shape)).double())[0, :40]
        out |= {"input": shape, "logits": [float(f"{x:.9g}") for x in logits.tolist()]}
    return out


def main():
    write_json("names_torchvision.json", [row(name, of_torchvision(name), size) for name, size in TORCHVISION.items()])
    write_json("names_timm.json", [row(name, of_timm(name), size) for name, size in TIMM.items()])


if __name__ == "__main__":
    main()
