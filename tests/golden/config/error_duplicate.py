_base_ = ['settings_base.py', 'merge.py']
