"""Our runs beside the paper: tables, figures, and which of its statements hold."""
