"""A plan becomes records in a store: the parent's half of a run, which holds no torch."""
