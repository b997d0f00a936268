text = 'x'
