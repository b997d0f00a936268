# ResNet-101 with three small convolutions in its stem and averaging shortcuts, for 1000 classes.
_base_ = './resnet101.py'

model = dict(backbone=dict(type='ResNetV1d'))
