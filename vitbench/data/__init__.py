"""From a dataset's name to memory-mapped images: locate it, open and check it, cache it, split it.

`vitbench.data.splits.stratified_split` is public, for datasets that come without a test split.
"""
