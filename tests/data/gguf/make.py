"""Makes the GGUF files of this folder with the gguf package, from the checkpoints in tests/goldens and
the tokenizers beside; names and changes of tensors as in llama.cpp's convert_hf_to_gguf.py.

    python3 make.py                 # needs gguf, safetensors, numpy, tokenizers"""
import json, os
import numpy as np, gguf
from gguf import quants, GGMLQuantizationType as Q
from safetensors.numpy import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def permute(w, heads):  # of convert_hf_to_gguf.py, LlamaModel
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def common(w, c):
    w.add_block_count(c["num_hidden_layers"])
    w.add_embedding_length(c["hidden_size"])
    w.add_layer_norm_rms_eps(c.get("rms_norm_eps", c.get("layer_norm_epsilon")))
    w.add_context_length(2048)
    w.add_eos_token_id(c["eos_token_id"])
    w.add_bos_token_id(c["bos_token_id"])


def llama(w, c, t, put):
    common(w, c)
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(c["num_key_value_heads"])
    w.add_key_length(c["head_dim"])
    w.add_rope_freq_base(c["rope_parameters"]["rope_theta"])
    names = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
             "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    put("token_embd.weight", t["model.embed_tokens.weight"])
    put("output_norm.weight", t["model.norm.weight"])
    for i in range(c["num_hidden_layers"]):
        for a, b in names.items():
            x = t[f"model.layers.{i}.{a}.weight"]
            if b in ("attn_q", "attn_k"):
                x = permute(x, c["num_attention_heads" if b == "attn_q" else "num_key_value_heads"])
            put(f"blk.{i}.{b}.weight", x)


def mamba2(w, c, t, put):
    common(w, c)
    inner = c["num_heads"] * c["head_dim"]
    w.add_feed_forward_length(0)
    w.add_head_count(0)
    w.add_ssm_conv_kernel(c["conv_kernel"])
    w.add_ssm_inner_size(inner)
    w.add_ssm_state_size(c["state_size"])
    w.add_ssm_time_step_rank(c["num_heads"])
    w.add_ssm_group_count(c["n_groups"])
    put("token_embd.weight", t["backbone.embeddings.weight"])
    put("output_norm.weight", t["backbone.norm_f.weight"])
    for i in range(c["num_hidden_layers"]):
        p, b = f"backbone.layers.{i}.", f"blk.{i}."
        put(b + "attn_norm.weight", t[p + "norm.weight"])
        put(b + "ssm_in.weight", t[p + "mixer.in_proj.weight"])
        put(b + "ssm_conv1d.weight", t[p + "mixer.conv1d.weight"].squeeze(1))
        put(b + "ssm_conv1d.bias", t[p + "mixer.conv1d.bias"])
        put(b + "ssm_dt.bias", t[p + "mixer.dt_bias"])
        put(b + "ssm_a", -np.exp(t[p + "mixer.A_log"]).reshape(-1, 1))
        put(b + "ssm_d", t[p + "mixer.D"].reshape(-1, 1))
        put(b + "ssm_norm.weight", t[p + "mixer.norm.weight"].reshape(c["n_groups"], inner // c["n_groups"]))
        put(b + "ssm_out.weight", t[p + "mixer.out_proj.weight"])


def mamba(w, c, t, put):
    common(w, c)
    w.add_feed_forward_length(0)
    w.add_head_count(0)
    w.add_ssm_conv_kernel(c["conv_kernel"])
    w.add_ssm_inner_size(c["intermediate_size"])
    w.add_ssm_state_size(c["state_size"])
    w.add_ssm_time_step_rank(c["time_step_rank"])
    put("token_embd.weight", t["backbone.embeddings.weight"])
    put("output_norm.weight", t["backbone.norm_f.weight"])
    for i in range(c["num_hidden_layers"]):
        p, b = f"backbone.layers.{i}.", f"blk.{i}."
        put(b + "attn_norm.weight", t[p + "norm.weight"])
        put(b + "ssm_in.weight", t[p + "mixer.in_proj.weight"])
        put(b + "ssm_conv1d.weight", t[p + "mixer.conv1d.weight"].squeeze(1))
        put(b + "ssm_conv1d.bias", t[p + "mixer.conv1d.bias"])
        put(b + "ssm_x.weight", t[p + "mixer.x_proj.weight"])
        put(b + "ssm_dt.weight", t[p + "mixer.dt_proj.weight"])
        put(b + "ssm_dt.bias", t[p + "mixer.dt_proj.bias"])
        put(b + "ssm_a", -np.exp(t[p + "mixer.A_log"]))
        put(b + "ssm_d", t[p + "mixer.D"])
        put(b + "ssm_out.weight", t[p + "mixer.out_proj.weight"])


def model(arch, golden, kind=None):
    d = f"{ROOT}/goldens/{golden}"
    c, t = json.load(open(d + "/config.json")), load_file(d + "/model.safetensors")
    w = gguf.GGUFWriter(f"{HERE}/{golden}{'-' + kind.name if kind is not None else ''}.gguf", arch)

    def put(name, x):
        x = np.ascontiguousarray(x.astype(np.float32))
        if kind is not None and x.ndim == 2 and x.shape[1] % 32 == 0 and "ssm_a" not in name:
            w.add_tensor(name, quants.quantize(x, kind), raw_dtype=kind)
        else:
            w.add_tensor(name, x)

    globals()[arch](w, c, t, put)
    if "lm_head.weight" in t and not c["tie_word_embeddings"]:
        put("output.weight", t["lm_head.weight"])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def types():
    """A tensor of every type with blocks, of random bytes and finite scales, and what it stands for."""
    r = np.random.default_rng(3)
    w = gguf.GGUFWriter(f"{HERE}/types.gguf", "mamba2")
    halves = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
    for kind, at in halves.items():
        block, size = gguf.GGML_QUANT_SIZES[kind]
        x = r.integers(0, 256, (4, 2 * size), dtype=np.uint8)
        for b in (0, size):
            for h in at:
                x[:, b + h:b + h + 2] = r.normal(0, 0.01, 4).astype(np.float16).view(np.uint8).reshape(4, 2)
        w.add_tensor(kind.name, x, raw_dtype=kind)
        w.add_tensor(kind.name + ".F32", np.ascontiguousarray(quants.dequantize(x, kind)))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def tokenizer(name, tokens, add):
    w = gguf.GGUFWriter(f"{HERE}/tokenizer-{name}.gguf", "mamba2")
    w.add_block_count(1)
    w.add_embedding_length(8)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_ssm_conv_kernel(4)
    w.add_ssm_inner_size(16)
    w.add_ssm_state_size(8)
    w.add_ssm_time_step_rank(2)
    w.add_ssm_group_count(1)
    w.add_token_list(tokens)
    add(w)
    w.add_tensor("token_embd.weight", np.zeros((len(tokens), 8), np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def tokenizers():
    d = json.load(open(f"{HERE}/../tokenizers/byte_level.json"))
    vocab = sorted(d["model"]["vocab"], key=d["model"]["vocab"].get)

    def byte_level(w):
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre("llama-bpe")
        w.add_token_types([gguf.TokenType.CONTROL if i < 3 else gguf.TokenType.NORMAL for i in range(len(vocab))])
        w.add_token_merges([" ".join(m) for m in d["model"]["merges"]])
        w.add_bos_token_id(0)

    tokenizer("gpt2", vocab, byte_level)
    import sentencepiece as spm
    sp = spm.SentencePieceProcessor(model_file=f"{HERE}/../tokenizers/bpe.model")
    n = sp.get_piece_size()
    pieces = [sp.id_to_piece(i) for i in range(n)]
    own = ["<mask>", "  ", "\u2581\u2581"]  # the library's Python module does not tell them apart

    def llama(w):
        w.add_tokenizer_model("llama")
        w.add_token_scores([sp.get_score(i) for i in range(n)] + [0.0])
        w.add_token_types([gguf.TokenType.UNKNOWN if sp.is_unknown(i) else gguf.TokenType.CONTROL if sp.is_control(i)
                           else gguf.TokenType.BYTE if sp.is_byte(i) else gguf.TokenType.USER_DEFINED if pieces[i] in own
                           else gguf.TokenType.NORMAL for i in range(n)] + [gguf.TokenType.UNUSED])
        w.add_add_bos_token(True)
        w.add_bos_token_id(sp.bos_id())

    tokenizer("llama", pieces + ["[PAD]"], llama)


tokenizers()
model("llama", "llama-base")
model("mamba2", "mamba2-groups")
model("mamba", "mamba-base")
types()
