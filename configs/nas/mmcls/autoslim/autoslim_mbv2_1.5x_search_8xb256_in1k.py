# Searches subnets of 500, 300 and 200 million multiply-accumulates in a trained supernet: `occam test` with its checkpoint.
_base_ = ['./autoslim_mbv2_1.5x_supernet_8xb256_in1k.py']

# Candidates are measured by the statistics of their own batches.
model = dict(norm_training=True)

train_cfg = None
optim_wrapper = None
param_scheduler = None
train_dataloader = None

val_cfg = None
val_dataloader = None
val_evaluator = None

test_cfg = dict(
    _delete_=True,
    type='mmrazor.AutoSlimGreedySearchLoop',
    target_flops=(500., 300., 200.))
