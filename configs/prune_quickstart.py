# A trained network loses channels. Run it with
#
#     cargo run --release -- compress configs/prune_quickstart.py
#
# A residual network is trained; then the channels that matter least are removed, until a half and a quarter of its
# multiply-accumulates are left, and what is left is trained on: by the labels alone, and by the labels and the predictions
# of the network before pruning. Each with the same three seeds.
_base_ = [
    './_base_/datasets/fashion_mnist.py',
    './_base_/default_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        in_channels=1,
        stem_channels=16,
        base_channels=16,
        num_stages=3,
        strides=(2, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2, )),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
)

# of the fine-tuning
optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.02, momentum=0.9, weight_decay=5e-4, nesterov=True))

param_scheduler = dict(
    type='CosineAnnealingLR',
    by_epoch=True,
    convert_to_iter_based=True)

train_cfg = dict(by_epoch=True, max_epochs=4, val_interval=4)

default_hooks = dict(logger=dict(interval=50), checkpoint=dict(max_keep_ckpts=3))

seeds = [0, 1, 2]

recipe = dict(steps=[
    dict(
        type='Train',
        name='original',
        model=model,
        cfg=dict(
            optim_wrapper=dict(optimizer=dict(lr=0.1)),
            train_cfg=dict(max_epochs=10, val_interval=10))),
    dict(type='Prune', name='half', model='original', macs=0.5, seeds=seeds),
    dict(type='Prune', name='half distilled', model='original', macs=0.5, seeds=seeds, distill=True),
    dict(type='Prune', name='quarter', model='original', macs=0.25, seeds=seeds),
    dict(type='Prune', name='quarter distilled', model='original', macs=0.25, seeds=seeds, distill=True),
    dict(type='Export'),
    dict(type='Evaluate'),
])
