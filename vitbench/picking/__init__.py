"""`vitbench pick`: which backbone, within a budget, and how sure that is."""
