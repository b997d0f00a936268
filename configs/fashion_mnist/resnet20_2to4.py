# ResNet-20 on Fashion-MNIST of which two of each four weights along the inputs are 0 from the first step on.
_base_ = ['./resnet20.py']

model = dict(
    _delete_=True,
    type='SparsityAlgorithm',
    architecture=_base_.model,
    sparsity='2:4')

optim_wrapper = dict(optimizer=dict(lr=0.02))
