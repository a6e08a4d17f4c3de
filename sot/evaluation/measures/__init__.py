"""What is measured, as functions of boxes and overlaps; what counts for whom is in `protocols`."""
