"""Train the teachers of a config that have no checkpoint yet; see --help."""

from edudistill_mm.apis.cli import train_teachers

if __name__ == '__main__':
    train_teachers()
