_base_ = 'settings_base.py'
a = '{{_base_.mean}}'.x
