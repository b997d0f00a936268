_base_ = ['../_base_/runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, init_cfg=None),
    head=dict(type='LinearClsHead', num_classes=1000, topk=(1, 5)))
data_preprocessor = dict(mean=[123.675, 116.28, 103.53], to_rgb=True)
train_pipeline = [dict(type='LoadImageFromFile'), dict(type='Flip', prob=0.5)]
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9), clip_grad=None)
