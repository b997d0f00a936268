default_scope = 'mmcls'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1))
custom = dict(_scope_='other', type='Kept')
pair = (dict(type='A', inner=dict(type='B')), [dict(type='C')])
