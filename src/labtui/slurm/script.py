"""Batch scripts: options and a body to a script with `#SBATCH` lines, and back.

Lines are read as sbatch reads them (src/sbatch/opt.c, tried on 22.05 and 24.11): up to the first
line that is neither empty nor a comment; words with quotes and backslashes of its own; a bare #
ends a line; all lines together are one command line, and the last of two options wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from labtui.slurm.options import OPTIONS, RUNS_SBATCH, SHORT, full_name
from labtui.text import inert

TOKEN_PREFIX = "labtui:"
"""A submission's own mark in its job's comment: `labtui:3f9c...`."""
TOKEN = re.compile(r"(?:^| )labtui:([0-9a-f]+)(?= |$)")
PRIVATE_COMMENT = re.compile(r"(?:^| )labtui:[0-9a-f]+(?= |$)")
MAX_VALUE = 4000
"""Bytes of one value: sbatch reads a word into 8 KiB, quotes and backslashes included."""


class ScriptError(ValueError):
    """A field that cannot be sent: its option, what is wrong with it, what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class BatchScript(msgspec.Struct, frozen=True):
    """What a person asks for: sbatch's options by their long names, and what runs.

    A value is text as sbatch takes it. `""` is an option that stands without a value
    (`--hold`, `--exclusive`); what is not asked for is not there.
    """

    body: str = ""
    """The script below its `#SBATCH` lines."""
    options: Mapping[str, str] = msgspec.field(default_factory=dict)
    interpreter: str = "#!/bin/bash"
    extra: tuple[str, ...] = ()
    """`#SBATCH` lines that are none of the options, as they were written."""

    def get(self, option: str) -> str:
        """An option's value; `""` also where it is not asked for."""
        return self.options.get(option, "")

    def script(self) -> str:
        """The batch script. Raises ScriptError naming the option that cannot be sent."""
        check(self)
        return self.text()

    def text(self) -> str:
        """The script unchecked, as an editor may be given it."""
        lines = [self.interpreter]
        for name in OPTIONS:
            if name in self.options:
                value = self.options[name]
                lines.append(f"#SBATCH --{name}" + (f"={_quote(value)}" if value else ""))
        lines += self.extra
        return "\n".join([*lines, "", self.body.strip("\n"), ""])

    def with_options(self, changes: Mapping[str, str | None]) -> BatchScript:
        """A copy with other options; None takes one away, and so does `""` of one that needs a
        value. ScriptError for what is no option of sbatch."""
        options = dict(self.options)
        for name, value in changes.items():
            if name not in OPTIONS:
                raise ScriptError(inert(name, 60), "no such field, and no option of sbatch")
            if value is None or (not value and OPTIONS[name].takes == "text"):
                options.pop(name, None)
            else:
                options[name] = value
        ordered = {name: options[name] for name in OPTIONS if name in options}
        return replace(self, options=ordered)


def batch_script(body: str, **options: str) -> BatchScript:
    """`batch_script("srun hostname", job_name="x", mem="1G")`."""
    asked = {name.replace("_", "-"): value for name, value in options.items()}
    return BatchScript(body).with_options(asked)


def _quote(value: str) -> str:
    """A value for a `#SBATCH` line: sbatch takes quotes apart and ends the line at a bare #."""
    if value and value.isascii() and all(c.isalnum() or c in "-_./:,=+%@[]*&|()~^!" for c in value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def check(asked: BatchScript) -> None:
    """Raises ScriptError for the first thing that sbatch would misread or refuse by its form."""
    for name, value in asked.options.items():
        option = OPTIONS.get(name)
        if option is None:
            raise ScriptError(name, "no option of sbatch")
        _check_text(name, value)
        if value and option.takes == "nothing":
            raise ScriptError(name, f"takes no value; leave {inert(value, 30)!r} out")
        if not value and option.takes == "text":
            raise ScriptError(name, "needs a value")
        if value and option.check and (wrong := option.check(value)):
            raise ScriptError(name, wrong)
    if not asked.interpreter.startswith("#!") or len(asked.interpreter) < 3:
        raise ScriptError("interpreter", "the first line has to be #! and a program's path")
    if "\n" in asked.interpreter:
        raise ScriptError("interpreter", "holds a line break; remove it")
    if not asked.body.strip():
        raise ScriptError("command", "there is nothing to run; write a command")
    if "\0" in asked.body:
        raise ScriptError("command", "holds a NUL byte; remove it")
    if _sbatch_lines(asked.body.strip("\n")):
        raise ScriptError("command", "begins with #SBATCH, which sbatch would obey; use the fields")
    _check_encoding("command", asked.body)


def _check_text(name: str, value: str) -> None:
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ScriptError(name, "holds a line break or control character; remove it")
    _check_encoding(name, value)
    if len(value.encode()) > MAX_VALUE:
        raise ScriptError(name, f"is longer than sbatch reads ({MAX_VALUE} bytes)")


def _check_encoding(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ScriptError(name, "holds what is no text; type it again") from None


def counts_pbs(job: BatchScript) -> bool:
    """Whether sbatch would obey `#PBS` or `#BSUB` lines of the body: it does wherever they are."""
    if "ignore-pbs" in job.options:
        return False
    return any(line.startswith(("#PBS", "#BSUB")) for line in job.body.split("\n"))


# Reading


def directives(script: str) -> dict[str, str]:
    """The `#SBATCH` options of a script by long name; the last of two wins, as for sbatch."""
    found: dict[str, str] = {}
    for _number, line in _sbatch_lines(script):
        words = _words(line)
        if words and words[0] in _PARTS:  # what follows is of another component
            break
        known, unknown = _options(words or [])
        found = _merged(found, known)
        for word in unknown:
            name, _, value = word.removeprefix("--").partition("=")
            if word.startswith("--"):
                found[name] = value
    return found


def _sbatch_lines(script: str) -> list[tuple[int, str]]:
    """(line number, line): sbatch reads them up to the first that is neither empty nor a
    comment."""
    lines = []
    for number, line in enumerate(script.split("\n"), 1):
        if line.startswith("#SBATCH"):
            lines.append((number, line))
        elif line.strip(_SPACE) and not line.lstrip(_SPACE).startswith("#"):
            break
    return lines


_PARTS = ("hetjob", "packjob")
"""They begin the next component of a heterogeneous job, with options of its own."""
_SPACE = " \t\n\v\f\r"
_WORD = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s#'"\\])+""", re.ASCII)
_PIECE = re.compile(r"""\\(.)|"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|([^'"\\]+)""")


def _words(line: str) -> list[str] | None:
    """The words of a `#SBATCH` line; None where sbatch gives up on it (an open quote)."""
    rest = line.removeprefix("#SBATCH")
    words: list[str] = []
    at = 0
    while True:
        while at < len(rest) and rest[at] in _SPACE:
            at += 1
        if at >= len(rest) or rest[at] == "#":
            return words
        found = _WORD.match(rest, at)
        if found is None or rest[at] == ":":
            return None
        at = found.end()
        if at < len(rest) and rest[at] not in _SPACE + "#":
            return None  # a quote or backslash that does not end
        words.append("".join(_plain(piece) for piece in _PIECE.finditer(found[0])))


def _plain(piece: re.Match[str]) -> str:
    escaped, double, single, bare = piece.groups()
    if escaped is not None or bare is not None:
        return escaped or bare or ""
    return re.sub(r"\\(.)", r"\1", double if double is not None else single or "")


def _options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options by long name (`""` also of one that lacks its value), and words that are none."""
    left = list(words)
    found: dict[str, str] = {}
    unknown: list[str] = []
    while left:
        word = left.pop(0)
        if word.startswith("--"):
            given, equals, value = word[2:].partition("=")
            name = full_name(given)
            option = OPTIONS.get(name or "")
            if option is None:
                unknown.append(word)
            elif equals or option.takes != "text":
                found[option.name] = value
            else:
                found[option.name] = left.pop(0) if left else ""
            continue
        if not word.startswith("-") or len(word) < 2:
            unknown.append(word)
            continue
        flags = word[1:]
        while flags:  # -HJ name
            letter, flags = flags[0], flags[1:]
            option = OPTIONS.get(SHORT.get(letter, ""))
            if option is None:
                unknown.append(f"-{letter}{flags}")
                break
            if option.takes == "nothing":
                found[option.name] = ""
                continue
            if option.takes == "text" and not flags and left:
                flags = left.pop(0)
            found[option.name] = flags
            break
    return found, unknown


def _merged(before: dict[str, str], later: dict[str, str]) -> dict[str, str]:
    """The last of two wins, also where it says nothing."""
    both = before | later
    return {k: v for k, v in both.items() if v or k not in OPTIONS or OPTIONS[k].takes != "text"}


def parse_script(script: str) -> BatchScript:
    """A script as options and body, for the form; what is no option is kept in `extra`."""
    lines = script.replace("\r\n", "\n").split("\n")
    interpreter = lines[0] if lines[0].startswith("#!") else "#!/bin/bash"
    options: dict[str, str] = {}
    extra: list[str] = []
    read = _sbatch_lines("\n".join(lines))
    for at, (_number, line) in enumerate(read):
        words = _words(line)
        if words is None:
            extra.append(line)
            continue
        if words and words[0] in _PARTS:  # from here on another component's
            extra += [one for _, one in read[at:]]
            break
        known, unknown = _options(words)
        if any(not _can_be_kept(value) for value in known.values()):
            extra.append(line)
            continue
        options = _merged(options, known)
        if unknown and not known:
            extra.append(line)
        elif unknown:
            extra.append("#SBATCH " + " ".join(_quote(word) for word in unknown))
    taken = {number for number, _ in read}
    first = 1 if lines[0].startswith("#!") else 0
    body = [line for at, line in enumerate(lines[first:], first + 1) if at not in taken]
    ordered = {name: options[name] for name in OPTIONS if name in options}
    return BatchScript("\n".join(body).strip("\n"), ordered, interpreter, tuple(extra))


def _can_be_kept(value: str) -> bool:
    return all(ord(c) >= 32 and ord(c) != 127 for c in value)


def mistakes(script: str) -> list[tuple[int, str]]:
    """(line number, sentence) of what sbatch would refuse in a script's own lines."""
    found = []
    if not script.startswith("#!"):
        found.append((1, "the first line has to be #! and a program, for example #!/bin/bash"))
    for number, line in _sbatch_lines(script):
        words = _words(line)
        if words is None:
            found.append((number, "sbatch cannot read this line; is a quote open?"))
            continue
        if words and words[0] in _PARTS:
            break
        known, unknown = _options(words)
        for word in unknown:
            if word.removeprefix("--") not in RUNS_SBATCH:
                found.append((number, f"{inert(word, 40)!r} is no option of sbatch"))
        for name, value in known.items():
            option = OPTIONS[name]
            if not value and option.takes == "text":
                found.append((number, f"--{name} needs a value"))
            elif value and option.takes == "nothing":
                found.append((number, f"--{name} takes no value"))
            elif value and option.check and (wrong := option.check(value)):
                found.append((number, f"--{name}: {wrong}"))
    return found
