# ResNet-152 with three small convolutions in its stem and averaging shortcuts, for 1000 classes.
_base_ = './resnet152.py'

model = dict(backbone=dict(type='ResNetV1d'))
