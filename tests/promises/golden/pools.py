"""Small pools for the golden runs: the same bytes on every machine.

Only ``random()`` of a seeded generator is used: Python promises that its numbers never change.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path

__all__ = ["POOLS", "SHORT_TEXTS"]

_ENGLISH = """the a film was plot actor story good dull moving cold slow and of with it never ending
bright scene music camera long short laugh tears summer train winter house old new letter dog sea
stranger doctor village war song dance clever loud quiet honest broken gold river night morning"""
_GERMAN = """der die das und ist nicht ein eine mit auf für Stadt Fluss Brücke Zug Straße Regen
Sommer Bürger Wahl Partei Haushalt Minister Gesetz Verein Tor Spieler Trainer Saison Stadion Sieg
Größe heute gestern morgen schnell langsam groß klein neu alt über unter zwischen während weil"""
_FRENCH = """le la les un une et est dans pour avec sur ville rivière pont train pluie été hiver
élection parti ministre loi équipe joueur saison stade victoire marché prix école théâtre musique
soirée aujourd'hui demain vite lentement grand petit neuf vieux entre pendant après déjà où"""


class _Words:
    """Draws texts from a list of words, those in front more often."""

    def __init__(self, words: str, seed: int) -> None:
        self._words = words.split()
        self._random = random.Random(seed)

    def below(self, bound: int) -> int:
        """Return a whole number from 0 on."""
        return int(self._random.random() * bound)

    def one_of(self, values: Sequence[str]) -> str:
        """Return one of some values."""
        return values[self.below(len(values))]

    def text(self, least: int, most: int) -> str:
        """Return a text of so many words."""
        count = least + self.below(most - least + 1)
        # A square makes the first words of the list frequent and the last ones rare.
        drawn = [
            self._words[int(self._random.random() ** 2 * len(self._words))] for _ in range(count)
        ]
        return " ".join(drawn)


def films(folder: Path) -> None:
    """Reviews with labels, as JSONL; other columns and characters of all kinds."""
    words = _Words(_ENGLISH, 1)
    with (folder / "films.jsonl").open("w", encoding="utf-8", newline="\n") as stream:
        for number in range(60):
            row = {
                "n": number,
                "review": words.text(6, 40)
                + words.one_of([".", "!", " …", " 🎬", "\nEnd", "", "", ""]),
                "stars": words.one_of(["good", "bad", "good", "mixed"]),
                "by": {"name": words.one_of(["Ann", "Zoë", "李"])},
            }
            stream.write(json.dumps(row, ensure_ascii=number % 2 == 0) + "\n")


def questions(folder: Path) -> None:
    """Questions about passages, as CSV with quotes and line breaks in fields, and with CR LF."""
    words = _Words(_ENGLISH, 2)
    lines = ["id,passage,question,answer"]
    for number in range(40):
        passage = words.text(20, 50).replace(" and ", " and\n").replace(" it ", ' "it" ')
        quoted = passage.replace('"', '""')
        answer = words.one_of(["yes", "no"])
        lines.append(f'q{number},"{quoted}",is {words.text(4, 14)}?,{answer}')
    (folder / "questions.csv").write_bytes(("\r\n".join(lines) + "\r\n").encode())


def damaged(folder: Path) -> None:
    """Rows that repeat others, nearly or in full, and rows that cannot be used."""
    words = _Words(_ENGLISH, 3)
    texts = [words.text(12, 30) for _ in range(50)]
    texts += texts[:5]  # repeats
    texts += [text + " indeed" for text in texts[5:10]]  # near-duplicates
    lines = [
        json.dumps({"name": f"row-{number}", "text": text}).encode()
        for number, text in enumerate(texts)
    ]
    bad = [
        b'{"name": "broken", "text": "no end',
        b'{"name": "no-text"}',
        b'{"name": "empty", "text": "  "}',
        b'{"name": "number", "text": 7}',
        b'{"name": "bytes", "text": "caf\xe9"}',
        b'{"name": "row-3", "text": "an id that was there before"}',
        b'["a list"]',
    ]
    for place, line in enumerate(bad):
        lines.insert(8 * place + 4, line)
    (folder / "damaged.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def chats(folder: Path) -> None:
    """Chats: the assistant's last turn is the text, what was said before is its context."""
    words = _Words(_ENGLISH, 4)
    with (folder / "chats.jsonl").open("w", encoding="utf-8", newline="\n") as stream:
        for _ in range(40):
            turns = [{"role": "user", "content": words.text(4, 12) + "?"}]
            if words.below(3) == 0:
                turns += [
                    {"role": "assistant", "content": words.text(3, 9)},
                    {"role": "user", "content": words.text(2, 6)},
                ]
            turns.append({"role": "assistant", "content": words.text(5, 30)})
            stream.write(json.dumps({"messages": turns}) + "\n")


def news(folder: Path) -> None:
    """Texts in other languages: a folder of German ones, and French ones as compressed TSV."""
    german, french = _Words(_GERMAN, 5), _Words(_FRENCH, 6)
    for label in ("politik", "sport"):
        (folder / "nachrichten" / label).mkdir(parents=True)
        for number in range(15):
            path = folder / "nachrichten" / label / f"{number:02d}.txt"
            path.write_bytes(german.text(10, 40).encode())
    rows = "".join(f"{french.text(6, 30)}\t{number}\n" for number in range(40))
    # No time in the header: the bytes would be others each second.
    content = gzip.compress(f"text\tn\n{rows}".encode(), mtime=0)
    (folder / "nouvelles.tsv.gz").write_bytes(content)


POOLS = {
    "films": films,
    "questions": questions,
    "damaged": damaged,
    "chats": chats,
    "news": news,
}

# For the real model: what people write, so that its numbers say something.
SHORT_TEXTS = (
    "The train to Lisbon leaves at nine, and we nearly missed it.",
    "I loved every minute of this film.",
    "What a waste of two hours.",
    "Interest rates rose again on Thursday.",
    "She opened the letter, read it twice and put it back.",
    "The battery lasts a day, which is not enough for me.",
    "Our team won three to one after a slow first half.",
    "Mix the flour with cold butter until it looks like sand.",
    "The plot makes no sense and the actors know it.",
    "Rain is expected in the north, sun in the south.",
    "He says he will resign; nobody believes him.",
    "A quiet, honest story about two brothers and a boat.",
    "The delivery came late and the box was open.",
    "Parliament votes on the budget tomorrow.",
    "Best coffee in town, and the owner remembers your name.",
    "The sequel is longer, louder and worse.",
    "Turn left at the church, then follow the river.",
    "Scientists found water under the ice of a small moon.",
    "My phone died twice in the first week.",
    "The museum is closed on Mondays.",
    "I cried at the end and I am not ashamed of it.",
    "Prices for wheat fell by four percent.",
    "The hotel was clean but the street was loud all night.",
    "An old man teaches a robot how to paint.",
    "The keeper saved two penalties in the final minutes.",
    "Do not buy this if you have small hands.",
    "The mayor promised new buses by spring.",
    "Funny in places, tedious in most.",
    "Wash the rice until the water runs clear.",
    "The company will cut eight hundred jobs.",
    "It works exactly as described.",
    "The orchestra played as if it were paid by the note.",
    "A storm took the roof off the school.",
    "I returned it after one day.",
    "The dialogue sounds like people talking, for once.",
    "Voters in the valley stayed at home.",
    "Her second novel is braver than her first.",
    "The app asks for your password every single time.",
    "They have lost nine matches in a row.",
    "Beautiful pictures, empty words.",
)
