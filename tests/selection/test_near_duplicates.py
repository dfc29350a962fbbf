"""Near-duplicates against all pairs compared by hand, and groups that cannot chain."""

import random
import re
import tracemalloc
import unicodedata

import numpy as np
import polars as pl
import pytest

from euds.errors import OptionError
from euds.pool.pool import Texts, text_key
from euds.selection.near_duplicates import (
    near_duplicate_groups,
    near_duplicates_of,
    prefixes,
    stand_ins,
    standing,
)
from euds.selection.near_duplicates import prefixes as similarity
from euds.selection.near_duplicates import shingles as shingles_of_texts
from euds.selection.near_duplicates import shingles as words

WORDS = [f"w{number}" for number in range(400)]


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2))}


def jaccard(one: str, other: str) -> float:
    return len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))


def edited_texts(*, seed: int, originals: int, copies: int) -> list[str]:
    """Return random texts, and copies of them with up to six words changed."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, size=40)) for _ in range(originals)]
    for text in texts[:originals]:
        for _ in range(copies):
            words = text.split()
            for place in rng.integers(0, 40, size=rng.integers(0, 7)):
                words[place] = f"new{rng.integers(1000)}"
            texts.append(" ".join(words))
    return texts


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9, 1.0])
def test_pairs_are_those_of_comparing_everything(threshold):
    texts = edited_texts(seed=1, originals=60, copies=2)
    pool, test = Texts.of(texts[60:]), Texts.of(texts[:60])
    expected = {
        (key, other): jaccard(text, other_text)
        for key, text in zip(pool.keys, pool.texts, strict=True)
        for other, other_text in zip(test.keys, test.texts, strict=True)
        if jaccard(text, other_text) >= threshold
    }
    found = near_duplicates_of(pool, test, threshold=threshold)
    assert len(expected) > 3
    assert {(key, other) for key, other, _ in found.iter_rows()} == set(expected)
    for key, other, found_jaccard in found.iter_rows():
        assert found_jaccard == pytest.approx(expected[key, other], abs=1e-12)
    assert found.equals(found.sort("key", "jaccard", descending=[False, True]))


def test_a_hand_computed_similarity():
    # Six shingles each, the last of which differ: 5 of 7. Then abc and bcd of five: too few.
    found = near_duplicates_of(Texts.of(["a b c d e f g h"]), Texts.of(["A, b c d e f g. X"]))
    assert found["jaccard"].to_list() == [5 / 7]
    assert near_duplicates_of(Texts.of(["a b c d e"]), Texts.of(["a b c d x y"])).is_empty()
    # A shingle counts once: both are "no no no" and "no no yes".
    found = near_duplicates_of(Texts.of(["no no no yes"]), Texts.of(["no no no no no yes"]))
    assert found["jaccard"].to_list() == [1.0]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Good game", "good GAME!", True),
        ("good game", "good game today", False),
        ("good game", "game good", False),
        ("yes", "no", False),
        ("yes", "  YES ", True),
        ("\U0001f600 \U0001f600", "\U0001f600  \U0001f600", True),
        ("\U0001f600", "\U0001f621", False),
        ("!!!", "???", False),
        ("caf\u00e9 au lait", "cafe\u0301 au lait", True),
        ("今天天气很好我们去公园散步吧朋友", "今天天气很好我们去公园散步吧同学", True),
        ("今天天气很好", "明天股市大跌", False),
    ],
)
def test_short_texts_and_texts_without_words(one, other, alike):
    found = near_duplicates_of(Texts.of([one]), Texts.of([other]))
    assert found["jaccard"].to_list() == ([pytest.approx(1, abs=0.27)] if alike else [])


def test_text_and_context_count_together():
    passage = " ".join(WORDS[:40])
    pool = Texts.of(["is it so", "is it so", "why"], [passage, None, passage + " and more"])
    found = near_duplicates_of(pool, Texts.of(["is it not so"], [passage + " or less"]))
    # 38 shingles are of the passage, 3 on each side are not shared (one of them across the edge).
    assert set(found["key"]) == {
        text_key("is it so", passage),
        text_key("why", passage + " and more"),
    }


def test_results_do_not_depend_on_order_or_company():
    texts = edited_texts(seed=2, originals=50, copies=1)
    test = Texts.of(texts[:50])
    pairs = near_duplicates_of(Texts.of(texts[50:]), test, threshold=0.5)
    assert near_duplicates_of(Texts.of(texts[:49:-1]), test, threshold=0.5).equals(pairs)
    few = Texts.of(texts[50:60])
    alone = near_duplicates_of(few, test, threshold=0.5)
    assert alone.equals(pairs.filter(pl.col("key").is_in(few.keys)))
    backwards = near_duplicates_of(test, Texts.of(texts[50:]), threshold=0.5)
    assert backwards.height == pairs.height
    assert near_duplicates_of(few, few).height >= 10


def groups_of(groups) -> set[frozenset[str]]:
    return {frozenset(part["key"]) for part in groups.frame.partition_by("group")}


def test_groups_are_the_connected_pairs_while_there_is_room():
    texts = Texts.of(edited_texts(seed=3, originals=30, copies=3))
    groups = near_duplicate_groups(texts)
    expected = [{key} for key in texts.keys]
    for row, one in enumerate(texts.texts):
        for column, other in enumerate(texts.texts[:row]):
            if jaccard(one, other) >= 0.7:
                joined = [part for part in expected if {texts.keys[row], texts.keys[column]} & part]
                expected = [part for part in expected if part not in joined]
                expected.append(set().union(*joined))
    assert groups_of(groups) == set(map(frozenset, expected))
    assert groups.frame["key"].to_list() == texts.keys
    assert groups.count == len(expected)
    assert groups.largest == max(map(len, expected)) > 1
    assert groups.refused.is_empty()
    # Numbered in the order of their smallest keys.
    firsts = groups.frame.unique("group", keep="first", maintain_order=True)["group"]
    assert firsts.to_list() == list(range(groups.count))


def chain(links: int) -> list[str]:
    """Return texts of which each shares nearly all with the next, and the ends share nothing."""
    return [" ".join(WORDS[2 * link : 2 * link + 30]) for link in range(links)]


def test_a_chain_stops_at_the_cap_and_says_so():
    texts = Texts.of(chain(60))
    free = near_duplicate_groups(texts, largest_group=60)
    assert (free.count, free.largest, free.refused.height) == (1, 60, 0)
    capped = near_duplicate_groups(texts, largest_group=10)
    assert capped.largest <= 10
    group_of = dict(capped.frame.iter_rows())
    all_pairs = near_duplicates_of(texts, texts).filter(pl.col("key") < pl.col("other"))
    apart = {
        frozenset((key, other))
        for key, other, _ in all_pairs.iter_rows()
        if group_of[key] != group_of[other]
    }
    assert {frozenset((key, other)) for key, other, _ in capped.refused.iter_rows()} == apart
    assert capped.refused.height == len(apart) > 0
    assert capped.pairs == all_pairs.height
    assert capped.cap == 10


def test_the_most_similar_are_joined_first():
    base = " ".join(WORDS[:40])
    near = base + " extra"
    farther = base + " several words of another kind"
    groups = near_duplicate_groups(Texts.of([farther, base, near]), largest_group=2)
    assert groups_of(groups) == {
        frozenset({text_key(base), text_key(near)}),
        frozenset({text_key(farther)}),
    }
    assert groups.refused.height == 2


def test_equal_texts_and_equal_contexts_are_together_whatever_the_cap():
    shouted = ["Hello there, my friend!", "hello THERE my friend", "Hello there - my friend"]
    groups = near_duplicate_groups(Texts.of(shouted), largest_group=1)
    assert (groups.count, groups.refused.height) == (1, 0)

    texts = Texts.of(["who", "what", "where", "when", "why"], ["one", "one", "two", " ", ""])
    assert near_duplicate_groups(texts).count == 5
    together = near_duplicate_groups(texts, by_context=True, largest_group=1)
    assert groups_of(together) == {
        frozenset({text_key("who", "one"), text_key("what", "one")}),
        frozenset({text_key("where", "two")}),
        frozenset({text_key("when", " ")}),
        frozenset({text_key("why", "")}),
    }


def test_the_cap_without_a_wish():
    assert near_duplicate_groups(Texts.of(["a"])).cap == 50
    one_word = [f"a {number:013b}".translate({48: "!", 49: "?"}) for number in range(6000)]
    groups = near_duplicate_groups(Texts.of(one_word))
    assert (groups.cap, groups.count, groups.largest) == (60, 1, 6000)


def test_no_texts_have_no_near_duplicates():
    none, some = Texts.of([]), Texts.of(["a b c d"])
    assert near_duplicates_of(none, some).is_empty()
    assert near_duplicates_of(some, none).columns == ["key", "other", "jaccard"]
    groups = near_duplicate_groups(none)
    assert (groups.count, groups.largest) == (0, 0)


def test_what_makes_no_sense_is_refused():
    texts = Texts.of(["a"])
    for threshold in (0.49, 1.01, float("nan")):
        with pytest.raises(OptionError, match="out of range"):
            near_duplicates_of(texts, texts, threshold=threshold)
    with pytest.raises(OptionError, match="largest group"):
        near_duplicate_groups(texts, largest_group=0)
    with pytest.raises(OptionError, match="out of range"):
        stand_ins(["a"], [None], threshold=0.4)


def naive_stand_ins(texts: list[str], threshold: float) -> list[int]:
    """Each text in turn stands for all later ones like it, unless another stands for it."""
    found = list(range(len(texts)))
    for one in range(len(texts)):
        for other in range(one + 1, len(texts)):
            alone = found[one] == one and found[other] == other
            if alone and jaccard(texts[one], texts[other]) >= threshold:
                found[other] = one
    return found


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_stand_ins_are_those_of_comparing_everything_in_turn(threshold):
    texts = edited_texts(seed=4, originals=40, copies=3)
    texts = [texts[place] for place in np.random.default_rng(0).permutation(len(texts))]
    texts += chain(40)
    expected = naive_stand_ins(texts, threshold)
    found = stand_ins(texts, [None] * len(texts), threshold=threshold)
    assert found.tolist() == expected
    assert len(set(expected)) < len(texts) - 20


def cut_small(monkeypatch, size):
    """Make everything that is done in pieces be done in pieces of that size."""
    monkeypatch.setattr(prefixes, "PAIRS_PER_CHUNK", size)
    monkeypatch.setattr(similarity, "SHARED_PER_CHUNK", size)
    for name in ("TEXTS_PER_CHUNK", "BYTES_PER_CHUNK"):
        monkeypatch.setattr(words, name, size)
    for name in ("HASHES_PER_SHARD", "HASHES_PER_BLOCK"):
        monkeypatch.setattr(shingles_of_texts, name, 20 * size)


@pytest.mark.parametrize("seed", range(8))
def test_stand_ins_of_few_words_in_shards_are_those_of_comparing_everything(seed, monkeypatch):
    # Few words make sets that are equal, sets without a lone shingle, and long chains.
    rng = random.Random(seed)
    vocabulary = [f"w{number}" for number in range(rng.choice([2, 4, 8]))]
    texts = [" ".join(rng.choices(vocabulary, k=rng.randrange(1, 14))) for _ in range(70)]
    expected = naive_stand_ins(texts, 0.7)
    assert stand_ins(texts, [None] * 70).tolist() == expected
    cut_small(monkeypatch, rng.choice([9, 30, 1000]))
    assert stand_ins(texts, [None] * 70).tolist() == expected


def test_one_message_many_times_is_not_compared_each_with_each(monkeypatch):
    # 300 messages that differ in a number are 44,850 pairs; one stands, and 299 go to it.
    messages = [" ".join([*WORDS[:20], f"n{number}", *WORDS[20:39]]) for number in range(300)]
    compared = 0
    one_by_one = standing.similar

    def counted(shingles, left, right, *, threshold):
        nonlocal compared
        compared += len(left)
        return one_by_one(shingles, left, right, threshold=threshold)

    monkeypatch.setattr(standing, "similar", counted)
    assert stand_ins(messages, [None] * 300).tolist() == [0] * 300
    assert compared == 299
    # Nor are the pairs of those that are left out proposed, block after block.
    proposed = []
    pairs_of = prefixes.Search.pairs

    def listed(search, entries, *others, **options):
        pairs = pairs_of(search, entries, *others, **options)
        proposed.append(len(pairs[0]))
        return pairs

    monkeypatch.setattr(prefixes.Search, "pairs", listed)
    monkeypatch.setattr(prefixes, "PAIRS_PER_CHUNK", 1)
    assert stand_ins(messages, [None] * 300).tolist() == [0] * 300
    assert sum(proposed) == 299
    assert len(proposed) < 5


def test_messages_that_share_a_little_too_little_are_not_put_together():
    # A number in the middle of 17 words: 12 of 18 shingles are shared, and 0.7 asks for more.
    messages = [" ".join([*WORDS[:8], f"n{number}", *WORDS[8:16]]) for number in range(50)]
    longer = [" ".join([*WORDS[:8], f"m{number}", *WORDS[8:17]]) for number in range(50)]
    shingles = shingles_of_texts.Shingles.of(messages + longer, [None] * 100)
    entries = prefixes.Prefixes.of(shingles, 0.7).shared()
    search = prefixes.Search.of(entries, entries, shingles, 0.7)
    assert len(entries.sets) >= 100
    assert search.counts.sum() == 0
    assert naive_stand_ins(messages + longer, 0.7) == list(range(100))


def test_a_shingle_costs_few_bytes(monkeypatch):
    monkeypatch.setattr(words, "TEXTS_PER_CHUNK", 1_000)
    monkeypatch.setattr(shingles_of_texts, "HASHES_PER_BLOCK", 10_000)
    rng = np.random.default_rng(0)
    rows, length = 20_000, 15
    texts = pl.Series(
        [" ".join(line) for line in rng.integers(0, 10**6, (rows, length)).astype(str)]
    )
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, rows)
    shingles_of_texts.Shingles.of(texts[:10], nothing[:10])  # what is imported does not count
    tracemalloc.start()
    try:
        shingles_of_texts.Shingles.of(texts, nothing)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 36 * rows * (length - 2)  # Polars's own memory is not seen here
    assert kept < 1e6


def test_the_same_words_in_another_order_are_another_text():
    words = WORDS[:12]
    swapped = [*words[:5], words[6], words[5], *words[7:]]
    texts = [" ".join(words), " ".join(swapped)]
    assert jaccard(*texts) < 0.7
    assert stand_ins(texts, [None, None]).tolist() == [0, 1]
    assert near_duplicate_groups(Texts.of(texts)).count == 2


def test_stand_ins_do_not_depend_on_how_pairs_are_cut_into_pieces(monkeypatch):
    texts = edited_texts(seed=5, originals=30, copies=3)
    whole = stand_ins(texts, [None] * len(texts))
    cut_small(monkeypatch, 7)
    assert stand_ins(texts, [None] * len(texts)).tolist() == whole.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "It's A_b 12.5% naïve – ΣΑΣ",
        "ﬁne ½ ² x² Ⅳ",
        "İstanbul IĞDIR",
        "हिन्दी में लिखा",
        "ไทย ภาษา",
        "日本語のテキスト abc漢字def 한국어 문장",
        "\u00a0tabs\tand\u2003spaces\u200bzero",
        "e\u0301a\u0308 👩\u200d👩 ok",
    ],
)
def test_words_are_those_of_pythons_own_regular_expressions(text):
    # Letters, digits and underscores after NFKC and lower case; Chinese and Japanese one by one.
    together = unicodedata.normalize("NFKC", text + "\n").lower()
    spaceless = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    expected = re.findall(rf"[{spaceless}]|[^\W{spaceless}]+", together)
    spoken = " ".join(expected)
    _, counts = words.word_hashes(pl.DataFrame({"text": [text], "context": [""]}))
    assert counts.tolist() == [max(len(expected), 3)]
    assert near_duplicates_of(Texts.of([text]), Texts.of([spoken]))["jaccard"].to_list() == [1.0]
