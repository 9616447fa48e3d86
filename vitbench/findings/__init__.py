"""What a suite states, compared with a run's own numbers: its claims, tested, and figures published for its rows."""
