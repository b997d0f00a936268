_base_ = ['./settings_base.py', 'more_base.json']

optimizer = dict(lr=0.01, nesterov=True)
model = dict(
    backbone=dict(_delete_=True, type='MobileNet', widen_factor=1.5),
    neck=None,
    head=dict(_delete_=True, type='Head', inner=dict(_delete_=False, a=1)))
hooks = [dict(type='Timer')]
train_cfg = dict(by_epoch=False, _delete_=False)
data = dict(workers=8)
schedule = [1, 2]
added = dict(deep=dict(deeper=()))
__hidden__ = 1
