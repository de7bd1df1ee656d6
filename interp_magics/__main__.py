"""`python -m interp_magics`, which is the console script `interp`."""

from .cli import main

if __name__ == "__main__":
    main()
