"""The paper's tables and figures, one file each: the runs that they take, and what the paper says of them."""
