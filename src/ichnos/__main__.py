"""`python -m ichnos` is the command `ichnos`."""

from ichnos.cli.main import run

if __name__ == "__main__":
    run()
