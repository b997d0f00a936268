_base_ = 'mmseg::pspnet/pspnet.py'
