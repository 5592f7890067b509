"""`python -m labtui`."""

from labtui.cli import main

main()
