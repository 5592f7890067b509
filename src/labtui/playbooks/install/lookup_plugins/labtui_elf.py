"""For which machine a program was built, from its ELF header: amd64, arm64, or what it is else."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
    name: labtui_elf
    short_description: the architecture a program was built for
    description:
        - Reads a file's first bytes on this machine.
    options:
      _terms:
        description: A file.
        required: true
"""

MACHINES = {62: "amd64", 183: "arm64"}
"""e_machine in elf(5)."""


class LookupModule(LookupBase):  # type: ignore[misc]
    def run(self, terms: Any, variables: Any = None, **kwargs: Any) -> list[str]:
        try:
            with Path(terms[0]).expanduser().open("rb") as file:
                head = file.read(20)
        except OSError as error:
            raise AnsibleError(f"{terms[0]}: {error.strerror}") from None
        if len(head) < 20 or head[:4] != b"\x7fELF":
            return ["no ELF program"]
        number = struct.unpack("<H" if head[5] == 1 else ">H", head[18:20])[0]
        return [MACHINES.get(number, f"another machine ({number})")]
