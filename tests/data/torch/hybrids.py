"""Writes mamba2attn, mamba1attn, transformerpp and codestral of this folder: python3 hybrids.py FOLDER, with torch and
safetensors.

Models as state-spaces publishes its hybrids (attn_layer_idx, attn_cfg): config.json and pytorch_model.bin; ids and their
logits are in NAME.safetensors. The forward pass is written here, in float64 and token by token, after modules/mha.py,
mlp.py, block.py, mamba_simple.py and mamba2.py of mamba_ssm 2.2.4. The last is as Mistral publishes Codestral Mamba:
params.json, and consolidated.safetensors with a prefix before its names.
"""
import json
import math
import os
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

BASE = {"d_model": 32, "d_intermediate": 0, "n_layer": 3, "vocab_size": 61, "ssm_cfg": {}, "attn_layer_idx": [1],
        "attn_cfg": {}, "rms_norm": True, "residual_in_fp32": True, "fused_add_norm": True,
        "pad_vocab_size_multiple": 16, "tie_embeddings": True}
MODELS = {
    # as mamba2attn-2.7b: a convolution of queries, keys and values, and half of each head turned
    "mamba2attn": {"ssm_cfg": {"layer": "Mamba2", "d_state": 16, "headdim": 16},
                   "attn_cfg": {"causal": True, "d_conv": 4, "head_dim": 16, "num_heads": 3, "out_proj_bias": False,
                                "qkv_proj_bias": False, "rotary_emb_dim": 8}},
    # the older block beside attention with grouped heads, with the biases that are the module's default, and MLPs
    "mamba1attn": {"d_intermediate": 100, "ssm_cfg": {"d_state": 8}, "attn_layer_idx": [0, 2], "tie_embeddings": False,
                   "attn_cfg": {"causal": True, "num_heads": 4, "num_heads_kv": 2, "softmax_scale": 0.3,
                                "rotary_emb_dim": 8, "rotary_emb_base": 500.0}},
    # as transformerpp-2.7b: attention alone, whole heads turned, and MLPs
    "transformerpp": {"d_intermediate": 90, "n_layer": 2, "attn_layer_idx": [0, 1],
                      "attn_cfg": {"causal": True, "d_conv": 0, "head_dim": 16, "num_heads": 2, "out_proj_bias": False,
                                   "qkv_proj_bias": False, "rotary_emb_dim": 16}},
}


PARAMS = {"dim": 64, "n_layers": 1, "vocab_size": 48, "n_groups": 2, "tie_embeddings": False, "residual_in_fp32": True,
          "pad_vocab_size_multiple": 1, "fused_add_norm": True, "rms_norm": True, "model_type": "mamba"}


def rms(x, w):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * w


def conv(x, w, b):  # [T,C], [C,1,K], [C]
    K = w.shape[2]
    x = torch.cat([torch.zeros(K - 1, x.shape[1]), x])
    return torch.stack([(x[t:t + K] * w[:, 0].T).sum(0) + b for t in range(x.shape[0] - K + 1)])


def turn(x, n, base):  # [T,H,P]: channel i of the first n with channel i + n/2
    angle = torch.outer(torch.arange(x.shape[0]).double(), base ** (-torch.arange(0, n, 2).double() / n))[:, None]
    a, b = x[..., :n // 2], x[..., n // 2:n]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos(), x[..., n:]], -1)


def attention(u, w, cfg, d):
    H, P = cfg["num_heads"], cfg.get("head_dim") or d // cfg["num_heads"]
    G = cfg.get("num_heads_kv") or H
    p = F.linear(u, w["in_proj.weight"], w.get("in_proj.bias"))
    if cfg.get("d_conv"):
        p = conv(p, w["conv1d.weight"], w["conv1d.bias"])
    q, k, v = (x.unflatten(1, (-1, P)) for x in p.split([H * P, G * P, G * P], 1))
    n, base = cfg.get("rotary_emb_dim", 0), cfg.get("rotary_emb_base", 10000.0)
    q, k = turn(q, n, base), turn(k, n, base)
    rows = []
    for t in range(u.shape[0]):
        for h in range(H):
            g = h // (H // G)
            s = k[:t + 1, g] @ q[t, h] * (cfg.get("softmax_scale") or P ** -0.5)
            rows.append(torch.softmax(s, 0) @ v[:t + 1, g])
    return F.linear(torch.stack(rows).view(u.shape[0], H * P), w["out_proj.weight"], w.get("out_proj.bias"))


def mamba2(u, w, cfg, d):
    N, P, G = cfg["d_state"], cfg["headdim"], cfg.get("ngroups", 1)
    inner = 2 * d
    H = inner // P
    z, x, dt = F.linear(u, w["in_proj.weight"]).split([inner, inner + 2 * G * N, H], 1)
    x, B, C = F.silu(conv(x, w["conv1d.weight"], w["conv1d.bias"])).split([inner, G * N, G * N], 1)
    B, C = (v.view(-1, G, N).repeat_interleave(H // G, 1) for v in (B, C))  # [T,H,N]
    dt, A = F.softplus(dt + w["dt_bias"]), -torch.exp(w["A_log"])
    state, rows = torch.zeros(H, P, N), []
    for t in range(u.shape[0]):
        v = x[t].view(H, P)
        state = state * torch.exp(dt[t] * A)[:, None, None] + (dt[t][:, None] * v)[..., None] * B[t][:, None]
        rows.append(((state @ C[t][..., None])[..., 0] + w["D"][:, None] * v).flatten())
    y = (torch.stack(rows) * F.silu(z)).unflatten(1, (G, -1))
    return F.linear(rms(y, w["norm.weight"].view(G, -1)).flatten(1), w["out_proj.weight"])


def mamba1(u, w, cfg, d):
    N, inner, rank = cfg["d_state"], 2 * d, math.ceil(d / 16)
    x, z = F.linear(u, w["in_proj.weight"]).chunk(2, 1)
    x = F.silu(conv(x, w["conv1d.weight"], w["conv1d.bias"]))
    dt, B, C = F.linear(x, w["x_proj.weight"]).split([rank, N, N], 1)
    dt, A = F.softplus(F.linear(dt, w["dt_proj.weight"], w["dt_proj.bias"])), -torch.exp(w["A_log"])
    state, rows = torch.zeros(inner, N), []
    for t in range(u.shape[0]):
        state = state * torch.exp(dt[t][:, None] * A) + (dt[t] * x[t])[:, None] * B[t]
        rows.append(state @ C[t] + w["D"] * x[t])
    return F.linear(torch.stack(rows) * F.silu(z), w["out_proj.weight"])


def below(weights, prefix):
    return {name[len(prefix):]: w for name, w in weights.items() if name.startswith(prefix)}


def logits(weights, config, ids):
    d, h = config["d_model"], weights["backbone.embedding.weight"][ids]
    for i in range(config["n_layer"]):
        w = below(weights, f"backbone.layers.{i}.")
        mix, cfg = (attention, config["attn_cfg"]) if i in config["attn_layer_idx"] else (
            mamba2 if config["ssm_cfg"].get("layer") == "Mamba2" else mamba1, config["ssm_cfg"])
        h = h + mix(rms(h, w["norm.weight"]), below(w, "mixer."), cfg, d)
        if config["d_intermediate"]:
            up, gate = F.linear(rms(h, w["norm2.weight"]), w["mlp.fc1.weight"]).chunk(2, 1)
            h = h + F.linear(up * F.silu(gate), w["mlp.fc2.weight"])
    return F.linear(rms(h, weights["backbone.norm_f.weight"]), weights["lm_head.weight"])


def shapes_of_attention(cfg, d):
    H, P = cfg["num_heads"], cfg.get("head_dim") or d // cfg["num_heads"]
    rows = (H + 2 * (cfg.get("num_heads_kv") or H)) * P
    s = {"in_proj.weight": (rows, d), "out_proj.weight": (d, H * P)}
    if cfg.get("qkv_proj_bias", True):
        s["in_proj.bias"] = (rows,)
    if cfg.get("out_proj_bias", True):
        s["out_proj.bias"] = (d,)
    if cfg.get("d_conv"):
        s |= {"conv1d.weight": (rows, 1, cfg["d_conv"]), "conv1d.bias": (rows,)}
    return s


def shapes_of_ssm(cfg, d):
    N, inner, rank = cfg["d_state"], 2 * d, math.ceil(d / 16)
    if cfg.get("layer") != "Mamba2":
        return {"in_proj.weight": (2 * inner, d), "conv1d.weight": (inner, 1, 4), "conv1d.bias": (inner,),
                "x_proj.weight": (rank + 2 * N, inner), "dt_proj.weight": (inner, rank), "dt_proj.bias": (inner,),
                "A_log": (inner, N), "D": (inner,), "out_proj.weight": (d, inner)}
    H, bc = inner // cfg["headdim"], 2 * cfg.get("ngroups", 1) * N
    return {"dt_bias": (H,), "A_log": (H,), "D": (H,), "in_proj.weight": (2 * inner + bc + H, d),
            "conv1d.weight": (inner + bc, 1, 4), "conv1d.bias": (inner + bc,), "norm.weight": (inner,),
            "out_proj.weight": (d, inner)}


def shapes(config):
    d, padded = config["d_model"], -(-config["vocab_size"] // 16) * 16
    s = {"backbone.embedding.weight": (padded, d)}
    for i in range(config["n_layer"]):
        mixer = shapes_of_attention(config["attn_cfg"], d) if i in config["attn_layer_idx"] else shapes_of_ssm(
            config["ssm_cfg"], d)
        s |= {f"backbone.layers.{i}.mixer.{name}": shape for name, shape in mixer.items()}
        s[f"backbone.layers.{i}.norm.weight"] = (d,)
        if config["d_intermediate"]:
            inner = -(-config["d_intermediate"] // 128) * 128
            s |= {f"backbone.layers.{i}.norm2.weight": (d,), f"backbone.layers.{i}.mlp.fc1.weight": (2 * inner, d),
                  f"backbone.layers.{i}.mlp.fc2.weight": (d, inner)}
    return s | {"backbone.norm_f.weight": (d,), "lm_head.weight": (padded, d)}


def make(config, dtype=torch.float32):
    """Weights, two rows of ids and their logits."""
    weights = {}
    for key, shape in shapes(config).items():
        around = 1 if key.endswith(("norm.weight", "norm2.weight", "norm_f.weight")) else 0
        weights[key] = (around + torch.randn(shape) * (0.2 if len(shape) != 2 else shape[1] ** -0.5)).to(dtype)
    if config["tie_embeddings"]:
        weights["lm_head.weight"] = weights["backbone.embedding.weight"]
    ids = torch.randint(config["vocab_size"], (2, 40))
    exact = {key: w.double() for key, w in weights.items()}
    return weights, {"ids_0": ids, "logits_0": torch.stack([logits(exact, config, row) for row in ids]).float()}


def write(path, config):
    with open(path, "w") as f:
        json.dump(config, f, indent=2)


def main():
    os.chdir(sys.argv[1])
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    for name, more in MODELS.items():
        config = BASE | more
        weights, golden = make(config)
        os.makedirs(name, exist_ok=True)
        write(f"{name}/config.json", config)
        torch.save(weights, f"{name}/pytorch_model.bin")
        save_file(golden, f"{name}.safetensors")
    config = BASE | {"d_model": PARAMS["dim"], "n_layer": PARAMS["n_layers"], "vocab_size": PARAMS["vocab_size"],
                     "ssm_cfg": {"layer": "Mamba2", "d_state": 128, "headdim": 64, "ngroups": PARAMS["n_groups"]},
                     "attn_layer_idx": [], "tie_embeddings": False}
    weights, golden = make(config, torch.bfloat16)
    os.makedirs("codestral", exist_ok=True)
    write("codestral/params.json", PARAMS)
    save_file({f"model.{key}": w for key, w in weights.items()}, "codestral/consolidated.safetensors")
    save_file(golden, "codestral.safetensors")


main()
