"""The student of a run as a plain model of MMPretrain."""
