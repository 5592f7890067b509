"""labtui: a keyboard-driven console for a GPU lab."""

__version__ = "0.1.0"
