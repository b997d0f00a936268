# ResNet-20 on Fashion-MNIST of which nine of ten weights become 0 in the first half of the training, the smallest first, and stay
# 0. The first convolution stays as it is.
_base_ = ['./resnet20.py']

model = dict(
    _delete_=True,
    type='SparsityAlgorithm',
    architecture=_base_.model,
    sparsity=0.9,
    keep=['backbone.conv1'])

optim_wrapper = dict(optimizer=dict(lr=0.05))
