"""Golden numbers of this crate's tests, from MMClassification 1.0.0rc6 and MMCV 2.0.1.

    python crates/data/tests/golden/make.py        # in the environment of shared/oracle/README.md

Images are (i * 37 + 11 + index) % 251 over their samples i.
"""

import json
from pathlib import Path

import numpy as np
import torch
from mmcls.datasets.transforms import RandomCrop
from mmcls.evaluation import Accuracy
from mmcls.models.utils import ClsDataPreprocessor
from mmcls.structures import ClsDataSample

HERE = Path(__file__).parent


def image(height, width, channels, index=0):
    n = height * width * channels
    return ((np.arange(n) * 37 + 11 + index) % 251).astype(np.uint8).reshape(height, width, channels)


def write(name, cases):
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (HERE / name).write_text(f"[\n{lines}\n]\n")


def crop_case(shape, place, **args):
    """Both `np.random.randint` calls answer from `place`."""
    answers = iter(place)
    keep, np.random.randint = np.random.randint, lambda *_: next(answers)
    try:
        python = {k: tuple(v) if isinstance(v, list) else v for k, v in args.items()}
        result = RandomCrop(**python).transform({"img": image(*shape)})["img"]
    finally:
        np.random.randint = keep
    return dict(shape=shape, args=args, place=place, result_shape=result.shape[:2], result=result.flatten().tolist())


def random_crop():
    modes = ["constant", "edge", "reflect", "symmetric"]
    # MMClassification pads with `padding` in the constant mode only; the other modes it reaches by `pad_if_needed`.
    return [
        crop_case([6, 5, 1], [0, 0], crop_size=4),
        crop_case([6, 5, 1], [2, 1], crop_size=4),
        crop_case([6, 5, 1], [3, 5], crop_size=[4, 3], padding=2, pad_val=9),
        crop_case([6, 5, 3], [0, 4], crop_size=5, padding=[1, 2], pad_val=[1, 2, 3]),
        crop_case([6, 5, 3], [7, 0], crop_size=5, padding=[1, 2, 3, 4], pad_val=[1, 2, 3]),
        crop_case([5, 2, 1], [1, 0], crop_size=[2, 3]),
        *[crop_case([4, 5, 3], [0, 1], crop_size=[9, 7], pad_if_needed=True, padding_mode=mode) for mode in modes],
        *[crop_case([3, 2, 1], [0, 0], crop_size=[12, 11], pad_if_needed=True, padding_mode=mode) for mode in modes],
    ]


def preprocessor_case(images, collate, **args):
    tensors = [torch.from_numpy(image(*shape, index).transpose(2, 0, 1).copy()) for index, shape in enumerate(images)]
    inputs = torch.stack(tensors) if collate == "default_collate" else tensors
    result = ClsDataPreprocessor(**args)({"inputs": inputs})["inputs"]
    return dict(images=images, collate=collate, args=args, shape=list(result.shape), result=result.flatten().tolist())


def preprocessor():
    rgb = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    return [
        preprocessor_case([[3, 4, 1]] * 2, "default_collate"),
        preprocessor_case([[3, 4, 1]] * 2, "default_collate", mean=[33.46], std=[78.87]),
        preprocessor_case([[3, 4, 3]] * 2, "default_collate", to_rgb=True, **rgb),
        preprocessor_case([[3, 4, 3]] * 2, "default_collate", mean=[128], std=[64]),
        preprocessor_case([[3, 4, 3]] * 2, "default_collate", pad_size_divisor=4, pad_value=-1.5, **rgb),
        preprocessor_case([[3, 4, 3], [5, 2, 3]], "pseudo_collate", to_rgb=True, pad_value=7, **rgb),
        preprocessor_case([[3, 4, 1], [5, 2, 1]], "pseudo_collate", pad_size_divisor=4),
    ]


def accuracy():
    rng = np.random.default_rng(1)
    scores = torch.from_numpy(rng.normal(size=(40, 8)).astype(np.float32)).softmax(1)
    labels = rng.integers(0, 8, 40).tolist()

    def result(**args):
        metric = Accuracy(**{k: tuple(v) if isinstance(v, list) else v for k, v in args.items()})
        pairs = zip(labels, scores)
        samples = [ClsDataSample().set_gt_label(label).set_pred_score(score).to_dict() for label, score in pairs]
        metric.process(None, samples)
        return dict(args=args, result=metric.evaluate(len(samples)))

    cases = [
        result(),
        result(topk=3, prefix="head"),
        result(topk=[1, 5]),
        result(topk=[1, 5], thrs=0.25),
        result(topk=[2, 1], thrs=[0.1, 0.125, None]),
        result(thrs=None),
    ]
    return [dict(labels=labels, scores=scores.tolist(), cases=cases)]


if __name__ == "__main__":
    write("random_crop.json", random_crop())
    write("preprocessor.json", preprocessor())
    write("accuracy.json", accuracy())
