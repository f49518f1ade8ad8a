"""How weights move: optimizers, schedules, averaging, weight perturbations."""
