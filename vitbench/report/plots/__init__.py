"""The leaderboard's pictures as PNG and SVG, by matplotlib."""
