"""Whether robustness is real: checks (a file each), and what they look at."""
