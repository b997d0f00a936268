_base_ = ['settings_base.py', './error_cycle.py']
