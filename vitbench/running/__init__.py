"""A plan becomes records in a store: the parent's half of a run, which does not import torch."""
