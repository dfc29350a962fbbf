"""The examples in docstrings do what they say."""

import doctest
import importlib

import pytest

from tests.test_architecture import SOURCE, modules


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_examples(path):
    name = ".".join(["euds", *path.relative_to(SOURCE).with_suffix("").parts])
    if path.stem == "__main__":
        return
    module = importlib.import_module(name.removesuffix(".__init__"))
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    assert doctest.testmod(module, optionflags=options).failed == 0
