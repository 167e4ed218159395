"""Reading a config: completed, checked, in the form in which runs take it."""
