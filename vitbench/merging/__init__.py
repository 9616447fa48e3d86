"""`vitbench merge`: the folders of several runs, of shards mostly, become one."""
