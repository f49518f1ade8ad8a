"""How weights move: optimisers, schedules, averaging, weight perturbations."""
