"""Chats as the text that a model reads, by its tokenizer's own template."""

import json
from collections.abc import Iterable, Iterator

from transformers import PreTrainedTokenizerBase

from analogue.errors import InvalidArgument, first_line


def chat_texts(documents: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """The text of each chat, with the special tokens that mark its turns: tokenise it without adding others.

    Args:
        documents: the messages of each chat as JSON, as `read_texts` gives them.
        tokenizer: with a chat template.

    Raises:
        InvalidArgument: the template does not take the messages; a template may want roles in turn.
    """
    for number, document in enumerate(documents, 1):
        try:
            yield str(tokenizer.apply_chat_template(json.loads(document), tokenize=False))
        except Exception as error:  # whatever a template raises
            problem = f"fails on document {number}, which the tokenizer's template refuses ({first_line(error)})"
            raise InvalidArgument("chat", True, problem) from error
