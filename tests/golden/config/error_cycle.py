_base_ = './error_cycle_2.py'
