# ResNet-50 with blocks of twice the inner width, for 1000 classes.
_base_ = './resnet50.py'

model = dict(
    backbone=dict(stem_channels=64, base_channels=128, expansion=2))
