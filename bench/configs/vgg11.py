# The convolutions of VGG-11 for 32x32 images, with one linear layer on their average.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='VGG', depth=11, num_classes=-1),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)),
)
