"""`python -m acula_edge` is `acula-edge`."""

from acula_edge.cli import main

main()
