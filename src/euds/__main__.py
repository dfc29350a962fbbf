"""``python -m euds`` is the command line."""

from euds.cli import main

if __name__ == "__main__":
    main()
