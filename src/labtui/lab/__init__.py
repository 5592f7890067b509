"""The four real machines on this one (Debian, root): built, booted, broken and taken down."""
