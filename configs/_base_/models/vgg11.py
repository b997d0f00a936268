# The convolutions of VGG-11 with a linear classifier, for 1000 classes. The paper's own classifier, three linear
# layers with dropout, is not part of the backbone here.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='VGG', depth=11),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5)),
)
