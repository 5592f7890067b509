from labtui.lab.layout import Lab


def undo(lab: Lab, machine: str) -> None: ...
