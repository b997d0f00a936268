# Growing regularization (GReg-1): the channels that have to go for half of the MACs are chosen by their filters before the
# first step, a weight decay on them grows for a third of the training, then they go, and the rest is fine-tuning.
_base_ = ['./resnet20_half.py']

model = dict(
    importance='l1',
    begin=0.33,
    regularizer=dict(
        type='GrowingRegularizer', delta_reg=1e-2, interval=10))

optim_wrapper = dict(optimizer=dict(lr=0.05))
