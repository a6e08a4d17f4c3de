"""Tools for all parts of the project: complete files, command lines, fingerprints, signals."""
