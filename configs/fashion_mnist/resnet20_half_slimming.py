# Network slimming: scales of normalizations become sparse in the first third of the training; then the channels with the
# smallest scales go, until half of the MACs are left, and the rest is fine-tuning.
_base_ = ['./resnet20_half.py']

model = dict(
    importance='bn-scale',
    begin=0.33,
    regularizer=dict(type='BNScaleRegularizer', reg=1e-3))

optim_wrapper = dict(optimizer=dict(lr=0.05))
