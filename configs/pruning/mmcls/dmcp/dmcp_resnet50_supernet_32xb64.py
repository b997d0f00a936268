# DMCP on ImageNet: ResNet-50 learns at which widths it is best within 2 billion multiply-accumulates (Guo et al., 2020).
_base_ = [
    '../../../_base_/models/resnet50.py',
    '../../../_base_/datasets/imagenet_bs64.py',
    '../../../_base_/schedules/imagenet_bs2048_dmcp.py',
    '../../../_base_/default_runtime.py',
]

supernet = _base_.model
supernet.head.loss = dict(
    type='LabelSmoothLoss', mode='original', num_classes=1000, label_smooth_val=0.1, loss_weight=1.0)

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='DMCP',
    architecture=supernet,
    distiller=dict(
        type='ConfigurableDistiller',
        teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
        student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
        distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=1, loss_weight=1)),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(recorder='fc', from_student=True),
                preds_T=dict(recorder='fc', from_student=False)))),
    mutator_cfg=dict(
        type='DMCPChannelMutator',
        channel_unit_cfg=dict(type='DMCPChannelUnit', default_args=dict(choice_mode='number'))),
    strategy=['max', 'min', 'scheduled_random', 'arch_random'],
    arch_start_train=5000,
    arch_train_freq=500,
    flop_loss_weight=0.1,
    distillation_times=10000,
    target_flops=2000)

custom_hooks = [dict(type='DMCPSubnetHook')]
