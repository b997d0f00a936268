# AutoSlim on Fashion-MNIST: ResNet-20 at all widths from a quarter of the channels on.
_base_ = ['./resnet20.py']

model = dict(
    _delete_=True,
    type='AutoSlim',
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
    mutator=dict(
        type='OneShotChannelMutator',
        channel_unit_cfg=dict(
            type='OneShotMutableChannelUnit',
            default_args=dict(candidate_choices=[0.25, 0.5, 0.75, 1.0], choice_mode='ratio', divisor=4))))

val_cfg = dict(type='SubnetValLoop', calibrate_sample_num=1024)
