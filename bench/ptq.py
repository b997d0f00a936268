#!/usr/bin/env python3
"""Post-training quantization by Occam, NNCF and onnxruntime.quantization, side by side.

    cargo build --release
    python bench/ptq.py speed                                  # MobileNetV2 and ResNet-50, 300 images of 224x224
    python bench/ptq.py latency                                # the files of `speed`, interleaved, against their originals
    python bench/ptq.py accuracy --data DIR --models A.onnx .. # trained models on Fashion-MNIST

`speed`: wall time of reading the model and the images, observing ranges, correcting biases and writing the file, and the
peak memory. Occam is timed as a whole process; of the peers neither the start of Python nor imports count. All read the same
JPEG files; the peers decode with Pillow and get arrays one by one, so that their memory is their own. NNCF runs with fast bias
correction, its default; onnxruntime's quantize_static with MinMax, signed weights by channel, unsigned activations.
`latency`: medians of interleaved rounds in onnxruntime. `accuracy`: percent of the 10,000 test images, measured in onnxruntime,
after calibration on the same 300 training images. Everything is kept in --folder. Exits 1 where Occam is not at least
--wanted times as fast as the faster of the peers, or its drop or latency is worse than theirs.
"""

import argparse
import gzip
import json
import os
import resource
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
MODELS = ["mobilenet_v2", "resnet50"]
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
GREY_MEAN, GREY_STD = 72.94, 90.02
TOOLS = ["occam", "nncf", "onnxruntime"]


# What all of them quantize.


def export(name, folder):
    """A model of torchvision with random weights as a file."""
    path = folder / f"{name}.onnx"
    if not path.exists():
        import torch
        import torchvision

        torch.manual_seed(0)
        model = torchvision.models.get_model(name, weights=None).eval()
        # Running statistics of the data keep activations in range, as training would.
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        with torch.no_grad():
            for i in range(8):
                model(torch.from_numpy(np.stack([prepared(p) for p in pictures(folder)[4 * i : 4 * i + 4]])))
        model.eval()
        part = path.with_suffix(".part")
        torch.onnx.export(model, (torch.rand(1, 3, 224, 224),), part, dynamo=False, opset_version=17,
                          dynamic_axes={"input": {0: "N"}}, input_names=["input"], output_names=["output"])
        part.rename(path)
    return path


def pictures(folder, count=300):
    """JPEG files of smooth random colours with edges."""
    from PIL import Image

    where = folder / "images"
    where.mkdir(parents=True, exist_ok=True)
    paths = [where / f"{i:04}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        if not path.exists():
            rng = np.random.default_rng(i)
            image = np.zeros((256, 256, 3))
            for side in (4, 8, 16, 32, 128):
                noise = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
                image += np.asarray(noise.resize((256, 256), Image.BICUBIC), float) / side**0.5
            for _ in range(6):
                x, y, w, h = rng.integers(0, 200, 4)
                image[y : y + h, x : x + w] = image[y : y + h, x : x + w] * 0.4 + rng.integers(0, 255, 3)
            image = (image - image.min()) / (np.ptp(image) + 1e-9) * 255
            Image.fromarray(image.astype(np.uint8)).save(path, quality=90)
    return paths


def prepared(path):
    from PIL import Image

    image = Image.open(path).convert("RGB").resize((256, 256), Image.BILINEAR).crop((16, 16, 240, 240))
    x = (np.asarray(image, np.float32) - MEAN) / STD
    return np.ascontiguousarray(x.transpose(2, 0, 1), np.float32)


def idx(folder, name):
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            raw = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
            rank = raw[3]
            return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank]))
    sys.exit(f"{folder} has no {name}")


def grey(folder, part):
    images = idx(folder, f"{part}-images-idx3-ubyte")[:, None].astype(np.float32)
    return (images - GREY_MEAN) / GREY_STD, idx(folder, f"{part}-labels-idx1-ubyte")


# The tools. `source` gives arrays of one batch of one.


def run_nncf(model, output, source):
    import nncf
    import onnx

    nncf.set_log_level(40) if hasattr(nncf, "set_log_level") else None
    started = time.perf_counter()
    proto = onnx.load(model)
    name = proto.graph.input[0].name
    items = list(source)
    quantized = nncf.quantize(proto, nncf.Dataset(items, lambda p: {name: load(p)[None]}), subset_size=len(items))
    onnx.save(quantized, output)
    return time.perf_counter() - started


def run_onnxruntime(model, output, source):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
    import onnx

    started = time.perf_counter()
    name = onnx.load(model, load_external_data=False).graph.input[0].name

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.paths = iter(source)

        def get_next(self):
            path = next(self.paths, None)
            return None if path is None else {name: load(path)[None]}

    prepared_model = f"{output}.prepared.onnx"
    quant_pre_process(str(model), prepared_model)
    quantize_static(prepared_model, str(output), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    os.remove(prepared_model)
    return time.perf_counter() - started


def load(item):
    """An image of a folder, or one of an array on disk: `FILE#INDEX`."""
    text = str(item)
    if "#" in text:
        path, index = text.rsplit("#", 1)
        return np.load(path, mmap_mode="r")[int(index)].copy()
    return prepared(item)


def peer(args):
    """In a process of its own: its time and its memory."""
    items = args.items.read_text().split("\n")
    tool = {"nncf": run_nncf, "onnxruntime": run_onnxruntime}[args.tool]
    # Imports count for neither.
    import onnx, onnxruntime  # noqa: F401, E401

    if args.tool == "nncf":
        import nncf  # noqa: F401
    seconds = tool(args.model, args.output, items)
    print(json.dumps({"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def occam(args, model, output, more):
    command = ["/usr/bin/env", str(args.occam), "--json", "--threads", str(args.threads), "quantize", str(model),
               "-o", str(output), *more, *args.extra]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr)
    told = json.loads(done.stdout.strip().split("\n")[-1])
    return {"seconds": seconds, "peak": told.get("peak_memory", 0), "told": told}


def quantize(args, tool, model, output, items, more):
    if tool == "occam":
        return occam(args, model, output, more)
    listed = args.folder / "items.txt"
    listed.write_text("\n".join(str(i) for i in items))
    command = [sys.executable, __file__, "peer", "--tool", tool, "--model", str(model), "--output", str(output),
               "--items", str(listed), "--folder", str(args.folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return json.loads(done.stdout.strip().split("\n")[-1])


# The parts.


def speed(args):
    paths, failed = pictures(args.folder), False
    for name in args.only or MODELS:
        model = export(name, args.folder)
        rows = {}
        for _ in range(args.rounds):
            for tool in args.tools:
                output = args.folder / f"{name}--{tool}.onnx"
                more = ["--data", str(args.folder / "images"), "--samples", "300",
                        "--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD))]
                rows.setdefault(tool, []).append(quantize(args, tool, model, output, paths, more))
        for tool, runs in rows.items():
            seconds = statistics.median(r["seconds"] for r in runs)
            peak = max(r["peak"] for r in runs)
            rows[tool] = seconds
            print(f"{name:16} {tool:12} {seconds:7.2f} s  peak {peak / 1e6:7.0f} MB", flush=True)
        others = [s for tool, s in rows.items() if tool != "occam"]
        if others and "occam" in rows:
            ratio = min(others) / rows["occam"]
            failed |= ratio < args.wanted
            print(f"{name:16} {ratio:.2f}x as fast as the faster of the peers", flush=True)
    return failed


def session(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def latency(args):
    failed = False
    for name in args.only or MODELS:
        files = {"float": args.folder / f"{name}.onnx"}
        files.update({t: args.folder / f"{name}--{t}.onnx" for t in args.tools})
        files = {k: p for k, p in files.items() if p.exists()}
        x = np.random.default_rng(0).random((1, 3, 224, 224), dtype=np.float32)
        runs = {}
        for k, p in files.items():
            s = session(p, args.threads)
            runs[k] = lambda s=s: s.run(None, {s.get_inputs()[0].name: x})
        medians = {k: [] for k in runs}
        for _ in range(args.rounds * 8):
            for k, run in runs.items():
                for _ in range(3):
                    run()
                times = []
                for _ in range(12):
                    t = time.perf_counter()
                    run()
                    times.append(time.perf_counter() - t)
                medians[k].append(statistics.median(times))
        ratio = {k: statistics.median(a / b for a, b in zip(medians["float"], m)) for k, m in medians.items()}
        for k, m in medians.items():
            print(f"{name:16} {k:12} {1e3 * statistics.median(m):7.2f} ms  {ratio[k]:.2f}x  {files[k].stat().st_size / 1e6:.1f} MB", flush=True)
        ours = ratio.get("occam", 0)
        failed |= ours < 1 or any(ours < 0.97 * r for k, r in ratio.items() if k in ("nncf", "onnxruntime"))
    return failed


def score(path, images, labels, threads):
    s = session(path, threads)
    name = s.get_inputs()[0].name
    fixed = s.get_inputs()[0].shape[0]
    step = fixed if isinstance(fixed, int) else 500
    logits = np.concatenate([s.run(None, {name: images[i : i + step]})[0] for i in range(0, len(images), step)])
    return 100 * float((logits.argmax(1) == labels).mean()), logits


def accuracy(args):
    train, _ = grey(args.data, "train")
    images, labels = grey(args.data, "t10k")
    # The images that Occam draws are not known to the peers: all get these, as a data set of their own.
    chosen = np.random.default_rng(args.seed).choice(len(train), 300, replace=False)
    np.save(args.folder / "chosen.npy", train[chosen])
    folder = args.folder / "chosen"
    folder.mkdir(exist_ok=True)
    raw = idx(args.data, "train-images-idx3-ubyte")[chosen]
    from PIL import Image

    for i, image in enumerate(raw):
        Image.fromarray(image).save(folder / f"{i:04}.png")
    items, failed = [f"{args.folder / 'chosen.npy'}#{i}" for i in range(300)], False
    for model in args.models:
        base, exact = score(model, images, labels, args.threads)
        print(f"{model.stem:16} float        {base:.2f} %", flush=True)
        drops = {}
        for tool in args.tools:
            output = args.folder / f"{model.stem}--{tool}.onnx"
            more = ["--data", str(folder), "--samples", "300", "--mean", str(GREY_MEAN), "--std", str(GREY_STD)]
            quantize(args, tool, model, output, items, more)
            top, logits = score(output, images, labels, args.threads)
            drops[tool] = base - top
            same = 100 * float((logits.argmax(1) == exact.argmax(1)).mean())
            print(f"{model.stem:16} {tool:12} {top:.2f} %  drop {base - top:+.2f}  same class {same:.2f} %", flush=True)
        others = [d for t, d in drops.items() if t != "occam"]
        if "occam" in drops:
            failed |= drops["occam"] > 0.2 or any(drops["occam"] > d + 1e-9 for d in others)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["speed", "latency", "accuracy", "peer"])
    parser.add_argument("--folder", type=Path, default=ROOT / "target/ptq", help="where everything is kept")
    parser.add_argument("--occam", type=Path, default=ROOT / "target/release/occam", help="the binary")
    parser.add_argument("--tools", nargs="+", default=TOOLS, choices=TOOLS)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="models of torchvision")
    parser.add_argument("--models", nargs="+", type=Path, default=[], metavar="FILE", help="trained models, for `accuracy`")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the four files of Fashion-MNIST")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="which 300 images `accuracy` calibrates on")
    parser.add_argument("--wanted", type=float, default=2.0, help="times as fast as the faster peer (default 2)")
    parser.add_argument("--extra", nargs="*", default=[], help="more flags for `occam quantize`")
    for name in ("--tool", "--model", "--output", "--items"):
        parser.add_argument(name, type=str if name == "--tool" else Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    part = {"speed": speed, "latency": latency, "accuracy": accuracy, "peer": peer}[args.part]
    sys.exit(1 if part(args) else 0)


if __name__ == "__main__":
    main()
