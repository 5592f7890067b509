"""What a queue looks like when it is written in an afternoon: squeue into Textual's DataTable.

    python benchmarks/plain.py datatable | empty

It does nothing else and knows what has changed; `empty` is a Textual app with one line in it.
"""

from __future__ import annotations

import asyncio
import sys

from textual.app import App, ComposeResult
from textual.widgets import DataTable, Static

TITLES = ("JOB", "NAME", "USER", "PARTITION", "STATE", "NODES", "TIME", "REASON")
FIELDS = ["JobArrayID", "Name", "UserName", "Partition", "State", "NumNodes", "TimeUsed", "Reason"]
WIDTHS = (16, 28, 10, 10, 12, 5, 12, 40)
INTERVAL_S = 2.0


class Plain(App[None]):
    CSS = "DataTable { height: 1fr; }"
    ENABLE_COMMAND_PALETTE = False

    def compose(self) -> ComposeResult:
        self.table: DataTable[str] = DataTable(cursor_type="row")
        yield self.table

    def on_mount(self) -> None:
        for title, width in zip(TITLES, WIDTHS, strict=True):
            self.table.add_column(title, width=width, key=title)
        self.table.focus()
        self.rows: dict[str, list[str]] = {}
        self.run_worker(self.poll())

    async def poll(self) -> None:
        form = ",".join(f"{field}:\x1f" for field in FIELDS)
        while True:
            child = await asyncio.create_subprocess_exec(
                *("squeue", "--array", "-h", "-O", form), stdout=asyncio.subprocess.PIPE
            )
            out, _ = await child.communicate()
            self.fill(out.decode(errors="replace"))
            await asyncio.sleep(INTERVAL_S)

    def fill(self, text: str) -> None:
        new = {row[0]: row for row in (line.split("\x1f")[:-1] for line in text.splitlines())}
        old, self.rows = self.rows, new
        for key in old.keys() - new.keys():
            self.table.remove_row(key)
        for key, row in new.items():
            if (before := old.get(key)) is None:
                self.table.add_row(*row, key=key)
            elif before != row:
                for title, value in zip(TITLES, row, strict=True):
                    self.table.update_cell(key, title, value)


class Empty(App[None]):
    def compose(self) -> ComposeResult:
        yield Static("nothing")


if __name__ == "__main__":
    app: App[None] = Plain() if sys.argv[1:] == ["datatable"] else Empty()
    app.run(mouse=False)
