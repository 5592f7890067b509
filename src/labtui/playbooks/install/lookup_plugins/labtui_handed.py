"""What was handed over in memory: JSON behind a file descriptor that ansible-playbook inherited.

A single-use token has no name in any file system that way, stands in no argument, no environment
and no extra variable. With a number below 0 there is nothing: {}.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
    name: labtui_handed
    short_description: JSON behind an inherited file descriptor
    description:
        - Reads it whole, from its beginning, as often as it is asked.
    options:
      _terms:
        description: The number of the file descriptor.
        required: true
"""

MOST = 1 << 20


class LookupModule(LookupBase):  # type: ignore[misc]
    def run(self, terms: Any, variables: Any = None, **kwargs: Any) -> list[Any]:
        handle = int(terms[0])
        if handle < 0:
            return [{}]
        try:
            found = json.loads(os.pread(handle, MOST, 0))
        except (OSError, ValueError) as error:
            # Not the error itself: it would show what was read.
            raise AnsibleError(f"nothing was handed over: {type(error).__name__}") from None
        return [found]
