# Fashion-MNIST, from the class-balanced part that comes with the project.
# The whole set: --cfg-options data_root=DIR, where DIR holds the four files.
data_root = 'data/fashion-mnist-small'
dataset_type = 'FashionMNIST'

data_preprocessor = dict(
    num_classes=10,
    # mean and deviation of the whole training set's pixels
    mean=[72.94],
    std=[90.02],
    to_rgb=False,
)

train_pipeline = [
    dict(type='RandomCrop', crop_size=28, padding=2),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackClsInputs'),
]

test_pipeline = [
    dict(type='PackClsInputs'),
]

train_dataloader = dict(
    batch_size=128,
    num_workers=1,
    dataset=dict(
        type=dataset_type,
        data_prefix=data_root,
        test_mode=False,
        pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)

val_dataloader = dict(
    batch_size=250,
    num_workers=1,
    dataset=dict(
        type=dataset_type,
        data_prefix=data_root,
        test_mode=True,
        pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1, ))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
