/* frontend/gguf.c -- key-values of a GGUF file as a config.json (gguf_keys.def). */
#include "frontend/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "frontend/frontend.h"
#include "runtime/gguf.h"

typedef enum { HOW_text, HOW_number, HOW_ratio, HOW_rows, HOW_there, HOW_lacks } How;

static const struct {
    const char *arch, *key;
    How how;
    const char *from;
} rows[] = {
#define GGUF_KEY(arch, key, how, from) {arch, key, HOW_##how, from},
#include "frontend/gguf_keys.def"
#undef GGUF_KEY
};

bool
gguf_is(const char *path)
{
    char head[4] = {0};
    FILE *f = fopen(path, "rb");
    const bool is = f && fread(head, 1, sizeof head, f) == sizeof head &&
                    memcmp(head, "GGUF", sizeof head) == 0;
    if (f)
        fclose(f);
    return is;
}

/* The shortest decimal that reads back; of an F32 as an F32, which is what its file meant. */
static void
put_number(StrBuf *out, double n, bool is_float)
{
    char text[64];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, n);
        double back = 0;
        if (sscanf(text, "%lf", &back) == 1 && (back == n || (is_float && (float)back == (float)n)))
            break;
    }
    sb_puts(out, text);
}

static bool
number_of(const RtGguf *g, const char *name, size_t len, double *out, bool *is_float)
{
    char key[128];
    snprintf(key, sizeof key, "%.*s", (int)len, name);
    const RtGgufKey *found = rt_gguf_find(g, key);
    *is_float = found && found->kind == RT_GGUF_F32;
    return found && !found->array && rt_gguf_float(found, 0, out) && isfinite(*out);
}

/* False: the file does not have what the row needs, and the key is left out. */
static bool
put_value(StrBuf *out, const RtGguf *g, How how, const char *from)
{
    double a = 0, b = 1;
    bool is_float = false;
    const RtGgufTensor *t = NULL;
    const char *slash = strstr(from, " / ");
    switch (how) {
    case HOW_text:
        sb_printf(out, "\"%s\"", from);
        return true;
    case HOW_number:
    case HOW_ratio:
        if (!number_of(g, from, slash ? (size_t)(slash - from) : strlen(from), &a, &is_float) ||
            (slash && (!number_of(g, slash + 3, strlen(slash + 3), &b, &is_float) || b == 0)))
            return false;
        put_number(out, a / b, is_float && !slash);
        return true;
    case HOW_rows:
        t = rt_gguf_tensor_named(g, from);
        if (t && t->rank > 0)
            sb_printf(out, "%" PRId64, t->dim[0]);
        return t && t->rank > 0;
    case HOW_there:
    case HOW_lacks:
        sb_puts(out, !rt_gguf_tensor_named(g, from) == (how == HOW_lacks) ? "true" : "false");
        return true;
    }
    return false;
}

static void
put_key(StrBuf *out, const RtGguf *g, const char *key, How how, const char *from)
{
    StrBuf value = {0};
    if (put_value(&value, g, how, from))
        sb_printf(out, "%s  \"%s\": %s", out->len > 2 ? ",\n" : "", key, sb_text(&value));
    sb_free(&value);
}

/* What changes numbers and no family can say of such a file. */
static bool
check(const RtGguf *g, const char *path, Diag *diag)
{
    const char *at = NULL;
    RtGgufText type = {0};
    int64_t experts = 0;
    const RtGgufKey *tokens = rt_gguf_find(g, "tokenizer.ggml.tokens");
    const RtGgufTensor *embedding = rt_gguf_tensor_named(g, "token_embd.weight");
    if (tokens && embedding && embedding->rank > 0 && tokens->count > (uint64_t)embedding->dim[0])
        return diag_error(diag, (SrcLoc){0},
                          "%s: its tokenizer has %" PRIu64 " tokens, but its embedding "
                          "(token_embd.weight) %" PRId64 " rows",
                          path, tokens->count, embedding->dim[0]);
    if (rt_gguf_tensor_named(g, "rope_freqs.weight"))
        return diag_error(
            diag, (SrcLoc){0},
            "%s: it has factors of rotary positions (rope_freqs.weight), which are not "
            "read from GGUF files: give the checkpoint that it was made of",
            path);
    if (rt_gguf_text(rt_gguf_find(g, "llama.rope.scaling.type"), &at, &type) &&
        !rt_gguf_text_is(type, "none"))
        return diag_error(diag, (SrcLoc){0},
                          "%s: llama.rope.scaling.type is '%.*s', which is not read from GGUF "
                          "files: give the checkpoint that it was made of",
                          path, (int)(type.len < 32 ? type.len : 32), type.text);
    if (rt_gguf_int(rt_gguf_find(g, "llama.expert_count"), 0, &experts) && experts > 0)
        return diag_error(diag, (SrcLoc){0},
                          "%s: llama.expert_count is %" PRId64
                          ": mixtures of experts are not read from GGUF files",
                          path, experts);
    return true;
}

static const Source *
make_config(Arena *arena, const RtGguf *g, const char *path, Diag *diag)
{
    const char *at = NULL;
    RtGgufText arch = {0};
    StrBuf text = {0};
    bool known = false;
    if (!rt_gguf_text(rt_gguf_find(g, "general.architecture"), &at, &arch)) {
        diag_error(diag, (SrcLoc){0}, "%s: it has no general.architecture", path);
        return NULL;
    }
    if (!check(g, path, diag))
        return NULL;
    sb_puts(&text, "{\n");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (!rt_gguf_text_is(arch, rows[i].arch))
            continue;
        known = true;
        put_key(&text, g, rows[i].key, rows[i].how, rows[i].from);
    }
    put_key(&text, g, "bos_token_id", HOW_number, "tokenizer.ggml.bos_token_id");
    put_key(&text, g, "eos_token_id", HOW_number, "tokenizer.ggml.eos_token_id");
    sb_puts(&text, "\n}\n");
    Source *source = arena_alloc(arena, sizeof *source);
    *source = (Source){arena_printf(arena, "%s: config", path),
                       arena_strndup(arena, sb_text(&text), text.len), text.len};
    sb_free(&text);
    if (known)
        return source;
    StrBuf list = {0};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (i == 0 || strcmp(rows[i].arch, rows[i - 1].arch) != 0)
            sb_printf(&list, "%s%s", i ? ", " : "", rows[i].arch);
    diag_error(diag, (SrcLoc){0},
               "%s: its general.architecture is '%.*s'; GGUF files are read of %s", path,
               (int)(arch.len < 64 ? arch.len : 64), arch.text, sb_text(&list));
    sb_free(&list);
    return NULL;
}

const Source *
gguf_config(Arena *arena, const char *path, Diag *diag, bool *tokenizer)
{
    const char *why = NULL;
    RtGguf *g = rt_gguf_open(path, NULL, 0, &why);
    if (!g) {
        diag_error(diag, (SrcLoc){0}, "%s", why);
        return NULL;
    }
    const Source *source = make_config(arena, g, path, diag);
    *tokenizer = rt_gguf_find(g, "tokenizer.ggml.tokens") != NULL;
    rt_gguf_close(g);
    return source;
}

bool
fe_gguf_config(Arena *arena, const char *path, Diag *diag, char **text, size_t *len,
               bool *tokenizer)
{
    const Source *source = gguf_config(arena, path, diag, tokenizer);
    if (!source)
        return false;
    *text = arena_strndup(arena, source->text, source->len);
    *len = source->len;
    return true;
}
