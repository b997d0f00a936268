# Swin-Base, images of 384 pixels, for 1000 classes.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='SwinTransformer', arch='base', img_size=384, stage_cfgs=dict(block_cfgs=dict(window_size=12))),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=1024,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5)),
)
