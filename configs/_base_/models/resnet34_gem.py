# ResNet-34 whose features are pooled by a generalized mean, for 1000 classes.
_base_ = './resnet34.py'

model = dict(neck=dict(type='GeneralizedMeanPooling'))
