"""A configuration: what is trained and evaluated, as values, as JSON and by names."""
