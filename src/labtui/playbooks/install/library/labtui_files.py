"""Several small files and folders in one go: a copy of each by itself takes seconds a file.

Runs on the node, with its Python and Ansible's own module code.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
    module: labtui_files
    short_description: several files and folders at once
    description:
        - Makes folders, then writes each file whose content or mode differs, by a rename.
    options:
      folders:
        description: What has to be there, as path and mode.
        type: list
        elements: dict
      files:
        description: path, content, mode, and check, a command that has to accept the file first.
        type: list
        elements: dict
"""


def kept(path: str) -> tuple[str | None, int | None]:
    """Content and mode of an ordinary file; None where there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None, None
    with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
        return file.read(), os.fstat(handle).st_mode & 0o7777


def folder(module: Any, entry: dict[str, Any], diffs: list[dict[str, str]]) -> None:
    path, mode = Path(entry["path"]), int(entry["mode"], 8)
    there = path.is_dir()
    if there and path.stat().st_mode & 0o7777 == mode:
        return
    diffs.append(
        {
            "before_header": str(path),
            "after_header": str(path),
            "before": "",
            "after": f"a folder, {mode:04o}\n",
        }
    )
    if module.check_mode:
        return
    if not there:
        path.mkdir(mode, parents=True)
    path.chmod(mode)


def file(module: Any, entry: dict[str, Any], diffs: list[dict[str, str]]) -> None:
    path, content, mode = entry["path"], entry["content"], int(entry["mode"], 8)
    before, had = kept(path)
    if before == content and had == mode:
        return
    known = "" if before is None else before
    after = content if known != content else f"{content}(mode {had or 0:04o} -> {mode:04o})\n"
    diffs.append({"before_header": path, "after_header": path, "before": known, "after": after})
    if module.check_mode:
        return
    handle, new = tempfile.mkstemp(prefix=".labtui-", dir=Path(path).parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(content)
        Path(new).chmod(mode)
        if entry.get("check"):
            done = subprocess.run([*entry["check"], new], capture_output=True, text=True)
            if done.returncode:
                said = (done.stdout + done.stderr).strip()
                module.fail_json(msg=f"{path}: {entry['check'][0]} refuses it: {said}")
        Path(new).replace(path)
        new = ""
    finally:
        if new:
            Path(new).unlink()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folders": {"type": "list", "elements": "dict", "default": []},
            "files": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    diffs: list[dict[str, str]] = []
    try:
        for entry in module.params["folders"]:
            folder(module, entry, diffs)
        for entry in module.params["files"]:
            file(module, entry, diffs)
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}")
    paths = [d["after_header"] for d in diffs]
    module.exit_json(changed=bool(diffs), diff=diffs, paths=paths)


if __name__ == "__main__":
    main()
