"""Train by a config; see --help."""

from edudistill_mm.apis.cli import train

if __name__ == '__main__':
    train()
