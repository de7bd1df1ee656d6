"""What the engines share: a program bound to rows of a batch, its edits and reads as hooks, what was read as results."""
