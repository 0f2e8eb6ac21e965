"""The tests; packages, so that files of the same name in two folders do not collide."""
