# As resnet20_half.py, but channels become small first: in the first third of the training all weights of a channel shrink
# together, those of unimportant channels faster (DepGraph's sparse learning); then half of the MACs go, and the rest is
# fine-tuning.
_base_ = ['./resnet20_half.py']

model = dict(
    begin=0.33,
    regularizer=dict(type='GroupNormRegularizer', reg=5e-4, alpha=4))

optim_wrapper = dict(optimizer=dict(lr=0.05))
