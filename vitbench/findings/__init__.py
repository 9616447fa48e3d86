"""What a suite states, held against a run's own numbers: its claims, tested, and figures published for its rows."""
