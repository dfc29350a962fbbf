import copy
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from euds.errors import ModelError, OptionError
from euds.models import attention as attention_module
from euds.models import network as network_module
from euds.models.batching import FEWEST_POSITIONS
from euds.models.branches import Tree
from euds.models.network import Network
from euds.models.protocols import LanguageModel
from euds.models.tokens import Tokens
from euds.models.transformers_lm import TransformersLM
from tests.models.conftest import POSITIONS, make_lm, make_model, make_tokenizer

TEXTS = [
    "The film was very good.",
    "",
    "x",
    "A cat sat on the mat, and nobody asked why.",
    "The film was very good.",
    "yes </s> no 😀",
]
CONTEXTS = [None, "what", "Is the answer yes?", None, "The book was bad.", ""]
PROMPTS = ["Is the answer", "The film was very", "Is the cat", "", "The film was very"]
OPTIONS = [" yes", " no", " nobody asked", " good and very bad"]


def plain_model(lm: TransformersLM):
    """Return the model in float64, with transformers' own attention."""
    model = copy.deepcopy(lm.network.model).double()
    model.set_attn_implementation("eager")
    return model


def naive_statistics(lm: TransformersLM, ids: list[int], start: int):
    """Run one sequence by itself, in float64, with the full softmax of the whole model."""
    model = plain_model(lm)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double()
    log_probs = torch.log_softmax(logits, -1)
    entropies = -(log_probs.exp() * log_probs).sum(-1)
    places = torch.arange(start, len(ids))
    targets = torch.tensor(ids)[start:]
    return entropies[places - 1].numpy(), -log_probs[places - 1, targets].numpy()


def statistics(lm, texts, contexts, *, max_tokens=20, max_context_tokens=8):
    return lm.token_statistics(
        texts, contexts, max_tokens=max_tokens, max_context_tokens=max_context_tokens
    )


def test_it_is_a_language_model(lm):
    assert isinstance(lm, LanguageModel)


def test_what_the_architectures_stand_for():
    split = {name: make_lm(name).network.is_split for name in ("llama", "gpt2", "gemma2")}
    assert split == {"llama": True, "gpt2": True, "gemma2": False}
    packs = {name: make_lm(name).network.packs for name in ("llama", "gpt2", "mistral", "gemma2")}
    assert packs == {"llama": True, "gpt2": True, "mistral": False, "gemma2": False}


def test_a_model_that_cannot_pack_says_why_and_is_left_as_it_was(monkeypatch, caplog):
    # As if llama's attention did something with positions that a layout does not know of.
    monkeypatch.setattr(attention_module, "_NOT_PLAIN", ("position_ids",))
    with caplog.at_level("INFO", logger="euds"):
        plain = make_lm("llama")
    assert not plain.network.packs
    assert plain.network.model.config._attn_implementation == "eager"
    assert "LlamaForCausalLM" in caplog.text
    assert "more than a softmax" in caplog.text
    with caplog.at_level("INFO", logger="euds"):
        make_lm("mistral")
    assert "MistralForCausalLM" in caplog.text
    (found,) = statistics(plain, TEXTS[:1], CONTEXTS[:1])
    (expected,) = statistics(make_lm("llama"), TEXTS[:1], CONTEXTS[:1])
    np.testing.assert_allclose(found.nll_nats, expected.nll_nats, atol=2e-5)


def test_token_statistics_equal_a_naive_pass(lm):
    for text, context, found in zip(TEXTS, CONTEXTS, statistics(lm, TEXTS, CONTEXTS), strict=True):
        text_ids = lm.tokens.encode([text])[0]
        context_ids = lm.tokens.encode([context or ""])[0]
        kept, seen = text_ids[:20], context_ids[-8:]
        ids = [lm.tokens.start_id, *seen, *kept]
        entropies, nlls = naive_statistics(lm, ids, 1 + len(seen))
        np.testing.assert_allclose(found.entropy_nats, entropies, atol=5e-5)
        np.testing.assert_allclose(found.nll_nats, nlls, atol=5e-5)
        assert found.entropy_nats.dtype == found.nll_nats.dtype == np.float32
        assert found.cut == (kept != text_ids or seen != context_ids)


def test_columns_depend_on_a_texts_own_length_alone(llama, monkeypatch):
    seen = set()
    weighed = attention_module._weighed

    def watched(query, key, value, hidden, scaling):
        seen.add(key.shape[1])
        return weighed(query, key, value, hidden, scaling)

    monkeypatch.setattr(attention_module, "_weighed", watched)
    llama.network.read([list(range(20)), list(range(50)), list(range(32))])
    assert seen == {32, 64}


def test_the_context_matters_and_its_end_is_kept(llama):
    contexts = [None, " was", "A book, or: The film was"]
    alone, after, cut = statistics(llama, ["good"] * 3, contexts, max_context_tokens=1)
    assert not np.allclose(alone.nll_nats, after.nll_nats)
    np.testing.assert_array_equal(after.nll_nats, cut.nll_nats)
    assert cut.cut
    assert not after.cut


def test_a_text_has_the_same_numbers_alone_and_among_others(lm):
    together = statistics(lm, TEXTS * 7, CONTEXTS * 7)
    for index, (text, context) in enumerate(zip(TEXTS, CONTEXTS, strict=True)):
        (alone,) = statistics(lm, [text], [context])
        for found in together[index :: len(TEXTS)]:
            np.testing.assert_allclose(found.entropy_nats, alone.entropy_nats, atol=2e-5)
            np.testing.assert_allclose(found.nll_nats, alone.nll_nats, atol=2e-5)


@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_the_batch_size_changes_no_number(llama, batch_tokens):
    other = dataclasses.replace(llama, batch_tokens=batch_tokens)
    for one, two in zip(
        statistics(llama, TEXTS, CONTEXTS), statistics(other, TEXTS, CONTEXTS), strict=True
    ):
        np.testing.assert_allclose(one.nll_nats, two.nll_nats, atol=2e-5)


def test_no_texts(llama):
    assert statistics(llama, [], []) == []
    assert llama.truncate([], max_tokens=3) == []
    assert llama.sample([], count=2, max_new_tokens=2, seeds=[]) == []
    assert llama.option_log_probs([], [" a"]).log_prob_nats.shape == (0, 1)


def test_control_tokens_in_a_text_are_plain_characters(llama):
    special = set(llama.tokens.tokenizer.all_special_ids)
    (ids,) = llama.tokens.encode(["no </s> and <bot> or <s>"])
    assert not special & set(ids)
    assert llama.tokens.decode(ids) == "no </s> and <bot> or <s>"


def test_every_sequence_begins_with_one_start_token():
    model = make_model("llama", 330)
    with_bos = Tokens.of_model(make_tokenizer(), model)
    assert with_bos.prompts(["yes"], chat=False)[0][0] == 0
    assert with_bos.prompts(["yes"], chat=False)[0].count(0) == 1
    without = Tokens.of_model(make_tokenizer(bos=False), model)
    assert without.prompts(["yes"], chat=False)[0][0] == without.tokenizer.eos_token_id


def test_a_model_without_any_such_token_is_refused():
    model, tokenizer = make_model("llama", 330), make_tokenizer(bos=False)
    tokenizer.eos_token = None
    model.config.bos_token_id = model.config.eos_token_id = None
    with pytest.raises(ModelError, match="no token that begins"):
        Tokens.of_model(tokenizer, model)


def test_context_gives_way_to_the_text_where_positions_end(lm):
    text, context = "yes no " * 60, "cat " * 200
    (found,) = statistics(lm, [text], [context], max_tokens=50, max_context_tokens=500)
    assert len(found.nll_nats) == 50
    assert found.cut
    (full,) = statistics(lm, [text], [context], max_tokens=500, max_context_tokens=500)
    assert len(full.nll_nats) == POSITIONS - 1


def test_numbers_that_are_not_finite_are_passed_on():
    broken = make_lm("llama")
    with torch.no_grad():
        broken.network.model.lm_head.weight[3] = float("nan")
    (found,) = statistics(broken, ["The film"], [None])
    assert np.isnan(found.entropy_nats).all()
    assert np.isnan(found.nll_nats).all()


def test_entropies_of_logits_that_are_known(llama):
    whole = Network(llama.network.model, is_split=False, packs=False)  # features are logits
    logits = torch.zeros(4, 8)
    logits[1] -= 90.0
    logits[2, 1:] = -torch.inf
    logits[3, 4:] = -torch.inf
    entropies, nlls = whole.token_statistics(logits, torch.tensor([0, 1, 0, 7]))
    expected = [np.log(8), np.log(8), 0.0, np.log(4)]
    np.testing.assert_allclose(entropies.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(nlls.numpy(), [np.log(8), np.log(8), 0.0, np.inf], atol=1e-5)
    assert (logits[1] == -90.0).all()


@pytest.mark.parametrize("block", [1000, 64, 7])
def test_blocks_of_the_vocabulary_do_not_show(llama, monkeypatch, block):
    monkeypatch.setitem(network_module._BLOCK, "cpu", block)
    torch.manual_seed(0)
    features = torch.randn(150, 32)
    targets = torch.arange(150)
    with torch.inference_mode():
        logits = torch.nn.functional.linear(features, llama.network.model.lm_head.weight).double()
        entropies, nlls = llama.network.token_statistics(features, targets)
        found = llama.network.log_probs(features, targets[:, None])
    log_probs = torch.log_softmax(logits, -1)
    np.testing.assert_allclose(nlls, -log_probs[targets, targets], atol=1e-4)
    np.testing.assert_allclose(found[:, 0], log_probs[targets, targets], atol=1e-4)
    np.testing.assert_allclose(entropies, -(log_probs.exp() * log_probs).sum(-1), atol=1e-4)


# Options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chat", [False, True])
def test_options_equal_each_full_text_scored_by_itself(lm, chat):
    scores = lm.option_log_probs(PROMPTS, OPTIONS, chat=chat)
    assert scores.log_prob_nats.shape == (len(PROMPTS), len(OPTIONS))
    for row, prompt in enumerate(lm.tokens.prompts(PROMPTS, chat=chat)):
        for column, option in enumerate(lm.tokens.encode(OPTIONS)):
            _, nlls = naive_statistics(lm, [*prompt, *option], len(prompt))
            assert scores.log_prob_nats[row, column] == pytest.approx(-nlls.sum(), abs=1e-4)
            assert scores.tokens[column] == len(option)


def test_single_token_options_are_a_softmax(llama):
    options = [llama.tokens.tokenizer.decode([index]) for index in range(10, 200)]
    options = [text for text in options if len(llama.tokens.encode([text])[0]) == 1]
    scores = llama.option_log_probs(["The film"], options)
    assert 0 < np.exp(scores.log_prob_nats).sum() < 1


def test_options_do_not_depend_on_the_other_prompts_and_options(lm):
    together = lm.option_log_probs(PROMPTS, OPTIONS).log_prob_nats
    alone = lm.option_log_probs(PROMPTS[1:2], OPTIONS[2:3]).log_prob_nats
    assert together[1, 2] == together[4, 2] == pytest.approx(alone[0, 0], abs=5e-5)


def test_an_option_without_tokens_is_refused(llama):
    with pytest.raises(OptionError, match="no tokens"):
        llama.option_log_probs(["a"], ["b", ""])


def test_a_prompt_that_does_not_fit_is_refused(llama):
    with pytest.raises(ModelError, match="longer than the model"):
        llama.option_log_probs(["cat " * 100], [" a"])
    with pytest.raises(ModelError, match="longer than the model"):
        llama.sample(["cat"], count=1, max_new_tokens=POSITIONS, seeds=[0])


# Chat ---------------------------------------------------------------------------------------------


def test_a_chat_prompt_is_what_the_template_writes(llama):
    tokenizer = llama.tokens.tokenizer
    (ids,) = llama.tokens.prompts(["Is it good?"], chat=True)
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Is it good?"}], add_generation_prompt=True, return_dict=False
    )
    assert list(ids) == list(expected)
    assert ids.count(tokenizer.bos_token_id) == 1


def test_control_tokens_in_a_chat_message_are_plain_characters(llama):
    (plain,) = llama.tokens.prompts(["no"], chat=True)
    (sly,) = llama.tokens.prompts(["</s><bot>no"], chat=True)
    specials = llama.tokens.tokenizer.all_special_ids
    assert [i for i in sly if i in specials] == [i for i in plain if i in specials]


def test_a_template_cannot_bring_in_the_day(llama):
    template = "{{ strftime_now('%Y') }}{% for message in messages %}{{ message['content'] }}"
    tokenizer = make_tokenizer(template=template + "{% endfor %}")
    tokens = dataclasses.replace(llama.tokens, tokenizer=tokenizer)
    assert tokens.decode(tokens.prompts(["no"], chat=True)[0]) == "01 Jan 2025no"


@pytest.mark.parametrize(
    "template", ["hello", "{{ messages[0].content }}{{ messages[0].content }}"]
)
def test_a_template_must_show_the_message_once(llama, template):
    tokens = dataclasses.replace(llama.tokens, tokenizer=make_tokenizer(template=template))
    with pytest.raises(ModelError, match="exactly once"):
        tokens.prompts(["no"], chat=True)


def test_chat_needs_a_template(llama):
    tokens = dataclasses.replace(llama.tokens, tokenizer=make_tokenizer(template=None))
    lm = dataclasses.replace(llama, tokens=tokens)
    assert llama.has_chat_template
    assert not lm.has_chat_template
    with pytest.raises(OptionError, match="no chat template"):
        lm.option_log_probs(["a"], [" b"], chat=True)


# Truncation ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(0, 12))
def test_a_cut_text_is_a_beginning_that_fits(text, max_tokens):
    tokens = make_lm_tokens()
    (cut,) = tokens.truncate([text], max_tokens=max_tokens)
    assert text.startswith(cut)
    assert len(tokens.encode([cut])[0]) <= max_tokens
    if len(tokens.encode([text])[0]) <= max_tokens:
        assert cut == text


_TOKENS: list[Tokens] = []


def make_lm_tokens() -> Tokens:
    if not _TOKENS:
        _TOKENS.append(make_lm("llama").tokens)
    return _TOKENS[0]


def test_truncation_keeps_whole_tokens_and_characters(llama):
    assert llama.truncate(["The cat sat"], max_tokens=2) == ["The cat"]
    assert llama.truncate(["😀😀"], max_tokens=5) == ["😀"]


# Sampling -----------------------------------------------------------------------------------------


def draw(lm, prompts=PROMPTS, seeds=(1, 2, 3, 4, 2), **options):
    options = {"count": 4, "max_new_tokens": 6, **options}
    return lm.sample(prompts, seeds=list(seeds), **options)


def test_the_same_seed_gives_the_same_draws(lm):
    drawn = draw(lm)
    assert drawn == draw(lm)
    assert drawn[1] == drawn[4]
    assert drawn[1] != draw(lm, seeds=(1, 5, 3, 4, 2))[1]
    assert [len(some) for some in drawn] == [4] * len(PROMPTS)


def test_draws_are_the_same_alone_and_in_a_batch(lm):
    drawn = draw(lm)
    for index, seed in enumerate((1, 2, 3, 4, 2)):
        (alone,) = draw(lm, [PROMPTS[index]], [seed])
        assert [one.text for one in alone] == [one.text for one in drawn[index]]


def test_rows_and_copies_draw_alike(llama):
    model = copy.deepcopy(llama.network.model)
    model.set_attn_implementation("eager")
    network = Network(model, is_split=llama.network.is_split, packs=False)
    copies = dataclasses.replace(llama, network=network)
    for one, two in zip(draw(llama), draw(copies), strict=True):
        assert [draw.text for draw in one] == [draw.text for draw in two]


def test_draws_do_not_change_when_the_prompts_beside_them_have_ended(llama, monkeypatch):
    forgotten = []
    keep = Tree.keep

    def counting(self, rows):
        forgotten.append(len(rows))
        keep(self, rows)

    monkeypatch.setattr(Tree, "keep", counting)
    sizes = []
    packed = Network.packed

    def measured(self, ids, places, layout):
        sizes.append(len(ids))
        return packed(self, ids, places, layout)

    monkeypatch.setattr(Network, "packed", measured)
    ends = np.arange(llama.tokens.vocabulary) % 5 == 0  # a draw has five tokens on average
    monkeypatch.setattr(TransformersLM, "_ends", lambda self, *, stop_at_newline: ends)
    prompts = [f"The film was {word}" for word in ("very", "good", "and", "the", "book")] * 4
    seeds = list(range(len(prompts)))
    together = draw(llama, prompts, seeds, count=2, max_new_tokens=20)
    assert forgotten, "no prompt was forgotten: this test would say nothing"
    assert min(sizes) == FEWEST_POSITIONS  # fewer would round in another way
    for index, seed in enumerate(seeds):
        (alone,) = draw(llama, [prompts[index]], [seed], count=2, max_new_tokens=20)
        for one, two in zip(alone, together[index], strict=True):
            assert one.text == two.text
            assert one.tokens == two.tokens
            assert one.log_prob_nats == pytest.approx(two.log_prob_nats, abs=1e-4)


@pytest.fixture(params=[1024, 64])
def block(request, monkeypatch):
    """Take the vocabulary of 330 as one block, and as six of which the last is smaller."""
    monkeypatch.setitem(network_module._BLOCK, "cpu", request.param)


def test_first_tokens_follow_the_softmax(llama, block):
    (drawn,) = draw(llama, ["The film was"], [3], count=3000, max_new_tokens=1)
    (prompt,) = llama.tokens.prompts(["The film was"], chat=False)
    with torch.no_grad():
        logits = plain_model(llama)(torch.tensor([prompt])).logits[0, -1]
    expected = torch.softmax(logits, -1).numpy()
    by_log_prob = {round(float(np.log(p)), 4): p for p in expected}
    counts = dict.fromkeys(by_log_prob, 0)
    for one in drawn:
        nearest = min(by_log_prob, key=lambda known: abs(known - one.log_prob_nats))
        assert nearest == pytest.approx(one.log_prob_nats, abs=1e-3)
        counts[nearest] += 1
    common = [known for known, p in by_log_prob.items() if p > 0.005]
    observed = [counts[known] for known in common]
    masses = [3000 * by_log_prob[known] for known in common]
    observed.append(3000 - sum(observed))
    masses.append(3000 - sum(masses))
    assert chisquare(observed, masses).pvalue > 0.01


def test_temperature_changes_the_draws_but_not_what_they_are_worth(llama):
    (cold,) = draw(llama, ["The film was"], [3], count=50, max_new_tokens=1, temperature=0.01)
    (warm,) = draw(llama, ["The film was"], [3], count=50, max_new_tokens=1)
    assert len({one.text for one in cold}) == 1
    assert len({one.text for one in warm}) > 1
    assert cold[0].log_prob_nats == pytest.approx(max(one.log_prob_nats for one in warm), abs=1e-5)
    with pytest.raises(OptionError, match="above 0"):
        draw(llama, temperature=0.0)


def recording(lm, monkeypatch):
    """Keep the raw draws, to score their very tokens again."""
    import euds.models.transformers_lm as module

    kept = []
    original = module.draw_batch

    def draw_batch(network, prompts, uniforms, **options):
        draws = original(network, prompts, uniforms, **options)
        kept.append((prompts, draws))
        return draws

    monkeypatch.setattr(module, "draw_batch", draw_batch)
    return kept


@pytest.mark.parametrize("stop_at_newline", [False, True])
def test_log_probabilities_are_those_of_the_drawn_tokens(lm, monkeypatch, stop_at_newline):
    kept = recording(lm, monkeypatch)
    draw(lm, count=3, max_new_tokens=5, stop_at_newline=stop_at_newline)
    ends = lm._ends(stop_at_newline=stop_at_newline)
    for prompts, draws in kept:
        for row, prompt in enumerate(prompts):
            for column in range(3):
                length = draws.lengths[row, column]
                tokens = draws.tokens[row, column, :length].tolist()
                _, nlls = naive_statistics(lm, [*prompt, *tokens], len(prompt))
                assert draws.log_prob_nats[row, column] == pytest.approx(-nlls.sum(), abs=2e-4)
                assert not ends[tokens[:-1]].any()
                assert ends[tokens[-1]] == draws.ended[row, column]
                assert draws.ended[row, column] or length == 5


def test_a_draw_ends_before_the_token_with_a_line_break(llama):
    breaks = llama.tokens.holds_line_break
    (newline,) = llama.tokens.encode(["\n"])[0]
    assert breaks[newline]
    assert not breaks[llama.tokens.encode([" film"])[0]].any()
    loud = make_lm("llama")
    with torch.no_grad():  # as likely as not, the next token is a line break
        loud.network.model.lm_head.weight[newline] = 0
    drawn = draw(loud, ["The film"], [1], count=60, max_new_tokens=5, stop_at_newline=True)[0]
    assert not any("\n" in one.text for one in drawn)


def test_more_draws_begin_with_the_fewer(llama):
    few, many = draw(llama, count=3, max_new_tokens=4), draw(llama, count=9, max_new_tokens=4)
    for one, two in zip(few, many, strict=True):
        assert [draw.text for draw in one] == [draw.text for draw in two[:3]]
