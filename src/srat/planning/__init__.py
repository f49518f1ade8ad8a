"""A plan for a training: what fits the images, the machine and the time."""
