# Searches subnets of 20 and 10 million multiply-accumulates in a ResNet-20 of all widths: `occam test` with its checkpoint.
_base_ = ['./resnet20_autoslim.py']

model = dict(norm_training=True)
test_cfg = dict(_delete_=True, type='AutoSlimGreedySearchLoop', target_flops=(20., 10.))
