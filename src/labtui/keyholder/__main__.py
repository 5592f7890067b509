"""`python -m labtui.keyholder`: started by holder.py, never by hand."""

from labtui.keyholder.process import main

main()
