# MNASNet-B1, for 1000 classes.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='MNASNet', alpha=1.0),
    neck=None,
    head=dict(type='ClsHead', loss=dict(type='CrossEntropyLoss', loss_weight=1.0), topk=(1, 5)),
)
