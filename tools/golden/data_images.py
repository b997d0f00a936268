"""Decoding, resampling, warping and coloring of images: OpenCV 4.11, Pillow and MMCV 2.0.1 on images by formula.

    /opt/oracle/mmrazor/bin/python tools/golden/data_images.py

An image called NAME of h x w x c has the samples floor(256 u) of the formula in README.md. Encoded files are stored
beside what decoding them gives. Each NAME.json lists cases, whose pixels lie one after the other in NAME.bin.
"""

import io

import cv2
import mmcv
import numpy as np
from files import GOLDEN, compact, report
from formula import unit
from PIL import Image

FOLDER = GOLDEN / "data"


def image(name, height, width, channels=3):
    return np.floor(unit(name, height * width * channels) * 256).astype(np.uint8).reshape(height, width, channels)


class Cases:
    def __init__(self, name):
        self.name, self.rows, self.pixels = name, [], b""

    def add(self, result, **row):
        result = np.ascontiguousarray(result)
        assert result.dtype == np.uint8
        shape = list(result.shape) + [1] * (3 - result.ndim)
        self.rows.append(dict(**row, shape=shape))
        self.pixels += result.tobytes()

    def write(self):
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{self.name}.json"
        path.write_text("[\n" + ",\n".join(map(compact, self.rows)) + "\n]\n")
        report(path)
        path = FOLDER / f"{self.name}.bin"
        path.write_bytes(self.pixels)
        report(path)


def scene(height, width):
    """Smooth with some edges and a little noise, as photographs are."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = [128 + 90 * np.sin(x / 7 + k) * np.cos(y / 9 - k) + 30 * ((x + 2 * y) % 23 > 11) for k in range(3)]
    noise = (unit("scene", height * width * 3).reshape(height, width, 3) - 0.5) * 16
    return np.clip(np.stack(planes, -1) + noise, 0, 255).astype(np.uint8)


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


def decoding():
    cases = Cases("decoding")
    folder = FOLDER / "files"
    folder.mkdir(parents=True, exist_ok=True)
    bgr = scene(37, 50)
    rgb = Image.fromarray(bgr[:, :, ::-1])
    gray = Image.fromarray(bgr[:, :, 1])
    alpha = Image.fromarray(np.dstack([bgr[:, :, ::-1], 255 - bgr[:, :, 0]]))
    sixteen = (bgr[:, :, 2].astype(np.uint16) << 8) + bgr[:, :, 0]
    files = {
        "420.jpg": (rgb, dict(quality=90, subsampling=2)), "422.jpg": (rgb, dict(quality=90, subsampling=1)),
        "444.jpg": (rgb, dict(quality=90, subsampling=0)), "progressive.jpg": (rgb, dict(progressive=True)),
        "gray.jpg": (gray, {}), "cmyk.jpg": (rgb.convert("CMYK"), dict(quality=95)),
        "turned3.jpg": (rgb, dict(exif=exif(3), quality=90, subsampling=0)),
        "turned6.jpg": (rgb, dict(exif=exif(6), quality=90, subsampling=0)),
        "rgb.png": (rgb, {}), "rgba.png": (alpha, {}), "gray.png": (gray, {}), "la.png": (alpha.convert("LA"), {}),
        "palette.png": (rgb.quantize(16), {}), "bits.png": (gray.point(lambda v: 255 * (v > 128)).convert("1"), {}),
        "sixteen.png": (Image.fromarray(sixteen), {}), "turned8.png": (rgb, dict(exif=exif(8))),
        "lossless.webp": (rgb, dict(lossless=True)), "lossy.webp": (rgb, dict(quality=80)),
        "rgba.webp": (alpha, dict(lossless=True, exact=True)), "rgb.bmp": (rgb, {}), "rgb.ppm": (rgb, {}),
        "gray.pgm": (gray, {}),
    }
    for name, (picture, options) in files.items():
        picture.save(folder / name, **options)
        content = (folder / name).read_bytes()
        for flag in ["color", "grayscale"]:
            cases.add(mmcv.imfrombytes(content, flag=flag), file=name, color_type=flag, backend="cv2")
    for name in ["la.png", "rgba.png", "palette.png", "turned8.png", "gray.png", "sixteen.png"][:5]:
        for flag in ["color", "grayscale"]:
            content = (folder / name).read_bytes()
            result = mmcv.imfrombytes(content, flag=flag, backend="pillow")
            cases.add(result, file=name, color_type=flag, backend="pillow")
    for name in ["rgba.png", "gray.png", "rgb.png", "turned6.jpg"]:
        result = mmcv.imfrombytes((folder / name).read_bytes(), flag="unchanged")
        cases.add(result, file=name, color_type="unchanged", backend="cv2")
    cases.write()


SIZES = [(31, 43, 17, 23), (31, 43, 64, 90), (40, 64, 20, 32), (36, 60, 12, 20), (33, 47, 33, 80), (50, 20, 13, 40),
         (7, 5, 30, 31), (1, 1, 5, 4), (64, 48, 3, 1), (29, 31, 29, 31), (48, 40, 36, 30)]


def resizing():
    for backend, modes in [("cv2", ["nearest", "bilinear", "bicubic", "area", "lanczos"]),
                           ("pillow", ["nearest", "bilinear", "bicubic", "box", "lanczos", "hamming"])]:
        cases = Cases(f"resize_{backend}")
        for mode in modes:
            for height, width, to_height, to_width in SIZES:
                source = image("resize", height, width)
                result = mmcv.imresize(source, (to_width, to_height), interpolation=mode, backend=backend)
                cases.add(result, size=[height, width, 3], interpolation=mode)
            source = image("resize", 31, 43, 1)
            result = mmcv.imresize(source[..., 0], (23, 17), interpolation=mode, backend=backend)
            cases.add(result, size=[31, 43, 1], interpolation=mode)
        cases.write()


def warping():
    cases = Cases("warp")
    source = image("warp", 29, 37)
    for mode in ["nearest", "bilinear", "bicubic", "area", "lanczos"]:
        for angle, scale, center in [(30.0, 1.0, None), (-17.5, 1.2, None), (90.0, 1.0, None), (8.0, 0.7, (5.0, 9.5))]:
            result = mmcv.imrotate(source, angle, center=center, scale=scale, border_value=(128, 7, 250),
                                   interpolation=mode)
            cases.add(result, op="rotate", angle=angle, scale=scale, center=center, interpolation=mode)
        for direction in ["horizontal", "vertical"]:
            for magnitude in [0.3, -0.125, 0.0]:
                result = mmcv.imshear(source, magnitude, direction, border_value=(128, 7, 250), interpolation=mode)
                cases.add(result, op="shear", magnitude=magnitude, direction=direction, interpolation=mode)
            for offset in [5.0, -11.35, 100.0]:
                result = mmcv.imtranslate(source, offset, direction, border_value=(128, 7, 250), interpolation=mode)
                cases.add(result, op="translate", offset=offset, direction=direction, interpolation=mode)
    cases.write()


def coloring():
    cases = Cases("color")
    for name, source in [("noise", image("color", 25, 30)), ("dull", image("color", 25, 30) // 3 + 60),
                         ("flat", np.full((4, 5, 3), 77, np.uint8)), ("scene", scene(25, 30))]:
        if name == "scene":
            # Computed with sines: stored, not made by formula.
            cases.add(source, op="source", source=name)
        for factor in [0.0, 0.1, 0.55, 1.0, 1.9, -0.3]:
            cases.add(mmcv.adjust_brightness(source, factor), op="brightness", source=name, value=factor)
            cases.add(mmcv.adjust_contrast(source, factor), op="contrast", source=name, value=factor)
            cases.add(mmcv.adjust_color(source, factor), op="color", source=name, value=factor)
            cases.add(mmcv.adjust_sharpness(source, factor), op="sharpness", source=name, value=factor)
        for hue in [0.0, 0.1, 0.37, -0.25, 0.5, -0.5]:
            cases.add(mmcv.adjust_hue(source, hue), op="hue", source=name, value=hue)
        cases.add(mmcv.auto_contrast(source), op="auto_contrast", source=name, value=0.0)
        cases.add(mmcv.imequalize(source), op="equalize", source=name, value=0.0)
        cases.add(mmcv.iminvert(source), op="invert", source=name, value=0.0)
        for threshold in [0.0, 128.0, 85.5, 256.0]:
            cases.add(mmcv.solarize(source, threshold).astype(np.uint8), op="solarize", source=name, value=threshold)
        for bits in [1, 4, 8]:
            cases.add(mmcv.posterize(source, bits), op="posterize", source=name, value=float(bits))
    cases.write()


if __name__ == "__main__":
    decoding()
    resizing()
    warping()
    coloring()
