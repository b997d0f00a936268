# ResNet-50 for 1000 classes, trained on mixed pairs of images (Zhang et al., 2018, arXiv:1710.09412).
_base_ = './resnet50.py'

model = dict(
    head=dict(
        _delete_=True,
        type='MultiLabelLinearClsHead',
        num_classes=1000,
        in_channels=2048,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0, use_soft=True)),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.2)),
)
