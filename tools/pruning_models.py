#!/usr/bin/env python3
"""The models of tools/check_pruning.py and bench/prune_speed.py as ONNX files.

    tools/pruning_models.py FOLDER [MODEL ..]      exports those that FOLDER lacks, the smallest first
    tools/pruning_models.py --list

LISTED are the 85 models of torchvision in Torch-Pruning's table of what it can prune (its examples/torchvision_models: 77
pass, 8 fail), MORE are others, among them detectors of the YOLO kind, written here layer for layer as their families are.

Weights are random, but no layer is degenerate: nothing is zero or constant, and batch normalizations have the statistics of
random images, so that outputs are numbers of ordinary size. Needs torch, torchvision and onnx.
"""
import argparse
import math
import pathlib
import subprocess
import sys
import time
import warnings

import torch
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings("ignore")

LISTED = """
ssdlite320_mobilenet_v3_large ssd300_vgg16 fasterrcnn_resnet50_fpn fasterrcnn_resnet50_fpn_v2
fasterrcnn_mobilenet_v3_large_320_fpn fasterrcnn_mobilenet_v3_large_fpn fcos_resnet50_fpn keypointrcnn_resnet50_fpn
maskrcnn_resnet50_fpn_v2 retinanet_resnet50_fpn_v2 alexnet vit_b_16 vit_b_32 vit_l_16 vit_l_32 vit_h_14 convnext_tiny
convnext_small convnext_base convnext_large densenet121 densenet169 densenet201 densenet161 efficientnet_b0
efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7
efficientnet_v2_s efficientnet_v2_m efficientnet_v2_l googlenet inception_v3 mnasnet0_5 mnasnet0_75 mnasnet1_0
mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_y_400mf regnet_y_800mf regnet_y_1_6gf
regnet_y_3_2gf regnet_y_8gf regnet_y_16gf regnet_y_32gf regnet_y_128gf resnet18 resnet34 resnet50 resnet101 resnet152
resnext50_32x4d resnext101_32x8d wide_resnet50_2 wide_resnet101_2 fcn_resnet50 fcn_resnet101 deeplabv3_resnet50
deeplabv3_resnet101 deeplabv3_mobilenet_v3_large lraspp_mobilenet_v3_large squeezenet1_0 squeezenet1_1 vgg11 vgg13 vgg16
vgg19 vgg11_bn vgg13_bn vgg16_bn vgg19_bn raft_large swin_t swin_s swin_b shufflenet_v2_x0_5 shufflenet_v2_x1_0
shufflenet_v2_x1_5 shufflenet_v2_x2_0
""".split()
MORE = ["yolov5s", "yolov8n", "yolo11n", "swin_v2_t", "maxvit_t", "regnet_x_400mf", "resnext101_64x4d", "raft_small"]
DETECTORS = [m for m in LISTED if m.startswith(("ssd", "retina", "fcos")) or "rcnn" in m]
SEGMENTERS = [m for m in LISTED if m.startswith(("fcn", "deeplab", "lraspp"))]


def act_conv(cin, cout, size=1, stride=1, groups=1, act=True):
    """Convolution, batch normalization, SiLU."""
    layers = [nn.Conv2d(cin, cout, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, nn.SiLU()) if act else nn.Sequential(*layers)


class Residual(nn.Module):
    """Two convolutions of 3x3 (the first of 1x1 in YOLOv5) with a shortcut."""

    def __init__(self, channels, hidden, first=3, add=True):
        super().__init__()
        self.body = nn.Sequential(act_conv(channels, hidden, first), act_conv(hidden, channels, 3))
        self.add = add

    def forward(self, x):
        return x + self.body(x) if self.add else self.body(x)


class C3(nn.Module):
    """YOLOv5's block: one half through residuals, the other past them, joined."""

    def __init__(self, cin, cout, count, add=True, hidden=None, first=1):
        super().__init__()
        hidden = hidden or cout // 2
        self.past, self.into = act_conv(cin, hidden), act_conv(cin, hidden)
        self.body = nn.Sequential(*(Residual(hidden, hidden, first, add) for _ in range(count)))
        self.out = act_conv(2 * hidden, cout)

    def forward(self, x):
        return self.out(torch.cat((self.body(self.into(x)), self.past(x)), 1))


class C2f(nn.Module):
    """YOLOv8's block: a convolution split in two, residuals on the second half, all of them joined."""

    def __init__(self, cin, cout, count, add=True, inner=None, part=0.5):
        super().__init__()
        self.hidden = int(cout * part)
        inner = inner or (lambda c: Residual(c, c, 3, add))
        self.into = act_conv(cin, 2 * self.hidden)
        self.body = nn.ModuleList(inner(self.hidden) for _ in range(count))
        self.out = act_conv((2 + count) * self.hidden, cout)

    def forward(self, x):
        parts = list(self.into(x).chunk(2, 1))
        for block in self.body:
            parts.append(block(parts[-1]))
        return self.out(torch.cat(parts, 1))


class Sppf(nn.Module):
    """Three poolings one after another, all joined."""

    def __init__(self, cin, cout):
        super().__init__()
        self.into, self.out = act_conv(cin, cin // 2), act_conv(cin * 2, cout)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        parts = [self.into(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.out(torch.cat(parts, 1))


class Psa(nn.Module):
    """YOLO11's attention on half of the channels: keys of half the width, a depthwise convolution of the values beside."""

    def __init__(self, channels):
        super().__init__()
        self.half = channels // 2
        self.heads = max(self.half // 64, 1)
        self.dim = self.half // self.heads
        self.key = self.dim // 2
        self.into, self.out = act_conv(channels, channels), act_conv(channels, channels)
        self.qkv = act_conv(self.half, self.half + self.key * self.heads * 2, act=False)
        self.position = act_conv(self.half, self.half, 3, groups=self.half, act=False)
        self.project = act_conv(self.half, self.half, act=False)
        self.mlp = nn.Sequential(act_conv(self.half, channels), act_conv(channels, self.half, act=False))

    def attention(self, x):
        n, c, h, w = x.shape
        qkv = self.qkv(x).view(n, self.heads, 2 * self.key + self.dim, h * w)
        q, k, v = qkv.split([self.key, self.key, self.dim], 2)
        weights = (q.transpose(-2, -1) @ k * self.key**-0.5).softmax(-1)
        mixed = (v @ weights.transpose(-2, -1)).view(n, c, h, w)
        return self.project(mixed + self.position(v.reshape(n, c, h, w)))

    def forward(self, x):
        a, b = self.into(x).split((self.half, self.half), 1)
        b = b + self.attention(b)
        b = b + self.mlp(b)
        return self.out(torch.cat((a, b), 1))


class DflHead(nn.Module):
    """The decoupled head of YOLOv8 and YOLO11: boxes as distributions over 16 distances, decoded to corners."""

    def __init__(self, channels, size, classes=80, light=False):
        super().__init__()
        self.classes, self.bins = classes, 16
        box, cls = max(channels[0] // 4, 64), max(channels[0], 80)

        def class_convs(c):
            if light:
                return [act_conv(c, c, 3, groups=c), act_conv(c, cls), act_conv(cls, cls, 3, groups=cls), act_conv(cls, cls)]
            return [act_conv(c, cls, 3), act_conv(cls, cls, 3)]

        self.boxes = nn.ModuleList(
            nn.Sequential(act_conv(c, box, 3), act_conv(box, box, 3), nn.Conv2d(box, 4 * self.bins, 1)) for c in channels)
        self.scores = nn.ModuleList(nn.Sequential(*class_convs(c), nn.Conv2d(cls, classes, 1)) for c in channels)
        self.expect = nn.Conv2d(self.bins, 1, 1, bias=False)
        centers, strides = [], []
        for stride in (8, 16, 32):
            y, x = torch.meshgrid(torch.arange(size // stride), torch.arange(size // stride), indexing="ij")
            centers.append(torch.stack((x, y), -1).reshape(-1, 2) + 0.5)
            strides.append(torch.full((centers[-1].shape[0],), float(stride)))
        self.register_buffer("centers", torch.cat(centers).T[None].float())
        self.register_buffer("strides", torch.cat(strides)[None, None])

    def forward(self, levels):
        found = [torch.cat((b(x), s(x)), 1).flatten(2) for b, s, x in zip(self.boxes, self.scores, levels)]
        boxes, scores = torch.cat(found, 2).split((4 * self.bins, self.classes), 1)
        n, _, count = boxes.shape
        distances = self.expect(boxes.view(n, 4, self.bins, count).transpose(2, 1).softmax(1)).view(n, 4, count)
        before, after = distances.chunk(2, 1)
        low, high = self.centers - before, self.centers + after
        boxes = torch.cat(((low + high) / 2, high - low), 1) * self.strides
        return torch.cat((boxes, scores.sigmoid()), 1)


class AnchorHead(nn.Module):
    """YOLOv5's head: three anchors a cell, decoded to centers and sizes."""

    def __init__(self, channels, size, classes=80):
        super().__init__()
        self.each = classes + 5
        self.convs = nn.ModuleList(nn.Conv2d(c, 3 * self.each, 1) for c in channels)
        for i, stride in enumerate((8, 16, 32)):
            y, x = torch.meshgrid(torch.arange(size // stride), torch.arange(size // stride), indexing="ij")
            self.register_buffer(f"grid{i}", torch.stack((x, y), -1)[None, None].float() - 0.5)
            self.register_buffer(f"anchors{i}", torch.tensor([[1.5, 2], [3, 4], [6, 5]]).view(1, 3, 1, 1, 2) * stride)

    def forward(self, levels):
        found = []
        for i, (conv, x) in enumerate(zip(self.convs, levels)):
            n, _, h, w = x.shape
            y = conv(x).view(n, 3, self.each, h, w).permute(0, 1, 3, 4, 2).contiguous().sigmoid()
            xy, wh, rest = y.split((2, 2, self.each - 4), 4)
            xy = (xy * 2 + getattr(self, f"grid{i}")) * (8 << i)
            wh = (wh * 2) ** 2 * getattr(self, f"anchors{i}")
            found.append(torch.cat((xy, wh, rest), 4).view(n, -1, self.each))
        return torch.cat(found, 1)


class Yolo(nn.Module):
    """Five stages, a pyramid up and down again over the last three, and a head."""

    def __init__(self, widths, depths, block, head, tail=None):
        super().__init__()
        c1, c2, c3, c4, c5 = widths
        d = depths
        self.stem = act_conv(3, c1, 3, 2)
        self.stage2 = nn.Sequential(act_conv(c1, c2, 3, 2), block(c2, c2, d[0], True))
        self.stage3 = nn.Sequential(act_conv(c2, c3, 3, 2), block(c3, c3, d[1], True))
        self.stage4 = nn.Sequential(act_conv(c3, c4, 3, 2), block(c4, c4, d[2], True))
        self.stage5 = nn.Sequential(
            act_conv(c4, c5, 3, 2), block(c5, c5, d[3], True), Sppf(c5, c5), *([tail(c5)] if tail else []))
        self.up4, self.up3 = block(c5 + c4, c4, d[0], False), block(c4 + c3, c3, d[0], False)
        self.down3, self.down4 = act_conv(c3, c3, 3, 2), act_conv(c4, c4, 3, 2)
        self.out4, self.out5 = block(c3 + c4, c4, d[0], False), block(c4 + c5, c5, d[0], False)
        self.head = head((c3, c4, c5))

    def forward(self, x):
        p3 = self.stage3(self.stage2(self.stem(x)))
        p4 = self.stage4(p3)
        p5 = self.stage5(p4)
        up4 = self.up4(torch.cat((F.interpolate(p5, scale_factor=2.0), p4), 1))
        out3 = self.up3(torch.cat((F.interpolate(up4, scale_factor=2.0), p3), 1))
        out4 = self.out4(torch.cat((self.down3(out3), up4), 1))
        out5 = self.out5(torch.cat((self.down4(out4), p5), 1))
        return self.head((out3, out4, out5))


def yolo(name, size):
    if name == "yolov5s":
        return Yolo((32, 64, 128, 256, 512), (1, 2, 3, 1), C3, lambda c: AnchorHead(c, size))
    if name == "yolov8n":
        return Yolo((16, 32, 64, 128, 256), (1, 2, 2, 1), C2f, lambda c: DflHead(c, size))

    def c3k2(cin, cout, count, add):
        inner = (lambda c: C3(c, c, 2, True, c // 2, 3)) if cout >= 128 else (lambda c: Residual(c, c // 2, 3, True))
        return C2f(cin, cout, count, add, inner)

    return Yolo((16, 32, 64, 128, 256), (1, 1, 1, 1), c3k2, lambda c: DflHead(c, size, light=True), Psa)


def build(name):
    """The model in PyTorch, with example inputs as its forward takes them."""
    import torchvision

    torch.manual_seed(0)
    if name.startswith("yolo"):
        return yolo(name, 320), (torch.rand(1, 3, 320, 320),)
    options = {"weights": None}
    if name in SEGMENTERS + DETECTORS:
        options["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        options.update(init_weights=False, aux_logits=False)
    if "rcnn" in name or name.startswith(("retina", "fcos")):
        # What a pyramid of random weights finds is nothing else than many boxes; few of them keep a run short.
        options.update(min_size=320, max_size=320)
        if "rcnn" in name:
            options.update(rpn_pre_nms_top_n_test=200, rpn_post_nms_top_n_test=50, box_score_thresh=0.0,
                           box_detections_per_img=20)
        else:
            options.update(score_thresh=0.0, detections_per_img=50)
    if name.startswith("ssd"):
        options.update(score_thresh=0.0)
    model = torchvision.models.get_model(name, **options)
    if name in DETECTORS:
        size = 300 if name == "ssd300_vgg16" else 320
        return model, ([torch.rand(3, size, size)],)
    if name.startswith("raft"):
        return model, (torch.rand(1, 3, 128, 128) * 2 - 1, torch.rand(1, 3, 128, 128) * 2 - 1)
    size = {"inception_v3": 299, "swin_v2_t": 256}.get(name, 224)
    return model, (torch.randn(1, 3, size, size),)


def settle(model, example):
    """Makes weights that start as constants random, and gives normalizations the statistics of random images."""
    model.eval()
    calibrated = False
    for module in model.modules():
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)) and module.weight is not None:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.1)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None
            module.train()
            calibrated = True
    for name, p in model.named_parameters():
        if p.numel() > 1 and p.min() == p.max():
            if "layer_scale" in name:
                nn.init.uniform_(p, 0.2, 0.8)
            elif p.dim() > 1 and "token" not in name:
                nn.init.normal_(p, 0.0, 1 / math.sqrt(p[0].numel()))
            else:
                nn.init.normal_(p, 0.0, 0.05)
    if calibrated:
        with torch.no_grad():
            model(*([*x, *(torch.rand_like(i) for i in x)] if isinstance(x, list) else torch.cat([x, torch.randn_like(x)])
                    for x in example))
    model.eval()


def export(name, path):
    """Writes `name` as ONNX to `path`."""
    import onnx

    model, example = build(name)
    settle(model, example)
    large = sum(p.numel() for p in model.parameters()) * 4 > 1.9e9
    path = pathlib.Path(path)
    raw = path.with_suffix(".export") if not large else path.with_suffix(".parts") / "model.onnx"
    raw.parent.mkdir(exist_ok=True)
    torch.onnx.export(model, example, str(raw), dynamo=False, opset_version=17)
    del model, example
    if large:
        whole = onnx.load(str(raw))
        onnx.save_model(whole, str(path), save_as_external_data=True, location=path.name + ".data")
        for part in raw.parent.iterdir():
            part.unlink()
        raw.parent.rmdir()
    else:
        raw.rename(path)


def export_apart(name, folder):
    """Exports in a process of its own, which gives its memory back."""
    run = subprocess.run([sys.executable, __file__, "--one", str(folder), name], capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError((run.stderr.strip() or "killed")[-1000:])


def by_size(names):
    import torchvision

    def parameters(name):
        if name.startswith("yolo"):
            return 5e6
        return torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]

    return sorted(names, key=parameters)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("models", nargs="*")
    args = parser.parse_args()
    if args.list:
        print("\n".join(LISTED + MORE))
        return
    if args.one:
        export(args.models[0], pathlib.Path(args.folder) / f"{args.models[0]}.onnx")
        return
    folder = pathlib.Path(args.folder)
    folder.mkdir(exist_ok=True)
    failed = 0
    for name in args.models or by_size(LISTED) + MORE:
        if (folder / f"{name}.onnx").exists():
            continue
        start = time.time()
        try:
            export_apart(name, folder)
            state = "exported"
        except RuntimeError as error:
            state, failed = f"FAILED: {error}", failed + 1
        print(f"{name}: {state}, {time.time() - start:.0f} s", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
