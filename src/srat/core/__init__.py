"""What knows nothing of learning: errors, files, checked values, the registry of members, keyed randomness, signals."""
