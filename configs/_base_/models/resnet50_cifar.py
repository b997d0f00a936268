# ResNet-50 for images of 32x32 pixels, for 10 classes.
_base_ = './resnet18_cifar.py'

model = dict(backbone=dict(depth=50), head=dict(in_channels=2048))
