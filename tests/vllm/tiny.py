"""A Llama of half a million parameters, its tokenizer and chat template: made on the spot by vLLM's own packages."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.cluster.configuration import vllm_folder

# The head's size must be 64: vLLM's attention for processors knows no small ones.
_MAKE = """
import json, sys, torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
folder, template = json.loads(sys.argv[1])
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
vocabulary = {word: n for n, word in enumerate(["<unk>", "<s>", "</s>", *alphabet])}
tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
fast.chat_template = template
fast.save_pretrained(folder)
torch.manual_seed(1)
config = LlamaConfig(
    vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=2, head_dim=64, max_position_embeddings=512, bos_token_id=1, eos_token_id=2,
    tie_word_embeddings=False, dtype=torch.float32,
)
LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
"""
_TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "


def make_tiny(folder: Path) -> Path:
    """`folder`, with the model in it; nothing is done where it is.  Some seconds otherwise."""
    if (folder / "model.safetensors").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [vllm_folder() / "bin" / "python", "-c", _MAKE, json.dumps([str(folder), _TEMPLATE])],
        env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return folder
