"""Training of anything: the loop, update rules, records and checkpoints."""
