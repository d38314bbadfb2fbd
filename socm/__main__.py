"""``python -m socm``."""

from socm.cli import main

if __name__ == "__main__":
    main()
