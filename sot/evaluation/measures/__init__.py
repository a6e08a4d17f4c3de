"""Measures, as functions of boxes and overlaps. `protocols` decides which frames they count."""
