"""`vitbench import`: somebody else's results beside one's own. What they hold is checked, and never does anything."""
