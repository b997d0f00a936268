#!/usr/bin/env python3
"""Compare the accuracy that pruning leaves with Torch-Pruning's, from the same trained weights.

    python bench/prune_quality.py --data DIR --work-dir W                 # three seeds, whole Fashion-MNIST: hours
    python bench/prune_quality.py --data DIR --work-dir W --seeds 0 --only baseline occam
    python bench/prune_quality.py --work-dir W --report                   # the table of what is there

The protocol: ResNet-20 (configs/fashion_mnist/resnet20.py) is trained by Occam for 12 epochs (SGD 0.1, batch 128, cosine). Its
last weights are pruned to a half and a quarter of the multiply-accumulates, by `occam prune` and by Torch-Pruning's group norm
(GroupMagnitudeImportance, p=2, global), and fine-tuned for 4 epochs (SGD 0.02, batch 128, cosine), by the labels alone and with
the baseline as teacher (KL divergence, temperature 4). Both sides crop (padding 2) and flip, shuffle anew every epoch, use
weight decay 5e-4 and Nesterov momentum 0.9. The last epoch counts. Every result is an ONNX file whose accuracy on the test
images is measured in ONNX Runtime.

Widths: Occam's are multiples of --round-to (default: that of `occam prune`), Torch-Pruning's those of --peer-round-to (default:
its own, any number).

DIR holds the four files of Fashion-MNIST. Whatever is finished is in W/results.json and not done again; a training that was
stopped goes on. Needs numpy, onnxruntime, and for the peer's side PyTorch and torch-pruning.
"""

import argparse
import gzip
import json
import math
import os
import statistics
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "configs/fashion_mnist/resnet20.py"
MEAN, STD = 72.94, 90.02
MOMENTUM, DECAY, TAU, BATCH = 0.9, 5e-4, 4.0, 128
TARGETS = {"2x": 0.5, "4x": 0.25}
CHUNK = 500


# Data


def idx(folder, name):
    """The array in an IDX file."""
    for path in (Path(folder) / f"{name}.gz", Path(folder) / name):
        if path.is_file():
            raw = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
            rank = raw[3]
            shape = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
            return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)
    sys.exit(f"{folder} has no {name}")


def images(folder, part):
    return idx(folder, f"{part}-images-idx3-ubyte"), idx(folder, f"{part}-labels-idx1-ubyte")


def accuracy(path, folder, threads):
    """Percent of the test images that the file classifies right in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (wanted,) = session.get_inputs()
    x, y = images(folder, "t10k")
    x = ((x.astype(np.float32) - MEAN) / STD)[:, None]
    # A file may be made for one image.
    size = wanted.shape[0] if isinstance(wanted.shape[0], int) else CHUNK
    right = 0
    for at in range(0, len(x) - size + 1, size):
        (scores,) = session.run(None, {wanted.name: x[at : at + size]})
        right += int((scores.argmax(1) == y[at : at + size]).sum())
    return 100.0 * right / (len(x) // size * size)


# Results


class Results:
    """Finished steps, in a file."""

    def __init__(self, path):
        self.path = path
        self.done = json.loads(path.read_text()) if path.exists() else {}

    def keep(self, name, figures):
        # Another process may have finished other steps meanwhile.
        if self.path.exists():
            self.done = json.loads(self.path.read_text()) | self.done
        self.done[name] = figures
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.done, indent=1) + "\n")
        os.replace(partial, self.path)
        print(f"{name}: {json.dumps(figures)}", flush=True)


# Occam's side


def occam(args, words):
    """What the last JSON line of a command says."""
    command = [str(args.occam), "--json", "--threads", str(args.threads), *map(str, words)]
    print("$", " ".join(command), flush=True)
    last = None
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            last = json.loads(line)
            if last.get("event") in ("train", "val"):
                print(line.rstrip(), flush=True)
    if process.returncode != 0:
        sys.exit(f"occam failed: {last}")
    return last


def data_options(args):
    options = [f"data_root={args.data}"]
    if args.limit:
        options.append(f"train_dataloader.dataset.indices={args.limit}")
    return options


def baseline(args, folder, seed):
    work = folder / "baseline"
    options = [*data_options(args), f"train_cfg.max_epochs={args.epochs}"]
    words = ["train", CONFIG, "--work-dir", work, "--seed", seed, "--resume", "--cfg-options", *options]
    occam(args, words)
    file = folder / "baseline.onnx"
    last = work / (work / "last_checkpoint").read_text().strip()
    occam(args, ["export", CONFIG, last, "-o", file, "--cfg-options", *data_options(args)])
    return {"accuracy": accuracy(file, args.data, args.threads), "checkpoint": str(last)}


def ours(args, folder, seed, target, distill):
    name = f"occam-{target}" + ("-distill" if distill else "")
    file = folder / f"{name}.onnx"
    words = ["prune", folder / "baseline.onnx", "--macs", TARGETS[target], "-o", file]
    words += ["--data", args.train_data, "--val-data", args.data, "--mean", MEAN, "--std", STD]
    words += ["--finetune-epochs", args.finetune_epochs, "--lr", args.lr, "--weight-decay", DECAY]
    words += ["--batch-size", BATCH, "--seed", seed, "--work-dir", folder / name, "--resume"]
    words += ["--distill", "--tau", TAU] if distill else []
    words += ["--round-to", args.round_to] if args.round_to else []
    words += ["--importance", args.importance] if args.importance else []
    told = occam(args, words)
    return {
        "accuracy": accuracy(file, args.data, args.threads),
        "pruned": told["accuracy"]["pruned"],
        "macs": told["after"]["macs"],
        "part": told["after"]["macs"] / told["before"]["macs"],
        "params": told["after"]["params"],
        "widths": {u["unit"]: u["after"] for u in told["units"]},
    }


# The peer's side


def safetensors(path):
    """The arrays of f32 of a file."""
    raw = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header, body = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    out = {}
    for name, about in header.items():
        if name != "__metadata__" and about["dtype"] == "F32" and "/" not in name:
            start, end = about["data_offsets"]
            out[name] = np.frombuffer(body[start:end], np.float32).reshape(about["shape"]).copy()
    return out


def resnet20():
    """The model of the config, with its names."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, cin, cout, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(cout)
            self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(cout)
            self.relu = nn.ReLU()
            self.downsample = None
            if stride != 1 or cin != cout:
                conv = nn.Conv2d(cin, cout, 1, stride, bias=False)
                self.downsample = nn.Sequential(conv, nn.BatchNorm2d(cout))

        def forward(self, x):
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            return self.relu(out + (x if self.downsample is None else self.downsample(x)))

    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(16)
            self.relu = nn.ReLU()
            cin = 16
            for i, cout in enumerate((16, 32, 64)):
                blocks = []
                for j in range(3):
                    blocks.append(Block(cin, cout, 2 if i > 0 and j == 0 else 1))
                    cin = cout
                setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))

        def forward(self, x):
            x = self.relu(self.bn1(self.conv1(x)))
            return self.layer3(self.layer2(self.layer1(x)))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = Backbone()
            self.head = nn.Module()
            self.head.fc = nn.Linear(64, 10)

        def forward(self, x):
            return self.head.fc(self.backbone(x).mean((2, 3)))

    return Model()


def macs(model):
    """Multiply-accumulates of convolutions and linear layers for one image."""
    import torch
    from torch import nn

    total = 0

    def count(module, _, output):
        nonlocal total
        if isinstance(module, nn.Linear):
            total += module.weight.numel()
        else:
            total += module.weight.numel() * output.shape[2] * output.shape[3]

    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks = [m.register_forward_hook(count) for m in layers]
    training = model.training
    with torch.no_grad():
        model.eval()(torch.zeros(1, 1, 28, 28))
    model.train(training)
    for hook in hooks:
        hook.remove()
    return total


def prune_peer(model, part, round_to):
    """Removes channels by Torch-Pruning's group norm until `part` of the multiply-accumulates is left."""
    import torch
    import torch_pruning as tp

    limit = macs(model) * part
    steps = 400
    pruner = tp.pruner.BasePruner(
        model,
        torch.zeros(1, 1, 28, 28),
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=1.0,
        iterative_steps=steps,
        ignored_layers=[model.head.fc],
        round_to=round_to,
    )
    for _ in range(steps):
        if macs(model) <= limit:
            return
        pruner.step()
    sys.exit("Torch-Pruning did not reach the target")


def varied(x, generator):
    """A batch of u8 images, cropped and flipped, normalized."""
    import torch

    n, h, w = x.shape
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2))
    shift = torch.randint(0, 5, (2, n), generator=generator)
    flip = torch.rand(n, generator=generator) < 0.5
    rows = (shift[0][:, None] + torch.arange(h))[:, :, None]
    columns = torch.arange(w).repeat(n, 1)
    columns[flip] = columns[flip].flip(1)
    columns = (shift[1][:, None] + columns)[:, None, :]
    cut = padded[torch.arange(n)[:, None, None], rows, columns]
    return ((cut.float() - MEAN) / STD)[:, None]


def peer(args, folder, seed, target, distill, checkpoint):
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(args.threads)
    torch.manual_seed(seed)
    name = f"peer-{target}" + ("-distill" if distill else "")
    teacher = resnet20()
    weights = {k: torch.from_numpy(v) for k, v in safetensors(checkpoint).items()}
    missing, unexpected = teacher.load_state_dict(weights, strict=False)
    if unexpected or [k for k in missing if not k.endswith("num_batches_tracked")]:
        sys.exit(f"{checkpoint}: missing {missing}, unexpected {unexpected}")
    teacher.eval()
    model = resnet20()
    model.load_state_dict(teacher.state_dict())
    full = macs(model)
    prune_peer(model, TARGETS[target], args.peer_round_to)
    figures = {"macs": macs(model), "part": macs(model) / full}
    figures["params"] = sum(p.numel() for p in model.parameters())
    convs = [(n, m.out_channels) for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d)]
    figures["widths"] = dict(convs)
    file = folder / f"{name}.onnx"
    export_peer(model, file)
    figures["pruned"] = accuracy(file, args.data, args.threads)

    x, y = images(args.train_data, "train")
    x, y = torch.from_numpy(x.copy()), torch.from_numpy(y.astype(np.int64))
    optimizer = torch.optim.SGD(
        model.parameters(), args.lr, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True
    )
    steps = math.ceil(len(x) / BATCH)
    total = steps * args.finetune_epochs
    saved, first = folder / f"{name}.pt", 0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"]
    for epoch in range(first, args.finetune_epochs):
        generator = torch.Generator().manual_seed(1000 * seed + epoch)
        order = torch.randperm(len(x), generator=generator)
        model.train()
        for step in range(steps):
            at = epoch * steps + step
            for group in optimizer.param_groups:
                group["lr"] = args.lr * 0.5 * (1 + math.cos(math.pi * at / total))
            chosen = order[step * BATCH : (step + 1) * BATCH]
            batch = varied(x[chosen], generator)
            scores = model(batch)
            loss = F.cross_entropy(scores, y[chosen])
            if distill:
                with torch.no_grad():
                    wanted = teacher(batch)
                log = F.log_softmax(scores / TAU, 1)
                kl = F.kl_div(log, F.softmax(wanted / TAU, 1), reduction="batchmean")
                loss = loss + TAU * TAU * kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 100 == 0:
                print(f"{name} seed {seed}: epoch {epoch + 1}, {step} of {steps}, loss {loss:.4f}", flush=True)
        partial = saved.with_suffix(".partial")
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}
        torch.save(state, partial)
        os.replace(partial, saved)
    export_peer(model, file)
    return {"accuracy": accuracy(file, args.data, args.threads), **figures}


def export_peer(model, file):
    import torch

    training = model.training
    model.eval()
    torch.onnx.export(
        model, torch.zeros(1, 1, 28, 28), str(file), dynamo=False, opset_version=17,
        input_names=["image"], output_names=["scores"],
        dynamic_axes={"image": {0: "N"}, "scores": {0: "N"}},
    )  # fmt: skip
    model.train(training)


# The table


def mean(values):
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def report(results, seeds):
    def of(kind, key="accuracy"):
        found = [results.done.get(f"seed_{s}/{kind}") for s in seeds]
        return [f[key] for f in found if f]

    rows = [("", "Occam", "Torch-Pruning", "MACs", "MACs", "seeds")]
    base = of("baseline")
    if base:
        rows.append(("baseline", mean(base), mean(base), "", "", str(len(base))))
    for target in TARGETS:
        for what, label in (("pruned", "as pruned"), ("", "fine-tuned"), ("-distill", "distilled")):
            suffix = "" if what == "pruned" else what
            key = "pruned" if what == "pruned" else "accuracy"
            sides = [of(f"{side}-{target}{suffix}", key) for side in ("occam", "peer")]
            parts = [of(f"{side}-{target}{suffix}", "part") for side in ("occam", "peer")]
            if any(sides):
                numbers = [mean(s) if s else "-" for s in sides]
                part = [f"{statistics.mean(p):.3f}" if p else "-" for p in parts]
                count = "/".join(str(len(s)) for s in sides)
                rows.append((f"{target} {label}", *numbers, *part, count))
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip())


def steps(args):
    """All steps, in the order in which they are done."""
    for seed in args.seeds:
        yield seed, "baseline"
        for target in TARGETS:
            for distill in ("-distill", ""):
                for side in ("occam", "peer"):
                    yield seed, f"{side}-{target}{distill}"


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the four files of Fashion-MNIST")
    parser.add_argument("--work-dir", type=Path, required=True, metavar="W", help="where everything goes")
    parser.add_argument("--occam", type=Path, default=ROOT / "target/release/occam", help="the binary")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--only", nargs="+", metavar="STEP", default=[""],
        help="steps that begin with one of these: baseline, occam-2x, peer-4x-distill",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=2, help="of each side (default 2)")
    parser.add_argument("--epochs", type=int, default=12, help="of the baseline (default 12)")
    parser.add_argument("--finetune-epochs", type=int, default=4, help="after pruning (default 4)")
    parser.add_argument("--lr", type=float, default=0.02, help="of the fine-tuning (default 0.02)")
    parser.add_argument("--round-to", type=int, metavar="N", help="multiple of Occam's widths")
    parser.add_argument("--peer-round-to", type=int, metavar="N", help="multiple of Torch-Pruning's widths")
    parser.add_argument("--importance", metavar="NAME", help="Occam's, in place of its default")
    parser.add_argument("--limit", type=int, metavar="N", help="train on the first N images: a trial")
    parser.add_argument("--report", action="store_true", help="print the table and do nothing")
    args = parser.parse_args()
    if not args.report and args.data is None:
        parser.error("--data is needed")
    return args


def limited(args):
    """A folder with the first images of the training set alone."""
    folder = args.work_dir / f"first_{args.limit}"
    folder.mkdir(parents=True, exist_ok=True)
    x, y = images(args.data, "train")
    for name, array in (("images-idx3", x), ("labels-idx1", y)):
        part = array[: args.limit]
        header = bytes([0, 0, 8, part.ndim]) + struct.pack(f">{part.ndim}I", *part.shape)
        (folder / f"train-{name}-ubyte").write_bytes(header + part.tobytes())
    return folder


def main():
    args = arguments()
    args.work_dir = args.work_dir.resolve()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    results = Results(args.work_dir / "results.json")
    if args.report:
        return report(results, args.seeds)
    args.data, args.occam = args.data.resolve(), args.occam.resolve()
    args.train_data = limited(args) if args.limit else args.data
    for seed, step in steps(args):
        name = f"seed_{seed}/{step}"
        if name in results.done or not any(step.startswith(only) for only in args.only):
            continue
        folder = args.work_dir / f"seed_{seed}"
        folder.mkdir(exist_ok=True)
        if step == "baseline":
            results.keep(name, baseline(args, folder, seed))
            continue
        base = results.done.get(f"seed_{seed}/baseline")
        if base is None:
            sys.exit(f"{name} needs the baseline of that seed")
        side, target, *distill = step.split("-")
        if side == "occam":
            results.keep(name, ours(args, folder, seed, target, bool(distill)))
        else:
            results.keep(name, peer(args, folder, seed, target, bool(distill), base["checkpoint"]))
    report(results, args.seeds)


if __name__ == "__main__":
    main()
