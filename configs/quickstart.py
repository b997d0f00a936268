# A teacher teaches a student. Run it with
#
#     cargo run --release -- compress configs/quickstart.py
#
# A residual network is trained; then one with a quarter of its cost, once by the labels alone and once by the labels and
# the teacher's predictions (Hinton et al., 2015), each with the same three seeds.
_base_ = [
    './_base_/datasets/fashion_mnist.py',
    './_base_/default_runtime.py',
]


teacher = dict(
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

student = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        in_channels=1,
        stem_channels=8,
        base_channels=8,
        num_stages=3,
        strides=(2, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2, )),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=32),
)

optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True))

param_scheduler = dict(
    type='CosineAnnealingLR',
    by_epoch=True,
    convert_to_iter_based=True)

train_cfg = dict(by_epoch=True, max_epochs=8, val_interval=8)

default_hooks = dict(logger=dict(interval=50), checkpoint=dict(max_keep_ckpts=3))

recipe = dict(steps=[
    dict(
        type='Train',
        name='teacher',
        model=teacher,
        cfg=dict(train_cfg=dict(max_epochs=10, val_interval=10))),
    dict(
        type='Train',
        name='student',
        model=student,
        seeds=[0, 1, 2]),
    dict(
        type='Train',
        name='student distilled',
        seeds=[0, 1, 2],
        # where the trained teacher's weights go in the model below
        checkpoints={'model.teacher_ckpt': 'teacher'},
        model=dict(
            type='mmrazor.SingleTeacherDistill',
            architecture=student,
            teacher=teacher,
            distiller=dict(
                type='ConfigurableDistiller',
                student_recorders=dict(
                    logits=dict(type='ModuleOutputs', source='head.fc')),
                teacher_recorders=dict(
                    logits=dict(type='ModuleOutputs', source='head.fc')),
                distill_losses=dict(
                    loss_kl=dict(type='KLDivergence', tau=4, loss_weight=1)),
                loss_forward_mappings=dict(
                    loss_kl=dict(
                        preds_S=dict(from_student=True, recorder='logits'),
                        preds_T=dict(from_student=False, recorder='logits')))))),
    dict(type='Export'),
    dict(type='Evaluate'),
])
