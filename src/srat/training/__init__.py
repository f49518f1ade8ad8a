"""Algorithm 1, and all that keeps it going."""
