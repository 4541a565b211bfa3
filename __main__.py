"""``python -m cavitylab``: the same as the ``cavitylab`` command."""

from .console.cli import main

if __name__ == "__main__":
    main()
