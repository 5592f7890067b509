"""Outside text becomes harmless: properties that hold for any text at all."""

from __future__ import annotations

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from labtui.text import age, ascii_only, clock, cut, inert, inert_lines, mib, right, spark

# Surrogates too: what undecodable bytes become with `surrogateescape`.
ANY = st.text(st.characters(codec=None, exclude_categories=())) | st.text(
    st.sampled_from("\x1b\x07\x9b\x9c\x90[]0;31mH?\\\u202e\u2066\u200b\ufeff\n\r\tab漢é́\ud800")
)
BAD = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def harmless(text: str) -> bool:
    return not any(unicodedata.category(c) in BAD for c in text)


@given(ANY)
@example("\x1b]0;title\x07name\x1b[2J\x1b[31mred\x9b1m")
@example("\x1bP1$r\x1b\\x\x1b(B\u202egpj.exe")
@example("\x1b")
@example("\x1b\x1b[[2J")
def test_inert_leaves_nothing_that_a_terminal_acts_on(text: str) -> None:
    done = inert(text)
    assert harmless(done)
    assert "\x1b" not in done
    assert inert(done) == done


@given(ANY, st.integers(1, 50))
def test_inert_is_never_longer_than_its_limit(text: str, limit: int) -> None:
    assert len(inert(text, limit)) <= limit


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_inert_keeps_plain_text(text: str) -> None:
    assert inert(text) == text


@given(ANY)
def test_inert_lines_are_harmless_lines(text: str) -> None:
    lines = inert_lines(text)
    assert all(harmless(line) for line in lines)
    assert inert_lines("a\tb\r\nc\rd\ne") == ["a   b", "c", "d", "e"]


@given(ANY, st.integers(-3, 60))
@example("漢" * 10, 5)
@example("e\u0301" * 10, 4)
@example("👩‍👩‍👧‍👦 family", 3)
def test_cut_fills_exactly_its_width(text: str, width: int) -> None:
    done = cut(inert(text), width)
    assert cell_len(done) == max(0, width)


@given(ANY, st.integers(0, 60))
def test_right_fills_exactly_its_width(text: str, width: int) -> None:
    assert cell_len(right(inert(text), width)) == width


@given(ANY)
def test_ascii_only_is_ascii(text: str) -> None:
    assert ascii_only(inert(text)).isascii()


def test_escape_sequences_vanish_and_newlines_are_spaces() -> None:
    assert inert("\x1b[31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\") == "red link"
    assert inert("two\nlines\tand\rmore") == "two lines and more"
    assert inert("evil\u202etxt.exe") == "eviltxt.exe"
    assert inert("[bold]not markup[/]") == "[bold]not markup[/]"
    assert inert(b"\xff".decode(errors="surrogateescape")) == "\N{REPLACEMENT CHARACTER}"
    assert inert("x" * 10_000, 100) == "x" * 99 + "…"


@given(st.floats(0, 1e9))
def test_ages_fit_their_column(seconds: float) -> None:
    assert len(age(seconds)) <= 6


def test_figures_are_read_as_people_write_them() -> None:
    assert [age(s) for s in (-1, 41, 99, 100, 7200, 90_000)] == [
        "0s", "41s", "99s", "1m", "2h00", "1d",
    ]  # fmt: skip
    assert [clock(s) for s in (None, 41, 7833, 273600)] == ["-", "0:41", "2:10:33", "3-04:00:00"]
    assert [mib(m) for m in (None, 512, 18330, 2 << 20)] == ["-", "512M", "17.9G", "2.0T"]


@given(st.lists(st.none() | st.floats(0, 1e6), max_size=40), st.integers(1, 30))
def test_a_sparkline_has_one_cell_a_value(values: list[float | None], width: int) -> None:
    line = spark(values, width)
    tail = values[-width:]
    assert line == "" or len(line) == len(tail)
    for value, char in zip(tail, line, strict=False):
        assert (char == " ") == (value is None)
