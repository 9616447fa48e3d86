"""Boards: models ranked over several datasets at once, from a leaderboard and from what is stored of images."""
