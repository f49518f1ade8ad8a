"""Device, processes, precision, compiler and memory of the machine."""
