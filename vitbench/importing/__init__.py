"""`vitbench import`: someone else's results next to your own. What they hold is checked, and never does anything."""
