"""What is kept on this machine until the store has it: journal, checkpoints, files, and their delivery.

It stands between a training, which only writes here, and its store, which is only written from here.
It never trains, and never writes to a logbook that another process holds.
"""
