"""Tools whose work is done by someone outside."""
