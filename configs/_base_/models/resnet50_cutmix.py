# ResNet-50 for 1000 classes, trained on images with a piece of another (Yun et al., 2019,
# arXiv:1905.04899).
_base_ = './resnet50.py'

model = dict(
    head=dict(
        _delete_=True,
        type='MultiLabelLinearClsHead',
        num_classes=1000,
        in_channels=2048,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0, use_soft=True)),
    train_cfg=dict(
        augments=dict(
            type='BatchCutMix', alpha=1.0, num_classes=1000, prob=1.0)),
)
