# ResNet-50 for images of 32x32 pixels and 10 classes, trained on mixed pairs of images (Zhang et al., 2018, arXiv:1710.09412).
_base_ = './resnet50_cifar.py'

model = dict(
    head=dict(
        _delete_=True,
        type='MultiLabelLinearClsHead',
        num_classes=10,
        in_channels=2048,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0, use_soft=True)),
    train_cfg=dict(augments=dict(type='Mixup', alpha=1.)),
)
