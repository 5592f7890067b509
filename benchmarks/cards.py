"""The GPU screen of the whole program on a real pty, with 8 cards and with 1,000, beside nvitop.

A stand-in of Prometheus' API serves DCGM's series of hosts with eight cards each; all figures of
all cards are new at each question (`moving`), or none is (`still`). nvitop shows this machine's
cards only: it gets eight by the lab's stand-in of NVML.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import itertools
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import programs
import report
from terminal import DOWN, UP, Gone, Terminal, hold_key, quantile

from labtui.lab import gpu_service
from labtui.lab.layout import Lab

CONFIG = """\
[cluster]
name = "bench"
[nodes.here]
transport = "local"
[prometheus]
url = "http://127.0.0.1:{port}"
"""
FIGURES = {
    "GPU_UTIL": (60, 40), "FB_USED": (40000, 9000), "FB_FREE": (41000, 0), "FB_RESERVED": (559, 0),
    "GPU_TEMP": (55, 20), "POWER_USAGE": (300, 300), "SM_CLOCK": (1200, 700), "XID_ERRORS": (0, 0),
}  # fmt: skip
"""Name -> lowest value, and how far it moves."""
CARD = {
    "name": "NVIDIA H100 80GB HBM3", "memory_total_mib": 81559, "memory_reserved_mib": 559,
    "memory_used_mib": 40000, "util_gpu": 90, "util_memory": 40, "temperature_c": 60,
    "power_mw": 500000, "power_limit_mw": 700000, "sm_mhz": 1755, "memory_mhz": 2619,
    "processes": 0,
}  # fmt: skip
"""What the stand-in of NVML says of one."""
IDLE_S, KEYS_S = 10.0, 20.0
Figures = dict[str, float | str]


class Prometheus(http.server.ThreadingHTTPServer):
    """Answers an instant query of DCGM's names, and an empty range."""

    def __init__(self, cards: int, moving: bool) -> None:
        super().__init__(("127.0.0.1", 0), Api)
        self.cards, self.moving, self.turn = cards, moving, itertools.count()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self) -> bytes:
        turn = next(self.turn) if self.moving else 0
        now = time.time()
        found = []
        for card in range(self.cards):
            labels = {
                "gpu": str(card % 8), "UUID": f"GPU-{card:08}", "Hostname": f"gpu-{card // 8:03}",
                "instance": f"gpu-{card // 8:03}:9400", "modelName": "NVIDIA H100 80GB HBM3",
            }  # fmt: skip
            for at, (name, (low, span)) in enumerate(FIGURES.items()):
                value = low + (card * 7 + turn * 13 + at * 5) % (span + 1)
                metric = {"__name__": f"DCGM_FI_DEV_{name}", **labels}
                found.append({"metric": metric, "value": [now, str(value)]})
        return json.dumps(
            {"status": "success", "data": {"resultType": "vector", "result": found}}
        ).encode()


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Prometheus)
        if "query_range" in self.path:
            body = b'{"status":"success","data":{"resultType":"matrix","result":[]}}'
        else:
            body = server.answer()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def watch(terminal: Terminal, needle: str, rows: int) -> Figures:
    """From exec to a picture with `needle` in it; then a key held down; then nothing at all."""
    found: Figures = {}
    end = time.perf_counter() + 40
    while not any(needle in line for line in terminal.screen()):
        if time.perf_counter() > end:
            return {"note": terminal.last_words()}
        terminal.drain(0.05)
    terminal.drain(4)
    delays = hold_key(terminal, KEYS_S, min(35, rows - 1))
    if delays:
        found |= report.delays("", delays) | {"most": max(delays)}
    sizes = [terminal.key(key)[0] for key in (DOWN, UP) * 5]
    found["bytes"] = quantile(sizes, 0.5)
    before, start = terminal.cpu(), time.perf_counter()
    found["idle_bytes"] = terminal.drain(IDLE_S) / IDLE_S
    after = terminal.cpu()
    spent = after.own + after.children - before.own - before.children
    found["cpu"] = 100 * spent / (time.perf_counter() - start)
    found["memory"] = terminal.memory()[0]
    return found


def labtui(cards: int, moving: bool) -> Figures:
    server = Prometheus(cards, moving)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        config = home / "labtui.toml"
        config.write_text(CONFIG.format(port=server.server_port))
        env = dict.fromkeys(("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"), folder)
        argv = [sys.executable, "-m", "labtui", "--config", str(config), "--screen", "gpus"]
        terminal = Terminal(argv, env)
        try:
            return watch(terminal, "gpu-000:0", cards)
        except Gone as gone:
            return {"note": str(gone)}
        finally:
            terminal.close()
            server.shutdown()


def nvitop(cards: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        lines = ["driver=580.82.09", f"count={cards}"]
        for i in range(cards):
            values = CARD | {"uuid": f"GPU-{i:08}", "pci": f"00000000:{i:02x}:00.0"}
            lines += [f"{i}.{name}={value}" for name, value in values.items()]
        state = Path(folder) / "state"
        state.write_text("\n".join(lines) + "\n")
        library = gpu_service.build(Lab(), lambda line: None).parent
        env = {"LABTUI_NVML_STATE": str(state), "LD_LIBRARY_PATH": str(library), "HOME": folder}
        terminal = Terminal(
            [str(programs.environment("nvitop==1.7.2") / "nvitop"), "--monitor", "full"], env
        )
        try:
            return watch(terminal, "H100", cards)
        except Gone as gone:
            return {"note": str(gone)}
        finally:
            terminal.close()


COLUMNS = (
    ("key p50, ms", "p50", ".1f"), ("p95", "p95", ".1f"), ("p99", "p99", ".1f"),
    ("longest", "most", ".0f"), ("bytes a move", "bytes", ".0f"), ("idle CPU, %", "cpu", ".1f"),
    ("idle bytes/s", "idle_bytes", ".0f"), ("RSS, MiB", "memory", ".0f"),
)  # fmt: skip


def rows() -> Iterator[list[str]]:
    for name, figures in (
        ("labtui, 8 cards, still", labtui(8, False)),
        ("labtui, 8 cards, moving", labtui(8, True)),
        ("labtui, 1,000 cards, still", labtui(1000, False)),
        ("labtui, 1,000 cards, moving", labtui(1000, True)),
        ("nvitop 1.7.2, 8 cards, still", nvitop(8)),
    ):
        cells = [report.cell(figures, [key], form) for _, key, form in COLUMNS]
        yield [name, *cells] if "note" not in figures else [name, str(figures["note"]), *cells[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="a document in which the table is put")
    chosen = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    heads = ["160x48", *(head for head, *_ in COLUMNS)]
    text = (
        "## GPU shares\n\nThe GPU screen, its source asked every five seconds (the default); a key"
        f" held down for twenty seconds, then ten of nothing. {report.machine()}\n\n"
        + report.markdown(heads, rows())
    )
    print(text)
    if chosen.write:
        report.write(chosen.write, "cards", text)


if __name__ == "__main__":
    main()
