"""One call in a process of its own, with messages on the way and one answer: the executor and what it starts."""
