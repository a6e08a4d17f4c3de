"""What all parts of the project use: files that are written whole, command lines, fingerprints."""
