"""Files of weights and of trainings: read without running code, checked, downloaded, written."""
