"""Channel units of mmcls models as MMRazor 1.0 finds them: names, channels, and whether they can be pruned.

    /opt/oracle/mmrazor/bin/python tools/golden/channel_units.py

Writes tests/golden/channel_units.json.
"""
import json
import pathlib
import warnings

import torch
from mmcls.utils import register_all_modules
from mmengine.registry import MODELS, DefaultScope

import mmrazor.models  # noqa: F401
from mmrazor.models.mutators import ChannelMutator

warnings.filterwarnings("ignore")
register_all_modules(init_default_scope=False)
DefaultScope.get_instance("mmrazor", scope_name="mmrazor")


def classifier(backbone, channels, neck=True):
    return dict(
        type="mmcls.ImageClassifier",
        backbone=backbone,
        neck=dict(type="mmcls.GlobalAveragePooling") if neck else None,
        head=dict(type="mmcls.LinearClsHead", num_classes=1000, in_channels=channels) if neck
        else dict(type="mmcls.ClsHead"),
        data_preprocessor=dict(type="mmcls.ClsDataPreprocessor"),
    )


MODELS_CFG = {
    "resnet18": classifier(dict(type="mmcls.ResNet", depth=18, out_indices=(3,)), 512),
    "resnet34": classifier(dict(type="mmcls.ResNet", depth=34, out_indices=(3,)), 512),
    "resnet50": classifier(dict(type="mmcls.ResNet", depth=50, out_indices=(3,)), 2048),
    "wide_resnet50": classifier(
        dict(type="mmcls.ResNet", depth=50, base_channels=128, stem_channels=64, expansion=2, out_indices=(3,)), 2048),
    "mobilenet_v2": classifier(dict(type="mmcls.MobileNetV2"), 1280),
    "vgg16_bn": classifier(dict(type="mmcls.VGG", depth=16, norm_cfg=dict(type="BN"), num_classes=1000), 0, False),
}

out = {}
for name, cfg in MODELS_CFG.items():
    for tracer in ("BackwardTracer", "FxTracer"):
        try:
            torch.manual_seed(0)
            model = MODELS.build(cfg)
            mutator = ChannelMutator(
                channel_unit_cfg=dict(type="SequentialMutableChannelUnit", default_args=dict(choice_mode="number")),
                parse_cfg=dict(_scope_="mmrazor", type="ChannelAnalyzer", demo_input=(1, 3, 224, 224), tracer_type=tracer))
            mutator.prepare_from_supernet(model)
            template = mutator.config_template(only_mutable_units=True, with_channels=True)
            units = template["channel_unit_cfg"]["units"]
            out[name] = {
                "tracer": tracer, "backbone": cfg["backbone"], "head": cfg["head"],
                "units": {
                    key: {
                        side: [[c["name"], c["start"], c["end"]] for c in unit["channels"][side]]
                        for side in ("input_related", "output_related")
                    } for key, unit in units.items()
                },
            }
            print(name, tracer, len(units))
            break
        except Exception as error:  # the other tracer may do
            print(name, tracer, type(error), str(error)[:200])

root = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/channel_units.json"
root.write_text(json.dumps(out, separators=(",", ":")) + "\n")
