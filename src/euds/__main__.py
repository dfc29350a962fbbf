"""``python -m euds`` is the command line."""

from euds.cli.app import main

if __name__ == "__main__":
    main()
