"""Trains the tokenizers of this folder on a text and records what the published libraries do with
texts.json: for each text a hash of its ids and one of what they decode to.

    python3 make.py TEXT.txt        # needs tokenizers, sentencepiece, tiktoken

NAME.txt has a line for each text: two numbers of 8 hex digits, FNV-1a of the ids (4 bytes each,
lowest first) and of the decoded text."""
import base64, json, os, random, sys, unicodedata
import sentencepiece as spm, tiktoken
from tokenizers import Tokenizer, Regex, models, normalizers, pre_tokenizers, decoders, trainers, AddedToken

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = [(0x41, 0x7B), (0xC0, 0x24F), (0x370, 0x3FF), (0x400, 0x4FF), (0x531, 0x587), (0x5D0, 0x5EB),
           (0x620, 0x64B), (0x905, 0x940), (0x985, 0x9B0), (0xB85, 0xBBA), (0xE01, 0xE3B), (0x10D0, 0x10FB),
           (0x1200, 0x1248), (0x1780, 0x17B4), (0x3041, 0x3097), (0x30A1, 0x30FB), (0x4E00, 0x9FA6),
           (0xAC00, 0xD7A4), (0x13A0, 0x13F5), (0x1F600, 0x1F650)]
ODD = [" ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2581", "\u0301", "\u0323", "\u200d", "\ufb01", "\u00bd",
       "\u2460", "\uff21", "\u0130", "\u00df", "'s", "'LL", "123", "4", "!?", "...", "\u2014", "<s>", "<mask>", "</s>",
       "<0x41>", "\u00ad", "\ufdfa", "\u212b", "\u1e9b\u0323"]


def texts(words):
    r = random.Random(7)
    out = ["", " ", "  ", "\u2581", "a", " a", "a ", "\n", "<s>", "<mask> x", "x<mask>"]
    while len(out) < 2000:
        kind, s = r.random(), ""
        for _ in range(r.randrange(1, 9)):
            pick = r.random()
            if kind < 0.3 or pick < 0.2:
                s += r.choice(words) + r.choice([" ", " ", " ", ", ", "\n"])
            elif kind < 0.4:
                s += bytes(r.randrange(256) for _ in range(r.randrange(1, 9))).decode("utf-8", "replace")
            elif pick < 0.45:
                s += r.choice(ODD)
            else:
                low, high = SCRIPTS[len(out) % len(SCRIPTS)]
                cs = [chr(r.randrange(low, high)) for _ in range(r.randrange(1, 8))]
                s += "".join(c for c in cs if unicodedata.category(c) != "Cn") + r.choice(["", " "])
        out.append(s.replace("\0", "?"))
    return out


def fnv(data):
    h = 0x811C9DC5
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xFFFFFFFF
    return h


def record(name, all_texts, encode, decode):
    with open(f"{HERE}/{name}.txt", "w") as f:
        for t in all_texts:
            ids = encode(t)
            raw = b"".join(i.to_bytes(4, "little") for i in ids)
            f.write(f"{fnv(raw):08x} {fnv(decode(ids).encode()):08x}\n")


def save(name, tok, all_texts):
    tok.save(f"{HERE}/{name}.json", pretty=False)
    record(name, all_texts, lambda t: tok.encode(t).ids, lambda i: tok.decode(i, skip_special_tokens=False))


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
          r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| "
          r"?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BYTES = [f"<0x{b:02X}>" for b in range(256)]


def main():
    lines = open(sys.argv[1], encoding="utf-8").read().split("\n")[:6000]
    lines += ["naïve café déjà", "Привет мир", "日本語 テキスト", "γειά σου Κόσμε", "안녕하세요"] * 40
    small = lines[:3000] + lines[-200:]
    t = texts([w for l in lines[:500] for w in l.split()])
    json.dump(t, open(f"{HERE}/texts.json", "w"), ensure_ascii=True, indent=0)

    tok = Tokenizer(models.BPE(ignore_merges=True))
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(small, trainers.BpeTrainer(vocab_size=900, show_progress=False, special_tokens=["<s>", "</s>", "<mask>"],
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    save("byte_level", tok, t)
    inner = json.loads(tok.to_str())["model"]["vocab"]

    tok = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tok.train_from_iterator(small, trainers.BpeTrainer(vocab_size=900, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"] + BYTES))
    d = json.loads(tok.to_str())
    d["pre_tokenizer"] = None
    d["added_tokens"] = [a for a in d["added_tokens"] if not a["content"].startswith("<0x")]
    tok = Tokenizer.from_str(json.dumps(d))
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    save("sp_bpe", tok, t)

    for fuse in (False, True):
        tok = Tokenizer(models.BPE(fuse_unk=fuse, unk_token="<unk>"))
        tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=fuse),
                            pre_tokenizers.Metaspace(prepend_scheme="first" if fuse else "always")])
        tok.decoder = decoders.Metaspace(prepend_scheme="first" if fuse else "always")
        tok.train_from_iterator(small, trainers.BpeTrainer(vocab_size=600, show_progress=False, special_tokens=["<unk>"]))
        tok.add_tokens([AddedToken("<mask>", lstrip=True, normalized=True), AddedToken("</s>", rstrip=True, normalized=False)])
        save("metaspace_first" if fuse else "metaspace_always", tok, t)

    open("/tmp/ssmc_lines.txt", "w").write("\n".join(lines))
    for name, kind, more in (
        ("unigram", "unigram", dict(normalization_rule_name="nmt_nfkc", user_defined_symbols=["<mask>", "xx"], byte_fallback=False)),
        ("bpe", "bpe", dict(normalization_rule_name="identity", user_defined_symbols=["<mask>", "  "], byte_fallback=True,
                            remove_extra_whitespaces=False)),
    ):
        spm.SentencePieceTrainer.train(input="/tmp/ssmc_lines.txt", model_prefix=f"{HERE}/{name}", model_type=kind, vocab_size=900,
                                       character_coverage=0.995, minloglevel=2, hard_vocab_limit=False, **more)
        os.remove(f"{HERE}/{name}.vocab")
        sp = spm.SentencePieceProcessor(model_file=f"{HERE}/{name}.model")
        record(name, t, sp.encode, sp.decode)

    # A unigram model as transformers converts one of SentencePiece.
    from sentencepiece import sentencepiece_model_pb2 as pb
    p = pb.ModelProto()
    p.ParseFromString(open(f"{HERE}/unigram.model", "rb").read())
    pieces = [(x.piece, x.score) for x in p.pieces]
    for name in ("unigram_charsmap", "unigram_bytes"):
        bytes_too = name == "unigram_bytes"
        v = pieces + ([(b, 0.0) for b in BYTES] if bytes_too else [])
        tok = Tokenizer(models.Unigram(v, unk_id=0, byte_fallback=bytes_too))
        if bytes_too:
            tok.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Strip(),
                                                   normalizers.Replace(Regex("[ \\n]{2,}"), " ")])
            tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated"),
                                pre_tokenizers.Whitespace(), pre_tokenizers.Metaspace(prepend_scheme="always", split=False)])
            tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        else:
            tok.normalizer = normalizers.Sequence([normalizers.Precompiled(p.normalizer_spec.precompiled_charsmap),
                                                   normalizers.Replace(Regex(" {2,}"), " ")])
            tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
            tok.decoder = decoders.Metaspace(prepend_scheme="always")
        save(name, tok, t)

    # Ranks of bytes: those of the byte-level tokenizer, bytes first.
    char = {}
    n = 0
    for b in range(256):
        if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or 0xAE <= b <= 0xFF:
            char[chr(b)] = b
        else:
            char[chr(256 + n)] = b
            n += 1
    merged = [k for k, _ in sorted(inner.items(), key=lambda x: x[1]) if all(c in char for c in k) and len(k) > 1 and k[0] != "<"]
    ranked = [bytes([b]) for b in range(256)] + [bytes(char[c] for c in k) for k in merged]
    ranked = list(dict.fromkeys(ranked))
    special = 10
    json.dump({"config": {"pattern": TEKKEN, "num_vocab_tokens": len(ranked), "default_vocab_size": special + len(ranked) - 20,
                          "default_num_special_tokens": special, "version": "v3"},
               "vocab": [{"rank": i, "token_bytes": base64.b64encode(b).decode(), "token_str": None} for i, b in enumerate(ranked)],
               "special_tokens": [{"rank": 0, "token_str": "<unk>", "is_control": True}, {"rank": 1, "token_str": "<s>", "is_control": True}]},
              open(f"{HERE}/tekken.json", "w"))
    enc = tiktoken.Encoding("t", pat_str=TEKKEN, mergeable_ranks={b: i for i, b in enumerate(ranked[:len(ranked) - 20])}, special_tokens={})
    record("tekken", t, lambda s: [i + special for i in enc.encode_ordinary(s)], lambda i: enc.decode([x - special for x in i]))
    kimi(t, ranked)


KIMI = "|".join([r"[\p{Han}]+",
                 r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                 r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                 r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


def kimi(t, ranked):
    """The same ranks as tiktoken.model, with special tokens behind them as Kimi's tokenization_kimi.py has them."""
    os.makedirs(f"{HERE}/kimi", exist_ok=True)
    with open(f"{HERE}/kimi/tiktoken.model", "wb") as f:
        for i, b in enumerate(ranked):
            f.write(base64.b64encode(b) + b" %d\n" % i)
    base = len(ranked)
    named = {base: "[BOS]", base + 1: "<s>", base + 5: "<mask>", base + 200: "</s>"}
    json.dump({"tokenizer_class": "TikTokenTokenizer", "bos_token": "[BOS]", "added_tokens_decoder": {
               str(i): {"content": c, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
               for i, c in named.items()}}, open(f"{HERE}/kimi/tokenizer_config.json", "w"), indent=1)
    enc = tiktoken.Encoding("kimi", pat_str=KIMI, mergeable_ranks={b: i for i, b in enumerate(ranked)},
                            special_tokens={named.get(i, f"<|reserved_token_{i}|>"): i for i in range(base, base + 256)})
    record("kimi/tiktoken", t, lambda s: enc.encode(s, allowed_special="all"), enc.decode)


main()
