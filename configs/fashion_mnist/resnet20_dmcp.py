# DMCP on Fashion-MNIST: ResNet-20 learns at which widths it is best within half of its multiply-accumulates. Subnets near that
# target are written to model_sample/ of the work directory.
_base_ = ['./resnet20.py']

model = dict(
    _delete_=True,
    type='DMCP',
    architecture=_base_.model,
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
        channel_unit_cfg=dict(type='DMCPChannelUnit'),
        pruning_cfg=(0.25, 1, 0.125)),
    strategy=['max', 'min', 'scheduled_random', 'arch_random'],
    arch_start_train=600,
    arch_train_freq=20,
    distillation_times=1200,
    flop_loss_weight=0.1,
    target_flops=15.5)

optim_wrapper = dict(
    _delete_=True,
    constructor='SeparateOptimWrapperConstructor',
    architecture=dict(
        type='OptimWrapper',
        optimizer=dict(
            type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)),
    mutator=dict(
        type='OptimWrapper',
        optimizer=dict(type='Adam', lr=0.05, weight_decay=1e-3)))

param_scheduler = dict(
    _delete_=True,
    architecture=dict(
        type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True))

custom_hooks = [dict(type='DMCPSubnetHook', subnet_sample_num=5)]
