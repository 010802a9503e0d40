/* frontend/gguf.c -- key-values of a GGUF file as a config.json (gguf_keys.def). */
#include "frontend/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "frontend/frontend.h"
#include "runtime/gguf.h"

typedef enum {
    HOW_text,
    HOW_plain,
    HOW_number,
    HOW_most,
    HOW_flag,
    HOW_none,
    HOW_either,
    HOW_depth,
    HOW_rows,
    HOW_there,
    HOW_inside,
    HOW_lacks,
    HOW_layers,
    HOW_indices,
    HOW_first,
    HOW_period
} How;

typedef struct {
    const char *arch, *key;
    How how;
    const char *from;
} Row;

static const Row rows[] = {
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

void
gguf_put_number(StrBuf *out, double n, bool is_float)
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

/* A file, and which rows are its. */
typedef struct {
    const RtGguf *g;
    RtGgufArch arch;
} File;

/* The number of a key, or the greatest of its array. */
static bool
number_of(const File *f, const char *name, size_t len, bool most, double *out, bool *is_float)
{
    char key[192];
    snprintf(key, sizeof key, "%s%.*s", *name == '.' ? f->arch.name : "", (int)len, name);
    const RtGgufKey *found = rt_gguf_find(f->g, key);
    *is_float = found && found->kind == RT_GGUF_F32;
    if (!found || (found->array && !most) || !rt_gguf_float(found, 0, out) || !isfinite(*out))
        return false;
    for (uint64_t i = 1; i < found->count; i++) {
        double x = 0;
        if (!rt_gguf_float(found, i, &x) || !isfinite(x))
            return false;
        *out = fmax(*out, x);
    }
    return true;
}

/* "a", "a / b", "a * b / c", "a - b": from left to right; with " | N" or " | b" behind it that
 * where there is no a. */
static bool
formula_of(const File *f, const char *from, bool most, double *out, bool *is_float)
{
    size_t len = strcspn(from, " ");
    const char *rest = from + len;
    if (!number_of(f, from, len, most, out, is_float)) {
        *is_float = false;
        if (strncmp(rest, " | ", 3) != 0)
            return false;
        rest += 3;
        return *rest == '.' ? number_of(f, rest, strlen(rest), most, out, is_float)
                            : sscanf(rest, "%lf", out) == 1;
    }
    for (; *rest == ' ' && rest[1] != '|'; rest += len) {
        const char op = rest[1];
        double b = 0;
        rest += 3;
        len = strcspn(rest, " ");
        if (!number_of(f, rest, len, false, &b, is_float) || (op == '/' && b == 0))
            return false;
        *out = op == '/' ? *out / b : op == '-' ? *out - b : *out * b;
        *is_float = false;
    }
    return isfinite(*out);
}

/* ---- layers -------------------------------------------------------------------------------- */

enum { MOST_LAYERS = 1024 };

/* How many the model has; 0: the file does not say, or too many. */
static int64_t
layers_of(const File *f)
{
    int64_t ahead;
    const int64_t all = rt_gguf_layers(f->g, f->arch.name, &ahead);
    return all <= MOST_LAYERS ? all - ahead : 0;
}

/* Whether there is a tensor of that name, with the layer's number for #. */
static bool
layer_has(const File *f, const char *pattern, size_t len, int64_t layer)
{
    char name[128];
    const char *mark = memchr(pattern, '#', len);
    const int before = (int)(mark ? (size_t)(mark - pattern) : len);
    snprintf(name, sizeof name, "%.*s", before, pattern);
    if (mark)
        snprintf(name + before, sizeof name - (size_t)before, "%" PRId64 "%.*s", layer,
                 (int)len - before - 1, mark + 1);
    return rt_gguf_tensor_named(f->g, name) != NULL;
}

/* The first layer from `layer` on that has the tensor; of a name without # 0. -1: none has. */
static int64_t
layer_with(const File *f, const char *pattern, int64_t layer)
{
    const int64_t count = strchr(pattern, '#') ? layers_of(f) : 1;
    while (layer < count && !layer_has(f, pattern, strlen(pattern), layer))
        layer++;
    return layer < count ? layer : -1;
}

/* A word for each layer, as a list: of "word name, word name, word" the first whose tensor the
 * layer has, or that has no name. */
static bool
put_layers(StrBuf *out, const File *f, const char *from)
{
    const int64_t count = layers_of(f);
    for (int64_t i = 0; i < count; i++) {
        const char *at = from, *name;
        size_t word, len;
        for (;; at = name + len + 2) {
            word = strcspn(at, " ,");
            name = at + word + (at[word] == ' ');
            len = strcspn(name, ",");
            if (len == 0 || layer_has(f, name, len, i))
                break;
            if (!name[len])
                return false;
        }
        const char *quote = *at >= '0' && *at <= '9' ? "" : "\"";
        sb_printf(out, "%s%s%.*s%s", i ? ", " : "[", quote, (int)word, at, quote);
    }
    sb_puts(out, count ? "]" : "");
    return count > 0;
}

/* The layers that have the tensor, as a list. */
static void
put_indices(StrBuf *out, const File *f, const char *pattern)
{
    int64_t i = layer_with(f, pattern, 0);
    sb_puts(out, "[");
    for (const char *before = ""; i >= 0; i = layer_with(f, pattern, i + 1), before = ", ")
        sb_printf(out, "%s%" PRId64, before, i);
    sb_puts(out, "]");
}

static bool
put_place(StrBuf *out, const File *f, const Row *row)
{
    const int64_t first = layer_with(f, row->from, 0);
    if (first < 0)
        return false;
    const int64_t next = layer_with(f, row->from, first + 1);
    const int64_t period = next < 0 ? layers_of(f) : next - first;
    sb_printf(out, "%" PRId64, row->how == HOW_first ? first : period);
    return true;
}

/* "KEY ? A : B" */
static bool
put_either(StrBuf *out, const File *f, const char *from)
{
    char key[128], yes[64], no[64];
    double n = 0;
    bool is_float = false;
    if (sscanf(from, "%127s ? %63s : %63s", key, yes, no) != 3)
        return false;
    const bool is = number_of(f, key, strlen(key), false, &n, &is_float) && n != 0;
    sb_printf(out, "\"%s\"", is ? yes : no);
    return true;
}

/* False: the file does not have what the row needs, and the key is left out. */
static bool
put_value(StrBuf *out, const File *f, const Row *row)
{
    double a = 0;
    bool is_float = false, is = false;
    const RtGgufTensor *t = NULL;
    switch (row->how) {
    case HOW_text:
        sb_printf(out, "\"%s\"", row->from);
        return true;
    case HOW_plain:
        sb_puts(out, row->from);
        return true;
    case HOW_number:
    case HOW_most:
        if (!formula_of(f, row->from, row->how == HOW_most, &a, &is_float))
            return false;
        gguf_put_number(out, a, is_float);
        return true;
    case HOW_depth:
        sb_printf(out, "%" PRId64, layers_of(f));
        return layers_of(f) > 0;
    case HOW_none:
        return false;
    case HOW_flag:
        is = formula_of(f, row->from, false, &a, &is_float);
        sb_puts(out, a != 0 ? "true" : "false");
        return is;
    case HOW_either:
        return put_either(out, f, row->from);
    case HOW_rows:
        t = rt_gguf_tensor_named(f->g, row->from);
        if (t && t->rank > 0)
            sb_printf(out, "%" PRId64, t->dim[0]);
        return t && t->rank > 0;
    case HOW_there:
    case HOW_inside:
    case HOW_lacks:
        is = layer_with(f, row->from, 0) >= 0;
        sb_puts(out, is == (row->how != HOW_lacks) ? "true" : "false");
        return true;
    case HOW_layers:
        return put_layers(out, f, row->from);
    case HOW_indices:
        put_indices(out, f, row->from);
        return true;
    case HOW_first:
    case HOW_period:
        return put_place(out, f, row);
    }
    return false;
}

static void
put_key(StrBuf *out, const File *f, const Row *row)
{
    StrBuf value = {0};
    if (put_value(&value, f, row))
        sb_printf(out, "%s  \"%s\": %s", out->len > 2 ? ",\n" : "", row->key, sb_text(&value));
    sb_free(&value);
}

/* The key "ARCHITECTURE.what", whose name is written to `key`. */
static const RtGgufKey *
key_of(const File *f, const char *what, char *key, size_t room)
{
    snprintf(key, room, "%s.%s", f->arch.name, what);
    return rt_gguf_find(f->g, key);
}

/* What changes numbers and no family can say of such a file. */
static bool
check(const File *f, const char *path, Diag *diag)
{
    char key[128];
    int64_t n = 0;
    double scale = 0;
    const RtGgufKey *tokens = rt_gguf_find(f->g, "tokenizer.ggml.tokens");
    const RtGgufTensor *embedding = rt_gguf_tensor_named(f->g, "token_embd.weight");
    if (tokens && embedding && embedding->rank > 0 && tokens->count > (uint64_t)embedding->dim[0])
        return diag_error(diag, (SrcLoc){0},
                          "%s: its tokenizer has %" PRIu64 " tokens, but its embedding "
                          "(token_embd.weight) %" PRId64 " rows",
                          path, tokens->count, embedding->dim[0]);
    if (rt_gguf_arch_rank(&f->arch, "llama") >= 0 &&
        rt_gguf_int(key_of(f, "expert_count", key, sizeof key), 0, &n) && n > 0)
        return diag_error(diag, (SrcLoc){0},
                          "%s: %s is %" PRId64 ": mixtures of experts are not read from GGUF files "
                          "of this architecture",
                          path, key, n);
    if (rt_gguf_arch_rank(&f->arch, "olmo2") >= 0 &&
        rt_gguf_int(key_of(f, "attention.sliding_window", key, sizeof key), 0, &n) && n > 0)
        return diag_error(diag, (SrcLoc){0},
                          "%s: %s is %" PRId64 ", so it is an OLMo 3 model, some of whose layers "
                          "have a window: they cannot be compiled",
                          path, key, n);
    if (rt_gguf_float(key_of(f, "attention.temperature_scale", key, sizeof key), 0, &scale) &&
        scale != 0)
        return diag_error(diag, (SrcLoc){0},
                          "%s: %s is %g: queries whose scale grows with their position cannot be "
                          "compiled",
                          path, key, scale);
    return true;
}

/* What is written of every architecture. */
static bool
put_common(StrBuf *out, const File *f, const char *path, Diag *diag)
{
    StrBuf rope = {0};
    put_key(out, f, &(Row){"", "max_position_embeddings", HOW_number, ".context_length"});
    put_key(out, f, &(Row){"", "bos_token_id", HOW_number, "tokenizer.ggml.bos_token_id"});
    put_key(out, f, &(Row){"", "eos_token_id", HOW_number, "tokenizer.ggml.eos_token_id"});
    const bool good = gguf_rope(&rope, f->g, f->arch.name, path, diag);
    if (good && rope.len > 0)
        put_key(out, f, &(Row){"", "rope_scaling", HOW_plain, sb_text(&rope)});
    sb_free(&rope);
    return good;
}

/* Whether the architecture's rows nearer the front say the key. */
static bool
is_said_before(const File *f, const char *key, int rank)
{
    for (size_t i = 0; i < COUNT_OF(rows) && rank > 0; i++) {
        const int of_row = rt_gguf_arch_rank(&f->arch, rows[i].arch);
        if (of_row >= 0 && of_row < rank && strcmp(rows[i].key, key) == 0)
            return true;
    }
    return false;
}

static void
put_rows(StrBuf *out, const File *f, bool written)
{
    for (int rank = 0; f->arch.rows[rank]; rank++)
        for (size_t i = 0; i < COUNT_OF(rows); i++)
            if (strcmp(rows[i].arch, f->arch.rows[rank]) == 0 &&
                !(written && rows[i].how == HOW_inside) && !is_said_before(f, rows[i].key, rank))
                put_key(out, f, &rows[i]);
}

/* written: of a checkpoint that is made of the file. */
static const Source *
make_config(Arena *arena, const RtGguf *g, const char *path, Diag *diag, bool written)
{
    StrBuf text = {0};
    File f = {.g = g};
    if (!rt_gguf_arch(g, &f.arch)) {
        diag_error(diag, (SrcLoc){0}, "%s: it has no general.architecture", path);
        return NULL;
    }
    if (!rt_gguf_arch_known(&f.arch)) {
        diag_error(diag, (SrcLoc){0},
                   "%s: its general.architecture is '%s'; GGUF files are read of %s", path,
                   f.arch.name, rt_gguf_arch_names());
        return NULL;
    }
    if (!check(&f, path, diag))
        return NULL;
    sb_puts(&text, "{\n");
    put_rows(&text, &f, written);
    const bool good = put_common(&text, &f, path, diag);
    sb_puts(&text, "\n}\n");
    Source *source = arena_alloc(arena, sizeof *source);
    *source = (Source){arena_printf(arena, "%s: config", path),
                       arena_strndup(arena, sb_text(&text), text.len), text.len};
    sb_free(&text);
    return good ? source : NULL;
}

const Source *
gguf_config(Arena *arena, const char *path, Diag *diag, bool written, bool *tokenizer)
{
    const char *why = NULL;
    RtGguf *g = rt_gguf_open(path, NULL, 0, &why);
    if (!g) {
        diag_error(diag, (SrcLoc){0}, "%s", why);
        return NULL;
    }
    const Source *source = make_config(arena, g, path, diag, written);
    *tokenizer = rt_gguf_find(g, "tokenizer.ggml.tokens") != NULL;
    rt_gguf_close(g);
    return source;
}

bool
fe_gguf_config(Arena *arena, const char *path, Diag *diag, char **text, size_t *len,
               bool *tokenizer)
{
    const Source *source = gguf_config(arena, path, diag, true, tokenizer);
    if (!source)
        return false;
    *text = arena_strndup(arena, source->text, source->len);
    *len = source->len;
    return true;
}
