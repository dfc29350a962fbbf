"""What a model is tried out on: short texts, likely and unlikely, written for this purpose.

They differ in register, language and length, and some come with their words in another order as
well, so that a model's entropies on them spread as widely as on a real pool.
"""

from __future__ import annotations

__all__ = ["TRIAL_TEXTS"]

_WRITTEN = (
    "The committee met on Tuesday to discuss next year's budget. After two hours the members "
    "agreed to spend more on roads and less on the new stadium.",
    "omg this phone is AMAZING!!! battery lasts 2 days, camera = wow. only con: no headphone "
    "jack lol. 10/10 would buy again",
    "Water boils at a lower temperature on a mountain, because the pressure of the air is lower "
    "there than at the level of the sea.",
    "Once upon a time there was a little girl who lived with her grandmother in a small house at "
    "the edge of the forest.",
    "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n    "
    "return total / len(values)",
    "The tenant shall give written notice no later than thirty days before the end of the term, "
    "failing which this agreement renews for a further year.",
    "We were seated late, the soup was cold, and nobody said sorry. The cake was good, I give it "
    "that.",
    "Der Zug nach Hamburg hat heute vierzig Minuten Verspätung. Wir bitten um Entschuldigung.",
    "Preheat the oven to 180 degrees. Beat the eggs with the sugar until pale, then fold in the "
    "flour and the melted butter.",
    "Humpty Dumpty sat on a wall, Humpty Dumpty had a great fall. All the king's horses and all "
    "the king's men couldn't put Humpty together again.",
    "Elle ouvrit la fenêtre et regarda longtemps la mer sans rien dire, puis elle descendit au "
    "jardin.",
    "Heavy tails in the noise bias the estimator, yet its median converges at the usual rate once "
    "the largest residuals are trimmed.",
    "SELECT name, COUNT(*) FROM orders WHERE total > 100 GROUP BY name ORDER BY 2 DESC;",
    "Rust-red gulls unlearn the harbour; a ladder of salt climbs nowhere, counting absent rungs.",
    "Q: What is the capital of France?\nA: The capital of France is Paris.",
    "El perro duerme debajo de la mesa mientras los niños juegan en el patio con una pelota vieja.",
    "United scored twice in the final ten minutes to win the match and move up to third place in "
    "the league.",
    "Patient, 54, presents with intermittent chest pain on exertion; no fever; ECG unremarkable; "
    "started on aspirin.",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty twenty-one twenty-two twenty-three",
    "ERROR 2031-04-07 03:12:44 worker-7: connection reset by peer (attempt 3 of 5), retry in 8 s",
    "My brother, whom the neighbours that you met yesterday at the market had invited to their "
    "wedding, never came.",
    "Вчера весь день шёл дождь, и мы остались дома.",
    "Thank you for your email. I am out of the office until Monday and will answer when I am back.",
    '{"id": 4711, "tags": ["blue", "large"], "price": 12.5, "in_stock": true}',
    "Grandmaster sacrifices queen, loses on time, blames Wi-Fi; federation shrugs, sponsors of "
    "the chess boom quietly sell their boards.",
    "Il treno è partito senza di noi, e la prossima corsa è domani mattina alle sette.",
)


def _reordered(text: str) -> str:
    """Return the words in an order in which no two neighbours were neighbours.

    >>> _reordered("one two three four five six seven")
    'one four seven two five three six'
    """
    words = text.split()
    return " ".join([*words[::3], *words[1::3], *words[2::3]])


TRIAL_TEXTS = (*_WRITTEN, *map(_reordered, _WRITTEN[::2]))
"""The texts, and every second one once more with its words in another order."""
