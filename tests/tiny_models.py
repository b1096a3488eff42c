"""Writes a tiny Llama with random weights, as a folder of Hugging Face's or as a GGUF file, for servers not ours.

Run by an interpreter that has what is needed: `python tiny_models.py hf|gguf PLACE`, with words on standard input. Each
word with a space before it is one token; what is no such word is spelled in bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

WIDTH, LAYERS, HEADS, KV_HEADS, MLP_WIDTH, CONTEXT = 128, 2, 4, 2, 256, 4096
SPECIAL = ["<s>", "</s>", "<unk>"]


def byte_letters() -> list[str]:
    """The letters that byte-level tokenizers write bytes with: printable ones as they are, others from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def vocabulary(words: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens and merges: a word grows letter by letter from the space before it."""
    space = byte_letters()[32]
    tokens, merges = [*SPECIAL, *byte_letters()], []
    for word in words:
        for end in range(1, len(word) + 1):
            left, right = space + word[: end - 1], word[end - 1]
            if left + right not in tokens:
                tokens.append(left + right)
                merges.append((left, right))
    return tokens, merges


def write_hf(folder: Path, words: list[str]) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokens, merges = vocabulary(words)
    tokenizer = Tokenizer(models.BPE(vocab={token: place for place, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = dict(zip(("bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=WIDTH,
        intermediate_size=MLP_WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.pad_token_id = 1
    model.save_pretrained(folder)


def write_gguf(file: Path, words: list[str]) -> None:
    import gguf
    import numpy as np

    tokens, merges = vocabulary(words)
    random, head = np.random.default_rng(0), WIDTH // HEADS
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(MLP_WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)
    shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.attn_norm": (WIDTH,),
            f"blk.{layer}.attn_q": (HEADS * head, WIDTH),
            f"blk.{layer}.attn_k": (KV_HEADS * head, WIDTH),
            f"blk.{layer}.attn_v": (KV_HEADS * head, WIDTH),
            f"blk.{layer}.attn_output": (WIDTH, HEADS * head),
            f"blk.{layer}.ffn_norm": (WIDTH,),
            f"blk.{layer}.ffn_gate": (MLP_WIDTH, WIDTH),
            f"blk.{layer}.ffn_up": (MLP_WIDTH, WIDTH),
            f"blk.{layer}.ffn_down": (WIDTH, MLP_WIDTH),
        }
    for name, shape in shapes.items():
        weights = np.ones(shape) if "norm" in name else random.normal(0.0, 0.02, shape)
        writer.add_tensor(f"{name}.weight", weights.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    {"hf": write_hf, "gguf": write_gguf}[sys.argv[1]](Path(sys.argv[2]), sys.stdin.read().split())
