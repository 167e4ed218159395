"""The tools, called in the process of a test."""

from importlib import import_module


def run_tool(name, arguments):
    """Run ``tools/<name>.py`` on arguments, as its command line does."""
    import_module(f'tools.{name}').main([str(argument) for argument in arguments])
