"""Information entropy: what a word is, scores against a slow count, the same bytes each time."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from euds.errors import OptionError
from euds.pool.pool import Texts
from euds.scoring.scorers import information
from euds.scoring.scorers.information import WORD, InformationScorer, split_words

SCHEMA = {
    "key": pl.String,
    "ie": pl.Float64,
    "ie_plugin": pl.Float64,
    "ie_norm": pl.Float64,
    "ie_char": pl.Float64,
    "words": pl.Int64,
    "ie_cut": pl.Boolean,
    "ie_reason": pl.String,
}


def no_model(*_: object) -> pl.DataFrame:
    raise AssertionError("information entropy needs no measurement")


def score(texts: list[str], **parameters: float) -> pl.DataFrame:
    """Score texts and return the scores in their order, with the texts."""
    pool = Texts.of(texts)
    scored = InformationScorer(**parameters).score(pool, no_model)  # type: ignore[arg-type]
    by_text = scored.frame.join(pool.frame, on="key")
    return pl.DataFrame({"text": texts}, schema={"text": pl.String}).join(
        by_text, on="text", maintain_order="left"
    )


def slow_scores(
    texts: list[list[str]], *, max_tokens: int, alpha: float
) -> list[tuple[float | None, float | None, float | None]]:
    """Return (ie, ie_plugin, ie_norm) of distinct texts given as words, one by one."""
    kept = [Counter(words[:max_tokens]) for words in texts]
    pool = sum(kept, Counter())
    scores: list[tuple[float | None, float | None, float | None]] = []
    for own in kept:
        length = sum(own.values())
        if length < 4:
            scores.append((None, None, None))
            continue
        rest = pool - own
        total = sum(rest.values()) + alpha * len(pool)
        rarity = -math.fsum(c * math.log((rest[w] + alpha) / total) for w, c in own.items())
        variety = -math.fsum(c / length * math.log(c / length) for c in own.values())
        scores.append((rarity / length, variety, variety / math.log(length)))
    return scores


# --- What a word is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP", ["don't", "stop"]),
        ("l’homme qu'il 'quoted'", ["l’homme", "qu'il", "'", "quoted", "'"]),
        ("so... what?!", ["so", ".", ".", ".", "what", "?", "!"]),
        ("@user #tag snake_case 3.5%", ["@", "user", "#", "tag", "snake_case", "3", ".", "5", "%"]),
        ("naïve nai\u0308ve", ["naïve", "nai\u0308ve"]),  # marks stay with their letter
        ("ΟΔΥΣΣΕΥΣ ΟΔΟΣ", ["οδυσσευς", "οδος"]),  # a final sigma
        ("İstanbul", ["i\u0307stanbul"]),
        ("漢字かなカナー。", ["漢", "字", "か", "な", "カ", "ナ", "ー", "。"]),
        ("abc漢字def", ["abc", "漢", "字", "def"]),
        ("か\u3099", ["か\u3099"]),
        ("ที่นี่", ["ที่", "นี่"]),  # Thai: marks belong to the character before
        ("ຄົນ", ["ຄົ", "ນ"]),
        ("ខ្មែរ", ["ខ្", "មែ", "រ"]),
        ("မြန်", ["မြ", "န်"]),
        ("한국어 문장", ["한국어", "문장"]),  # Korean puts spaces between words
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # a joiner inside a Persian word
        ("👍🏽👍", ["👍🏽", "👍"]),
        ("👨\u200d👩\u200d👧 ok", ["👨\u200d👩\u200d👧", "ok"]),
        ("🇬🇧🇫🇷", ["🇬🇧", "🇫🇷"]),
        ("❤\ufe0f 1\ufe0f\u20e3", ["❤\ufe0f", "1\ufe0f\u20e3"]),
        ("a\x00b\u200bc\ufeff\td\n", ["a", "b", "c", "d"]),  # what cannot be seen is no word
        ("", []),
        (" \t\r\n\u3000", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    row = split_words(pl.Series([text]), max_words=50).row(0)
    assert row == (words, False)


@pytest.mark.parametrize(("max_words", "cut"), [(4, True), (5, False), (6, False)])
def test_words_beyond_the_first_are_cut(max_words: int, cut: bool) -> None:
    row = split_words(pl.Series(["a b c d e "]), max_words=max_words).row(0)
    assert row == (["a", "b", "c", "d", "e"][:max_words], cut)


def split_as_a_whole(text: str, max_words: int) -> tuple[list[str], bool]:
    words = pl.Series([text]).str.to_lowercase().str.extract_all(WORD).to_list()[0]
    return words[:max_words], len(words) > max_words


@pytest.mark.parametrize("middle", ["don't", "d'on’t", "👨\u200d👩", "🇬🇧", "e\u0301", "ที่", "ΟΔΟΣ"])
def test_only_the_beginning_of_a_text_is_read_and_it_does_not_show(middle: str) -> None:
    # Wherever the beginning ends, inside the word in the middle too, the words are the same.
    texts = [" " * spaces + f"a b c {middle} e f g" for spaces in range(90)]
    texts += [f"a b c {middle} " + " " * spaces + "e" for spaces in range(90)]
    rows = split_words(pl.Series(texts), max_words=4).rows()
    assert rows == [split_as_a_whole(text, 4) for text in texts]


@settings(deadline=None)
@given(st.lists(st.text("a'’ 漢👍\u200d👩🇬🇧.e\u0301İ\n", max_size=200), min_size=1, max_size=5))
def test_split_words_agrees_with_splitting_the_whole_text(texts: list[str]) -> None:
    rows = split_words(pl.Series(texts), max_words=3).rows()
    assert rows == [split_as_a_whole(text, 3) for text in texts]


# --- Scores ---------------------------------------------------------------------------------------


def test_scores_by_hand() -> None:
    # Pool: 12 words, V = 9 (the film was good bad zounds what a hoot), alpha = 1.
    # "the film was good": elsewhere 8 words; the, film, was once each: f = 2/17; good: f = 1/17.
    # "zounds what a hoot": none elsewhere, f = 1/17 four times.
    scores = score(["the film was good", "the film was bad", "Zounds what a hoot"], alpha=1.0)
    expected = math.log(17) - 3 / 4 * math.log(2)
    assert scores["ie"].to_list() == pytest.approx([expected, expected, math.log(17)], abs=1e-10)
    assert scores["ie_plugin"].to_list() == pytest.approx([math.log(4)] * 3, abs=1e-10)
    assert scores["ie_norm"].to_list() == [1.0, 1.0, 1.0]


def test_repeats_in_a_text_by_hand() -> None:
    # "a a a b": H = 3/4 ln 4/3 + 1/4 ln 4. Elsewhere "a b c d": f(a) = f(b) = 2/8 with alpha = 1.
    scores = score(["a a a b", "a b c d"], alpha=1.0)
    variety = 3 / 4 * math.log(4 / 3) + 1 / 4 * math.log(4)
    assert scores["ie_plugin"][0] == pytest.approx(variety, abs=1e-10)
    assert scores["ie_norm"][0] == pytest.approx(variety / math.log(4), abs=1e-10)
    assert scores["ie"][0] == pytest.approx(math.log(4), abs=1e-10)
    # Elsewhere "a a a b": f(a) = 4/8, f(b) = 2/8, f(c) = f(d) = 1/8.
    rarity = (math.log(2) + math.log(4) + 2 * math.log(8)) / 4
    assert scores["ie"][1] == pytest.approx(rarity, abs=1e-10)


words_of_all_kinds = st.sampled_from(["a", "don't", "été", "漢", "ค", "👍🏽", "!", "x1", "и", "的"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(words_of_all_kinds, max_size=12), max_size=9, unique_by=tuple),
    st.integers(4, 10),
    st.sampled_from([0.01, 0.1, 2.0]),
)
def test_scores_agree_with_a_slow_count(
    texts: list[list[str]], max_tokens: int, alpha: float
) -> None:
    scores = score([" ".join(words) for words in texts], max_tokens=max_tokens, alpha=alpha)
    expected = slow_scores(texts, max_tokens=max_tokens, alpha=alpha)
    for got, want in zip(scores.select("ie", "ie_plugin", "ie_norm").rows(), expected, strict=True):
        assert got == (pytest.approx(want, abs=1e-9) if want[0] is not None else want)
    assert scores["words"].to_list() == [min(len(words), max_tokens) for words in texts]
    assert scores["ie_cut"].to_list() == [len(words) > max_tokens for words in texts]


def test_more_distinct_words_than_there_was_room_for() -> None:
    words = 70_000
    texts = [" ".join(f"w{n}" for n in range(at, at + 100)) for at in range(0, words, 100)]
    texts += ["w1 w2 w3 w69999"]
    scored = InformationScorer().score(Texts.of(texts), no_model)
    assert scored.notes["pool_vocabulary"] == words
    assert scored.notes["pool_words"] == words + 4
    # Without the text's own words each of the four was seen once.
    seen = (1 + 0.1) / (words + 0.1 * words)
    short = scored.frame.filter(pl.col("words") == 4)["ie"].item()
    assert short == pytest.approx(-math.log(seen), rel=1e-12)


def test_short_texts_have_a_reason_instead_of_scores_but_count_in_the_pool() -> None:
    scores = score(["", "a", "a b c", "a b c d"])
    assert scores["ie_reason"].to_list() == ["fewer than 4 words"] * 3 + [None]
    assert scores["words"].to_list() == [0, 1, 3, 4]
    for column in ("ie", "ie_plugin", "ie_norm"):
        assert scores[column].is_null().to_list() == [True, True, True, False]
    # Elsewhere 4 words, "a" and "a b c"; V = 4; alpha = 0.1.
    rarity = math.log(4.4) - (math.log(2.1) + 2 * math.log(1.1) + math.log(0.1)) / 4
    assert scores["ie"][3] == pytest.approx(rarity, abs=1e-10)


def test_a_text_alone_in_its_pool_knows_no_word() -> None:
    scores = score(["to be or not to be"])
    assert scores["ie"][0] == pytest.approx(math.log(4), abs=1e-10)  # f = 1/V


@pytest.mark.parametrize("texts", [[], ["", "one two", "three"]], ids=["none", "all too short"])
def test_nothing_to_score(texts: list[str]) -> None:
    pool = Texts.of(texts)
    scored = InformationScorer().score(pool, no_model)
    assert dict(scored.frame.schema) == SCHEMA
    assert scored.frame["key"].to_list() == pool.keys
    assert scored.frame["ie"].null_count() == len(texts)
    assert scored.notes["texts_too_short"] == len(texts)


def test_columns_keys_and_notes() -> None:
    pool = Texts.of(["one two three", "one two three four", "one two three four five"])
    scored = InformationScorer(max_tokens=4).score(pool, no_model)
    assert dict(scored.frame.schema) == SCHEMA
    assert scored.frame["key"].to_list() == pool.keys
    assert scored.notes == {
        "pool_words": 11,
        "pool_vocabulary": 4,
        "texts_cut": 1,
        "texts_too_short": 1,
    }


def test_contexts_change_nothing() -> None:
    texts = ["a b c d", "a b x y"]
    alone = score(texts)
    repeated = Texts.of([*texts, texts[0]], [None, "context", "another context"])
    scored = InformationScorer().score(repeated, no_model)
    by_text = scored.frame.join(repeated.frame, on="key")
    for text, rarity in alone.select("text", "ie").rows():
        assert set(by_text.filter(pl.col("text") == text)["ie"]) == {rarity}


def test_what_is_cut_off_changes_nothing() -> None:
    tail = "never seen before " * 200_000
    texts = ["a b c d e", "a b c x y"]
    expected = score(texts, max_tokens=5)
    cut = score([f"{text} {tail}" for text in texts], max_tokens=5)
    assert cut["ie"].to_list() == expected["ie"].to_list()
    assert cut["ie_cut"].to_list() == [True, True]


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_tokens": 3},
        {"max_tokens": 100_001},
        {"alpha": 0.0},
        {"alpha": -0.1},
        {"alpha": math.nan},
        {"alpha": math.inf},
    ],
)
def test_parameters_out_of_range_are_the_users_mistake(parameters: dict[str, float]) -> None:
    with pytest.raises(OptionError) as error:
        InformationScorer(**parameters)  # type: ignore[arg-type]
    assert error.value.where in parameters


# --- The same bytes every time --------------------------------------------------------------------


def many_texts() -> list[str]:
    """Return texts whose scores are sums of many different logarithms."""
    return [
        " ".join(
            f"w{(start * start + 7 * step) % (11 + start % 83)}" for step in range(3 + start % 50)
        )
        for start in range(2_000)
    ]


def digest(texts: list[str]) -> str:
    frame = InformationScorer(max_tokens=40).score(Texts.of(texts), no_model).frame
    return hashlib.sha256(frame.write_csv(float_precision=17).encode()).hexdigest()


def test_scores_do_not_depend_on_the_order_of_the_texts() -> None:
    assert digest(many_texts()[::-1]) == digest(many_texts())


def test_scores_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = digest(many_texts())
    for size in (1_999, 137):
        monkeypatch.setattr(information, "_FEWEST_TEXTS", size)
        monkeypatch.setattr(information, "_MOST_TEXTS", size)
        assert digest(many_texts()) == expected


def test_scores_do_not_depend_on_the_order_of_words() -> None:
    texts = many_texts()
    reversed_words = [" ".join(text.split()[::-1]) for text in texts]
    # Short enough that none is cut, and so that the pool's counts stay the same.
    columns = ["ie", "ie_plugin", "ie_norm"]
    expected = score(texts, max_tokens=60).select(columns)
    assert score(reversed_words, max_tokens=60).select(columns).equals(expected)


@pytest.mark.parametrize("threads", [1, 3])
def test_scores_do_not_depend_on_the_threads(threads: int) -> None:
    program = (
        "import test_information as t;"
        "t.information._FEWEST_TEXTS = t.information._MOST_TEXTS = 300;"
        "print(t.pl.thread_pool_size(), t.digest(t.many_texts()))"
    )
    environment = {**os.environ, "POLARS_MAX_THREADS": str(threads)}
    environment["PYTHONPATH"] = os.path.dirname(__file__)  # noqa: PTH120
    printed = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    assert printed == [str(threads), digest(many_texts())]
