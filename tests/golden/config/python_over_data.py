_base_ = 'data_child.yml'

model = dict(neck=dict(_delete_=True, type='GAP'))
_base_.teacher.stages = _base_.teacher.stages[:2]
tau = _base_.losses[0].tau * 4
