"""Writes the files of this folder: python3 make.py FOLDER, with torch. They were made with torch 2.15."""
import collections
import json
import os
import sys
import zipfile

import torch

os.chdir(sys.argv[1])
count = torch.arange(6, dtype=torch.float32)
types = ("float64 float32 float16 bfloat16 complex64 int64 int32 int16 int8 uint8 bool").split()

torch.save({name: count.reshape(2, 3).to(getattr(torch, name)) for name in types}, "types.bin")
for name in ("float32", "float16", "bfloat16"):
    torch.save({"a": count.reshape(2, 3).to(getattr(torch, name)), "none": torch.empty(0, 3),
                "one": torch.tensor(7, dtype=getattr(torch, name))}, f"{name}.bin")

# Two names of one tensor, and views of its rows.
table = count.reshape(3, 2)
torch.save(collections.OrderedDict(first=table, second=table, row=table[1], rows=table[1:]), "shared.bin")

# A module's state_dict carries attributes; a parameter may, too.
module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
with torch.no_grad():
    for p in module.parameters():
        p.copy_(torch.arange(p.numel()).reshape(p.shape))
torch.save(module.state_dict(), "module.bin")
named = dict(module.named_parameters())
named["0.bias"]._no_weight_decay = True
torch.save(named, "parameters.bin")
torch.save(module.state_dict(), "protocol4.bin", pickle_protocol=4)

# Not taken.
torch.save({"turned": table.t()}, "strided.bin")
torch.save({"a": count}, "legacy.bin", _use_new_zipfile_serialization=False)
torch.save({"epoch": 3, "model": {"a": count}}, "nested.bin")
with zipfile.ZipFile("float32.bin") as old, zipfile.ZipFile("deflated.bin", "w", zipfile.ZIP_DEFLATED) as new:
    for name in old.namelist():
        new.writestr(zipfile.ZipInfo(name), old.read(name), zipfile.ZIP_DEFLATED)

# Two files and an index.
os.makedirs("sharded", exist_ok=True)
shards = {"pytorch_model-00001-of-00002.bin": {"a": count}, "pytorch_model-00002-of-00002.bin": {"b": count + 6, "c": count[:1]}}
for name, tensors in shards.items():
    torch.save(tensors, f"sharded/{name}")
index = {"metadata": {"total_size": 52}, "weight_map": {k: f for f, tensors in shards.items() for k in tensors}}
with open("sharded/pytorch_model.bin.index.json", "w") as f:
    json.dump(index, f, indent=2)

# A Mamba-2 of the original layout in f16 with its head tied, as state-spaces publishes them.
os.makedirs("mamba2", exist_ok=True)
config = {"d_model": 16, "d_intermediate": 0, "n_layer": 2, "vocab_size": 30,
          "ssm_cfg": {"layer": "Mamba2", "d_state": 8, "headdim": 8}, "attn_layer_idx": [], "attn_cfg": {},
          "rms_norm": True, "residual_in_fp32": True, "fused_add_norm": True, "pad_vocab_size_multiple": 16,
          "tie_embeddings": True}
with open("mamba2/config.json", "w") as f:
    json.dump(config, f, indent=2)
torch.manual_seed(0)
d, inner, heads, bc = 16, 32, 4, 8
sizes = {"mixer.dt_bias": (heads,), "mixer.A_log": (heads,), "mixer.D": (heads,),
         "mixer.in_proj.weight": (2 * inner + 2 * bc + heads, d), "mixer.conv1d.weight": (inner + 2 * bc, 1, 4),
         "mixer.conv1d.bias": (inner + 2 * bc,), "mixer.norm.weight": (inner,), "mixer.out_proj.weight": (d, inner),
         "norm.weight": (d,)}
model = collections.OrderedDict()
model["backbone.embedding.weight"] = (torch.randn(32, d)).half()
for i in range(2):
    for name, size in sizes.items():
        model[f"backbone.layers.{i}.{name}"] = (torch.randn(*size) * 0.3).half()
model["backbone.norm_f.weight"] = torch.ones(d).half()
model["lm_head.weight"] = model["backbone.embedding.weight"]
torch.save(model, "mamba2/pytorch_model.bin")
