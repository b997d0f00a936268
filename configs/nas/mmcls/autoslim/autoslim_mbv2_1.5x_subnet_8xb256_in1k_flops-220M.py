# One of the three subnets alone, of 220 million multiply-accumulates.
_base_ = 'autoslim_mbv2_1.5x_slimmable_subnet_8xb256_in1k.py'

model = dict(deploy_index=0)
