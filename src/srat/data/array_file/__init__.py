"""People's own files of arrays: names, rows, values and parts."""
