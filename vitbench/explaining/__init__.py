"""`vitbench explain`: pictures of what a trained model learned and of where it looks."""
