"""`python -m gemel` is the command `gemel`."""

from gemel.cli import main

main()
