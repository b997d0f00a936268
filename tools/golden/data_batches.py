"""Mixing of batches and metrics of classification: PyTorch and MMClassification 1.0.0rc6.

    /opt/oracle/mmrazor/bin/python tools/golden/data_batches.py

Images and scores are `unit` of their names, labels `labels` (README.md).
"""

import json

import numpy as np
import torch
from data_images import FOLDER
from files import compact, report
from formula import labels, unit
from mmcls.evaluation import AveragePrecision, MultiLabelMetric, SingleLabelMetric
from mmcls.evaluation.metrics import VOCAveragePrecision, VOCMultiLabelMetric
from mmcls.structures import ClsDataSample


def write(name, rows):
    path = FOLDER / name
    path.write_text("[\n" + ",\n".join(map(compact, rows)) + "\n]\n")
    report(path)


def resizemix():
    rows = []
    for mode in ["bilinear", "bicubic"]:
        for top, bottom, left, right in [(1, 4, 2, 8), (0, 7, 0, 9), (3, 5, 8, 9)]:
            images = torch.from_numpy(unit("resizemix", 2 * 2 * 7 * 9).astype(np.float32)).reshape(2, 2, 7, 9)
            size = (bottom - top, right - left)
            images[:, :, top:bottom, left:right] = torch.nn.functional.interpolate(
                images[[1, 0]], size=size, mode=mode, align_corners=False)
            rows.append(dict(mode=mode, area=[top, bottom, left, right],
                             result=[round(float(x), 7) for x in images.flatten()]))
    write("resizemix.json", rows)


SAMPLES, CLASSES = 30, 5


def scores(name):
    return torch.from_numpy(unit(name, SAMPLES * CLASSES).astype(np.float32)).reshape(SAMPLES, CLASSES)


def evaluate(metric, samples):
    metric.process(None, [sample.to_dict() for sample in samples])
    result = metric.evaluate(len(samples))
    flat = {}
    for key, value in result.items():
        if isinstance(value, list):
            flat.update({f"{key}_{i}": float(x) for i, x in enumerate(value)})
        else:
            flat[key] = float(value)
    return flat


def metrics():
    rows = []
    single = [ClsDataSample().set_gt_label(int(label)).set_pred_score(score)
              for label, score in zip(labels("single", SAMPLES, CLASSES), scores("scores"))]
    items = ["precision", "recall", "f1-score", "support"]
    for args in [{}, dict(average=None, items=items), dict(average="micro", items=items), dict(thrs=0.9),
                 dict(thrs=[0.5, 0.95, None], items=["recall"], prefix="mine"), dict(items=items)]:
        rows.append(dict(metric="SingleLabelMetric", args=args, result=evaluate(SingleLabelMetric(**args), single)))
    positive = unit("many", SAMPLES * CLASSES).reshape(SAMPLES, CLASSES) < 0.35
    hard = unit("hard", SAMPLES * CLASSES).reshape(SAMPLES, CLASSES) < 0.3

    def many():
        samples = []
        for score, one, two in zip(scores("scores"), positive, hard):
            sample = ClsDataSample().set_gt_label(np.flatnonzero(one).tolist()).set_pred_score(score)
            sample.set_field(np.flatnonzero(two).tolist(), "gt_label_difficult", field_type="metainfo")
            samples.append(sample)
        return samples

    for args in [{}, dict(thr=0.25), dict(topk=2, items=items), dict(average=None, items=items, topk=1),
                 dict(average="micro", thr=0.5, items=items)]:
        rows.append(dict(metric="MultiLabelMetric", args=args, result=evaluate(MultiLabelMetric(**args), many())))
        for positive_ in [None, True, False]:
            args_ = dict(**args, difficult_as_positive=positive_)
            rows.append(dict(metric="VOCMultiLabelMetric", args=args_,
                             result=evaluate(VOCMultiLabelMetric(**args_), many())))
    for args in [{}, dict(average=None)]:
        rows.append(dict(metric="AveragePrecision", args=args, result=evaluate(AveragePrecision(**args), many())))
        for positive_ in [None, True, False]:
            args_ = dict(**args, difficult_as_positive=positive_)
            rows.append(dict(metric="VOCAveragePrecision", args=args_,
                             result=evaluate(VOCAveragePrecision(**args_), many())))
    write("metrics.json", rows)


if __name__ == "__main__":
    resizemix()
    metrics()
