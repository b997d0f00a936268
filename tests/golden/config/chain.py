_base_ = './merge.py'

optimizer = dict(lr=0.001)
hooks = []
