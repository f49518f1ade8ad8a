"""What people look at: tables, bars, plots."""
