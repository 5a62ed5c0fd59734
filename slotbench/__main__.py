"""``slotbench`` and ``python -m slotbench``."""

import sys


def main() -> None:
    """Run a command; Ctrl-C while its modules are read ends it as it does later."""
    try:
        from slotbench.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
