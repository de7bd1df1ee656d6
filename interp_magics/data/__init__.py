"""Results and artefacts that a user keeps, and their files. Plain: numpy arrays in frozen structs."""
