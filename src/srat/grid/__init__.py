"""Many runs: which are missing, and where they are done."""
