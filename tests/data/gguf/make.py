"""Makes the GGUF files of this folder with the gguf package, from the checkpoints in tests/goldens and
the tokenizers beside; names and changes of tensors as in llama.cpp's convert_hf_to_gguf.py.

    python3 make.py                 # needs gguf, safetensors, numpy, tokenizers, and transformers for scaled positions"""
import json, os, re, sys
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
    if c["model_type"] == "falcon_mamba":
        w.add_ssm_dt_b_c_rms(True)
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


def sizes_of_mamba(w, inner, state, rank, conv, groups=None):
    w.add_ssm_conv_kernel(conv)
    w.add_ssm_inner_size(inner)
    w.add_ssm_state_size(state)
    w.add_ssm_time_step_rank(rank)
    if groups is not None:
        w.add_ssm_group_count(groups)


def named(arch, c, t, put, groups=1, change=lambda name, x: x):
    """Tensors under the names that the package has for them. change: as the architecture's converter does, None for
    what it leaves to here; experts are stacked."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch], len(kinds(c)))
    stacks = {}
    for name in sorted(t):
        x = change(name, t[name])
        if x is None or (name == "lm_head.weight" and c["tie_word_embeddings"]):
            continue
        if ".experts." in name:
            before, number, after = re.match(r"(.*\.experts)\.(\d+)(\..*)", name).groups()
            stacks.setdefault(before.replace("mixer", "mlp").replace("backbone", "model") + after, {})[int(number)] = x
            continue
        if name.endswith(".A_log"):
            x = -np.exp(x)
        if name.endswith(".conv1d.weight") or ".conv.conv." in name:
            x = x.squeeze(1)
        if name.endswith((".A_log", ".D")) and x.ndim == 1 and arch not in ("JAMBA", "KIMI_LINEAR") and not arch.startswith("QWEN3"):
            x = x.reshape(-1, 1)
        if name.endswith(("mamba.norm.weight", "mixer.norm.weight")):
            x = x.reshape(groups, -1)
        put_named(names, put, name, x)
    for name, x in stacks.items():
        name = re.sub(r"(feed_forward|block_sparse_moe)\.experts", "mlp.experts", name).replace(".w1.", ".gate_proj.")
        put_named(names, put, name.replace(".w2.", ".down_proj.").replace(".w3.", ".up_proj."), np.stack([x[e] for e in sorted(x)]))


def put_named(names, put, name, x):
    name = name.replace(".dt_bias", ".dt_proj.bias").replace("e_score_correction_bias", "e_score_correction.bias")
    name = name.replace("expert_bias", "expert_bias.bias")
    to = names.get_name(name, try_suffixes=(".weight", ".bias"))
    assert to, name
    put(to, x)


def kinds(c):
    n = c.get("num_hidden_layers")
    if c["model_type"] == "jamba":
        return ["attention" if i % c["attn_layer_period"] == c["attn_layer_offset"] else "mamba" for i in range(n)]
    return c.get("layer_types") or c.get("layers_block_type") or ["both"] * n


def attention(w, c):
    w.add_head_count(c["num_attention_heads"])
    heads = [c["num_key_value_heads"] if "attention" in k and "linear" not in k or k == "both" else 0 for k in kinds(c)]
    w.add_head_count_kv(heads if 0 in heads and not c["model_type"].startswith("qwen3") else c["num_key_value_heads"])
    if "head_dim" in c:
        w.add_key_length(c["head_dim"])
        w.add_value_length(c["head_dim"])
    if "rope_parameters" in c:
        w.add_rope_freq_base(c["rope_parameters"]["rope_theta"])


def experts(w, c, count):
    w.add_expert_count(c[count])
    w.add_expert_used_count(c.get("num_experts_per_tok", c.get("num_experts_per_token")))
    if "moe_intermediate_size" in c:
        w.add_expert_feed_forward_length(c["moe_intermediate_size"])


def granitehybrid(w, c, t, put):
    common(w, c)
    attention(w, c)
    if c["num_local_experts"]:
        experts(w, c, "num_local_experts")
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_expert_shared_feed_forward_length(c["shared_intermediate_size"])
    w.add_attention_scale(c["attention_multiplier"])
    w.add_embedding_scale(c["embedding_multiplier"])
    w.add_residual_scale(c["residual_multiplier"])
    w.add_logit_scale(c["logits_scaling"])
    w.add_rope_scaling_finetuned("mamba" not in c["layer_types"])
    inner = c["mamba_expand"] * c["hidden_size"]
    sizes_of_mamba(w, inner, c["mamba_d_state"], c["mamba_n_heads"], c["mamba_d_conv"], c["mamba_n_groups"])

    def change(name, x):
        if "q_proj" in name or "k_proj" in name:
            return permute(x, c["num_attention_heads" if "q_proj" in name else "num_key_value_heads"])
        if not name.endswith("input_linear.weight"):
            return x
        there = {"block_sparse_moe": "exps", "shared_mlp": "shexp" if c["num_local_experts"] else ""}[name.split(".")[3]]
        for part, half in zip(("gate", "up"), np.split(x, 2, -2)):
            put(f"blk.{name.split('.')[2]}.ffn_{part}{'_' + there if there else ''}.weight", half)

    named("GRANITE_HYBRID", c, t, put, c["mamba_n_groups"], change)


def bamba(w, c, t, put):
    common(w, c)
    attention(w, dict(c, layer_types=["attention" if i in c["attn_layer_indices"] else "mamba" for i in range(c["num_hidden_layers"])]))
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_rope_scaling_finetuned(True)
    sizes_of_mamba(w, c["mamba_expand"] * c["hidden_size"], c["mamba_d_state"], c["mamba_n_heads"], c["mamba_d_conv"], c["mamba_n_groups"])

    def change(name, x):
        heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
        return permute(x, c[heads]) if heads else x

    named("GRANITE_HYBRID", c, t, put, c["mamba_n_groups"], change)


def gptneox(w, c, t, put):
    w.add_context_length(2048)
    w.add_embedding_length(c["hidden_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_rope_dimension_count(int(c["rope_parameters"]["partial_rotary_factor"] * (c["hidden_size"] // c["num_attention_heads"])))
    w.add_head_count(c["num_attention_heads"])
    w.add_parallel_residual(c["use_parallel_residual"])
    w.add_layer_norm_eps(c["layer_norm_eps"])

    def change(name, x):
        if "query_key_value" not in name:
            return x
        return x.reshape(c["num_attention_heads"], 3, -1, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)

    named("GPTNEOX", c, t, put, 1, change)


def minimax_01(w, c, t, put):
    common(w, c)
    attention(w, dict(c, layer_types=None))
    experts(w, c, "num_local_experts")
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_residual_scale(float(c["mlp_alpha_factor"]))
    w.add_rope_dimension_count(c["head_dim"])
    own = {"qkv_proj": "attn_qkv", "output_gate": "attn_gate", "out_proj": "attn_output", "norm": "attn_norm_2"}

    def change(name, x):  # the package of today knows no such architecture: names of llama.cpp's converter
        part = name.split(".")[-2]
        if re.search(r"slope_rate|_decay$", name):
            return None
        if ".self_attn." not in name or part not in own:
            return x
        put(f"blk.{name.split('.')[2]}.{own[part]}.weight", x)

    named("LLAMA", c, t, put, 1, change)


def kimi_linear(w, c, t, put):
    common(w, c)
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv([1 if k == "full_attention" else 0 for k in c["layer_types"]])
    w.add_ssm_conv_kernel(c["linear_conv_kernel_dim"])
    w.add_kda_head_dim(c["linear_head_dim"])
    own, value = c["qk_nope_head_dim"], c["v_head_dim"]
    if c["q_lora_rank"]:
        w.add_q_lora_rank(c["q_lora_rank"])
    w.add_kv_lora_rank(c["kv_lora_rank"])
    w.add_rope_dimension_count(c["qk_rope_head_dim"])
    w.add_key_length(c["kv_lora_rank"] + c["qk_rope_head_dim"])
    w.add_key_length_mla(own + c["qk_rope_head_dim"])
    w.add_value_length_mla(value)
    experts(w, c, "num_experts")
    w.add_expert_shared_count(c["num_shared_experts"])
    w.add_leading_dense_block_count(c.get("first_k_dense_replace", 0))
    w.add_expert_weights_scale(c["routed_scaling_factor"])
    w.add_expert_weights_norm(c["moe_renormalize"])
    w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    w.add_expert_group_count(c["num_expert_group"])
    w.add_expert_group_used_count(c["topk_group"])

    def change(name, x):
        if re.search(r"[qkv]_conv1d", name):
            return x.reshape(1, x.shape[0], 1, -1)
        if "kv_b_proj" not in name:
            return x
        k, v = np.split(x.reshape(c["num_attention_heads"], own + value, -1), [own], 1)
        put(f"blk.{name.split('.')[2]}.attn_k_b.weight", k.swapaxes(1, 2))
        put(f"blk.{name.split('.')[2]}.attn_v_b.weight", v)

    named("KIMI_LINEAR", c, t, put, 1, change)


def falcon_h1(w, c, t, put):
    common(w, c)
    attention(w, c)
    w.add_feed_forward_length(c["intermediate_size"])
    sizes_of_mamba(w, c["mamba_d_ssm"], c["mamba_d_state"], c["mamba_n_heads"], c["mamba_d_conv"], c["mamba_n_groups"])
    bc = c["mamba_n_groups"] * c["mamba_d_state"]
    rows = np.repeat(c["ssm_multipliers"], [c["mamba_d_ssm"], c["mamba_d_ssm"], bc, bc, c["mamba_n_heads"]])
    in_ = c["attention_in_multiplier"]
    factors = {"down_proj": c["mlp_multipliers"][1], "gate_proj": c["mlp_multipliers"][0], "k_proj": c["key_multiplier"] * in_,
               "q_proj": in_, "v_proj": in_, "o_proj": c["attention_out_multiplier"], "out_proj": c["ssm_out_multiplier"],
               "in_proj": c["ssm_in_multiplier"] * rows[:, None], "lm_head": c["lm_head_multiplier"],
               "embed_tokens": c["embedding_multiplier"]}
    named("FALCON_H1", c, t, put, c["mamba_n_groups"], lambda name, x: x * factors.get(name.split(".")[-2], 1))


def jamba(w, c, t, put):
    common(w, c)
    attention(w, c)
    experts(w, c, "num_experts")
    w.add_feed_forward_length(c["intermediate_size"])
    sizes_of_mamba(w, c["mamba_expand"] * c["hidden_size"], c["mamba_d_state"], c["mamba_dt_rank"], c["mamba_d_conv"])
    named("JAMBA", c, t, put)


def nemotron_h(w, c, t, put, arch="NEMOTRON_H"):
    common(w, dict(c, num_hidden_layers=len(kinds(c))))
    attention(w, c)
    kind, inner = ("mlp", "intermediate_size") if arch == "NEMOTRON_H" else ("moe", "moe_intermediate_size")
    w.add_feed_forward_length([c[inner] if k == kind else 0 for k in kinds(c)])
    inner = c["mamba_num_heads"] * c["mamba_head_dim"]
    sizes_of_mamba(w, inner, c["ssm_state_size"], c["mamba_num_heads"], c["conv_kernel"], c["n_groups"])
    named(arch, c, t, put, c["n_groups"], lambda name, x: None if name.startswith("mtp.") else x)


def nemotron_h_moe(w, c, t, put):
    nemotron_h(w, c, t, put, "NEMOTRON_H_MOE")
    experts(w, c, "n_routed_experts")
    w.add_expert_shared_feed_forward_length(c["moe_shared_expert_intermediate_size"])
    w.add_expert_shared_count(c["n_shared_experts"])
    w.add_expert_weights_norm(c["norm_topk_prob"])
    w.add_expert_weights_scale(c["routed_scaling_factor"])
    w.add_expert_group_count(c["n_group"])


def qwen3next(w, c, t, put):
    common(w, c)
    attention(w, c)
    experts(w, c, "num_experts")
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_expert_shared_feed_forward_length(c["shared_expert_intermediate_size"])
    w.add_rope_dimension_count(int(c["head_dim"] * c["partial_rotary_factor"]))
    groups, k, v = c["linear_num_key_heads"], c["linear_key_head_dim"], c["linear_value_head_dim"]
    heads = c["linear_num_value_heads"]
    sizes_of_mamba(w, heads * v, k, heads, c["linear_conv_kernel_dim"], groups)

    def change(name, x):
        if name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight"):
            return x + 1
        if "in_proj_qkvz" not in name:
            return x
        parts = np.split(x.reshape(groups, -1, x.shape[1]), np.cumsum([k, k, heads // groups * v]), 1)
        q, key, value, z = [p.reshape(-1, x.shape[1]) for p in parts]
        put(f"blk.{name.split('.')[2]}.attn_qkv.weight", np.concatenate([q, key, value]))
        put(f"blk.{name.split('.')[2]}.attn_gate.weight", z)

    named("QWEN3NEXT", c, t, put, 1, change)


def qwen35(w, c, t, put, arch="QWEN35"):
    common(w, c)
    attention(w, c)
    if arch == "QWEN35":
        w.add_feed_forward_length(c["intermediate_size"])
    w.add_rope_dimension_count(int(c["head_dim"] * c["rope_parameters"]["partial_rotary_factor"]))
    w.add_rope_dimension_sections([1, 1, 0, 0])
    groups, k, v = c["linear_num_key_heads"], c["linear_key_head_dim"], c["linear_value_head_dim"]
    heads = c["linear_num_value_heads"]
    sizes_of_mamba(w, heads * v, k, heads, c["linear_conv_kernel_dim"], groups)

    def tiled(x, axis, unit):  # _LinearAttentionVReorderBase
        x = np.moveaxis(x, axis, 0)
        y = x.reshape(groups, heads // groups, unit, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)
        return np.moveaxis(y, 0, axis)

    def change(name, x):
        if name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight"):
            return x + 1
        if "in_proj_qkv" in name or "conv1d" in name:
            return np.concatenate([x[:2 * groups * k], tiled(x[2 * groups * k:], 0, v)])
        if "in_proj_z" in name or "linear_attn.out_proj" in name:
            return tiled(x, 0 if "in_proj_z" in name else 1, v)
        return tiled(x, 0, 1) if re.search(r"in_proj_[ab]\.|A_log|dt_bias", name) else x

    named(arch, c, t, put, 1, change)


def qwen35moe(w, c, t, put):
    experts(w, c, "num_experts")
    w.add_expert_shared_feed_forward_length(c["shared_expert_intermediate_size"])
    qwen35(w, c, t, put, "QWEN35MOE")


def lfm2(w, c, t, put):
    common(w, dict(c, rms_norm_eps=c["norm_eps"]))
    attention(w, c)
    w.add_feed_forward_length(t["model.layers.0.feed_forward.w1.weight"].shape[0])
    w.add_shortconv_l_cache(c["conv_L_cache"])
    named("LFM2", c, t, put)


def lfm2moe(w, c, t, put):
    common(w, dict(c, rms_norm_eps=c["norm_eps"]))
    attention(w, c)
    experts(w, c, "num_experts")
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_leading_dense_block_count(c["num_dense_layers"])
    w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    w.add_expert_weights_scale(c["routed_scaling_factor"])
    w.add_shortconv_l_cache(c["conv_L_cache"])
    named("LFM2MOE", c, t, put)


def model(arch, golden, kind=None, goldens=f"{ROOT}/goldens", to=HERE, name=None, **split):
    d = f"{goldens}/{golden}"
    c, t = json.load(open(d + "/config.json")), load_file(d + "/model.safetensors")
    said = {"bamba": "granitehybrid"}.get(arch, arch)
    w = gguf.GGUFWriter(f"{to}/{name or golden}{'-' + kind.name if kind is not None else ''}.gguf", said, **split)

    def put(name, x):
        x = np.ascontiguousarray(x.astype(np.float32))
        if kind is not None and x.ndim in (2, 3) and x.shape[-1] % 32 == 0 and "ssm_a" not in name:
            w.add_tensor(name, quants.quantize(x, kind), raw_dtype=kind)
        else:
            w.add_tensor(name, x)

    globals()[arch.replace("-", "_")](w, c, t, put)
    if "lm_head.weight" in t and not c["tie_word_embeddings"] and arch in ("llama", "mamba2", "mamba"):
        put("output.weight", t["lm_head.weight"])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def random(m):
    """Fills a model of torch; its logits of a few ids."""
    import torch
    with torch.no_grad():
        for x in m.parameters():
            x.copy_(torch.randn_like(x) * 0.25 if x.ndim > 1 else 1 + 0.1 * torch.randn_like(x))
        ids = torch.randint(3, 48, (2, 60))
        return {"ids_0": ids, "logits_0": m(ids).logits.float().contiguous()}


def made(name, arch, m, c, more):
    from safetensors.torch import save_file
    save_file(random(m.eval().to(m.dtype)), f"{HERE}/{name}.golden.safetensors")
    w = gguf.GGUFWriter(f"{HERE}/{name}.gguf", arch)
    put = lambda to, x: w.add_tensor(to, np.ascontiguousarray(x.astype(np.float32)))
    globals()[arch](w, c, {k: v.float().numpy() for k, v in m.state_dict().items()}, put)
    more(w)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def scaled(name, parameters, keys, freqs=None):
    """A small Llama whose rotary positions are scaled, as transformers 5 computes it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(7)
    c = LlamaConfig(vocab_size=48, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                    head_dim=20, tie_word_embeddings=True, max_position_embeddings=64, rope_parameters={"rope_theta": 10000.0, **parameters})
    m = LlamaForCausalLM(c)

    def more(w):
        keys(w)
        if freqs is not None:
            inverse = 1 / 10000.0 ** (torch.arange(0, 20, 2).float() / 20)
            w.add_tensor("rope_freqs.weight", (inverse / m.model.rotary_emb.inv_freq).float().numpy())

    made(name, "llama", m, {**c.to_dict(), "rope_parameters": {"rope_theta": 10000.0}}, more)


def granite_dense():
    """A Granite 4 of attention alone, whose positions turn."""
    import torch
    from transformers import GraniteMoeHybridConfig, GraniteMoeHybridForCausalLM
    torch.manual_seed(8)
    c = GraniteMoeHybridConfig(vocab_size=48, hidden_size=32, intermediate_size=40, shared_intermediate_size=40, num_hidden_layers=2,
                               num_attention_heads=2, num_key_value_heads=1, num_local_experts=0, num_experts_per_tok=0, tie_word_embeddings=True,
                               layer_types=["attention", "attention"], position_embedding_type="rope", mamba_n_heads=4, mamba_d_state=8,
                               attention_multiplier=0.125, embedding_multiplier=3.0, residual_multiplier=0.5, logits_scaling=2.0,
                               rope_parameters={"rope_theta": 5000.0, "rope_type": "default"})
    m = GraniteMoeHybridForCausalLM(c)
    made("granite-dense", "granitehybrid", m, {**c.to_dict(), "layer_types": ["attention", "attention"]}, lambda w: None)


def mistral3(w, c, t, put):
    llama(w, c, t, put)
    put("output.weight", t["lm_head.weight"])


def granite(w, c, t, put):
    common(w, c)
    attention(w, c)
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_attention_scale(c["attention_multiplier"])
    w.add_embedding_scale(c["embedding_multiplier"])
    w.add_residual_scale(c["residual_multiplier"])
    w.add_logit_scale(c["logits_scaling"])
    named("GRANITE", c, t, put, 1, lambda name, x: permute(x, c["num_attention_heads" if "q_proj" in name else "num_key_value_heads"])
          if "q_proj" in name or "k_proj" in name else x)


def olmo2(w, c, t, put):
    common(w, c)
    attention(w, c)
    w.add_feed_forward_length(c["intermediate_size"])
    named("OLMO2", c, t, put)


def families():
    """Small models that no golden is of, as transformers computes them."""
    import torch
    from transformers import GraniteConfig, GraniteForCausalLM, MistralConfig, MistralForCausalLM, Olmo2Config, Olmo2ForCausalLM
    sizes = dict(vocab_size=48, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                 pad_token_id=0, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 5000.0})
    for name, m, c in [("mistral3", MistralForCausalLM, MistralConfig(**sizes, head_dim=8, sliding_window=None)),
                       ("granite", GraniteForCausalLM, GraniteConfig(**sizes, attention_multiplier=0.125, embedding_multiplier=3.0,
                                                                     residual_multiplier=0.5, logits_scaling=2.0)),
                       ("olmo2", Olmo2ForCausalLM, Olmo2Config(**sizes))]:
        torch.manual_seed(9)
        made(name, name, m(c), c.to_dict(), lambda w: None)


def scalings():
    def linear(w):
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(2.5)

    def yarn(w):
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(4.0)
        w.add_rope_scaling_orig_ctx_len(16)

    def yarn_said(w):
        yarn(w)
        w.add_rope_scaling_yarn_attn_factor(0.75)
        w.add_rope_scaling_yarn_beta_fast(8.0)
        w.add_rope_scaling_yarn_beta_slow(2.0)

    past = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    scaled("rope-linear", {"rope_type": "linear", "factor": 2.5}, linear)
    scaled("rope-yarn", past, yarn)
    scaled("rope-yarn-said", {**past, "attention_factor": 0.75, "beta_fast": 8.0, "beta_slow": 2.0}, yarn_said)
    scaled("rope-llama3", {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                           "original_max_position_embeddings": 16}, lambda w: None, True)


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


def k_quants(name="llama-Q4_K_M", value=Q.Q5_K, up=Q.Q4_K):
    """A Llama of one layer, its matrices random blocks of 256: Q4_K, with Q6_K and Q5_K among them."""
    r = np.random.default_rng(5)
    w = gguf.GGUFWriter(f"{HERE}/{name}.gguf", "llama")
    common(w, {"num_hidden_layers": 1, "hidden_size": 256, "rms_norm_eps": 1e-5, "eos_token_id": 0, "bos_token_id": 0})
    w.add_feed_forward_length(256)
    w.add_head_count(4)
    w.add_head_count_kv(2)
    w.add_key_length(64)
    w.add_rope_freq_base(10000.0)

    def blocks(name, rows, kind):
        size = gguf.GGML_QUANT_SIZES[kind][1]
        x = r.integers(0, 256, (rows, size), dtype=np.uint8)
        for at, d in [(208, 3e-5)] if kind == Q.Q6_K else [(0, 2e-4 if kind == Q.Q4_K else 1e-4), (2, 1.5e-3)]:
            x[:, at:at + 2] = np.full(rows, d, np.float16).view(np.uint8).reshape(rows, 2)
        w.add_tensor(name, x, raw_dtype=kind)

    blocks("token_embd.weight", 160, Q.Q6_K)
    w.add_tensor("output_norm.weight", np.ones(256, np.float32))
    for name in ("attn_norm", "ffn_norm"):
        w.add_tensor(f"blk.0.{name}.weight", r.normal(1, 0.1, 256).astype(np.float32))
    for name, rows, kind in [("attn_q", 256, Q.Q4_K), ("attn_k", 128, Q.Q4_K), ("attn_v", 128, value), ("attn_output", 256, Q.Q4_K),
                             ("ffn_gate", 256, Q.Q4_K), ("ffn_up", 256, up), ("ffn_down", 256, Q.Q6_K)]:
        blocks(f"blk.0.{name}.weight", rows, kind)
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
        w.add_chat_template("{{ bos_token }}{% for m in messages %}\n\"{{ m['content'] }}\"{% endfor %}")

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
        w.add_chat_template([{"name": "default", "template": "one"}, {"name": "tool_use", "template": "\"two\"\n"}])

    tokenizer("llama", pieces + ["[PAD]"], llama)


if len(sys.argv) > 1:  # make.py ARCHITECTURE GOLDEN FOLDER-OF-GOLDENS TO: one file more
    model(sys.argv[1], sys.argv[2], None, sys.argv[3], sys.argv[4])
    sys.exit()
tokenizers()
scalings()
granite_dense()
families()
model("llama", "llama-base")
model("mamba2", "mamba2-groups")
model("mamba", "mamba-base")
model("mamba", "falcon_mamba-base")
model("granitehybrid", "granitemoehybrid-moe")
model("bamba", "bamba-base")
model("gptneox", "gpt_neox-base")
model("kimi-linear", "kimi_linear-base")
model("minimax-01", "minimax-lightning")
model("falcon-h1", "falcon_h1-multipliers")
model("jamba", "jamba-base")
model("nemotron_h_moe", "nemotron_h-moe")
model("qwen3next", "qwen3_next-base")
model("qwen35moe", "qwen3_5_moe_text-base")
model("lfm2", "lfm2-base")
model("lfm2moe", "lfm2_moe-base")
model("lfm2", "lfm2-base", name="parts", split_max_tensors=15)
types()
for kind in (Q.Q8_0, Q.Q4_0, Q.Q4_1):
    model("llama", "llama-base", kind)
model("qwen35moe", "qwen3_5_moe_text-base", Q.Q8_0)
model("qwen3next", "qwen3_next-base", Q.Q8_0)
k_quants()
k_quants("llama-mixed", Q.Q6_K, Q.Q6_K)
