_base_ = 'settings_base.py'

model = dict(backbone=dict(out_indices=dict(a=1)))
