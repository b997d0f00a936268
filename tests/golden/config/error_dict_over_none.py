_base_ = 'settings_base.py'

schedule = dict(type='Step')
