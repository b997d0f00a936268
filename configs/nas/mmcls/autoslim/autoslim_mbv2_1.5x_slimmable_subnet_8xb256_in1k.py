# Three subnets of MobileNetV2 1.5x that AutoSlim found, trained together on ImageNet: of 220, 320 and 530 million
# multiply-accumulates. Run from the folder that holds `configs`.
_base_ = [
    '../../../_base_/models/mobilenet_v2_1x.py',
    '../../../_base_/schedules/imagenet_bs2048_autoslim.py',
    '../../../_base_/default_runtime.py',
]

supernet = _base_.model
supernet.backbone.widen_factor = 1.5
supernet.head.in_channels = 1920

data_preprocessor = dict(
    type='ImgDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
)

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='SlimmableNetwork',
    architecture=supernet,
    data_preprocessor=data_preprocessor,
    mutator=dict(
        type='SlimmableChannelMutator',
        channel_unit_cfg=dict(
            type='SlimmableChannelUnit',
            units='configs/nas/mmcls/autoslim/mbv2_1.5x_slimmable_units.json',
        ),
        parse_cfg=dict(type='ChannelAnalyzer'),
    ),
)

val_cfg = dict(type='mmrazor.SlimmableValLoop')
