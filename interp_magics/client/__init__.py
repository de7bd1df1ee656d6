"""A notebook's side of a pool: the connection, jobs, and the embedded pool. No torch."""
