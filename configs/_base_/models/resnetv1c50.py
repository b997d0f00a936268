# ResNet-50 with three small convolutions in its stem, for 1000 classes.
_base_ = './resnet50.py'

model = dict(backbone=dict(type='ResNetV1c'))
