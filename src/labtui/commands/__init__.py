"""The commands without a screen, one file a family. They use the same session as the console."""
