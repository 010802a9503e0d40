/* compiler/tiles_file.c -- the tiles that `ssmc tune --device` measured to be fastest, in the
 * user's cache folder.
 *
 * A file is for code of one kind of GPU. What is in it may be anything: a file that is not exactly
 * what tune writes is not used. A tile takes the place of one of its own method alone, so that no
 * file changes a bit of what a model computes. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "compiler/internal.h"
#include "machine/product.h"

/* VERSION: changes when rows of products.def come to mean something else. */
enum { VERSION = 2, MOST_BYTES = 1 << 12, MOST_RULES = 16 };

const char *
tiles_path(Arena *arena, const Machine *m)
{
    return cache_path(arena, arena_printf(arena, "tiles-v%d-%s.txt", VERSION, m->gpu.name));
}

static const char *
header_of(Arena *arena, const Machine *m)
{
    return arena_printf(arena, "ssmc tiles %d\ntarget %s\non ", VERSION, m->gpu.name);
}

/* ---- reading ----------------------------------------------------------------------------- */

/* The rule of products.def that a measured one takes the place of. NULL: there is none. */
static const ProductRule *
rule_replaced(const Machine *m, Dtype type, int64_t outputs, int64_t inputs)
{
    int count = 0;
    const ProductRule *rules = product_rules(&count);
    for (int i = 0; i < count; i++)
        if (rules[i].rows == PRODUCT_MANY && rules[i].type == type && rules[i].outputs == outputs &&
            rules[i].inputs == inputs && product_rule_fits(&rules[i], m->gpu.capability))
            return &rules[i];
    return NULL;
}

static const Product *
tile_named(const Product *in_place_of, const char *name)
{
    const Product *p = product_named(name);
    return p && p->method == in_place_of->method ? p : NULL;
}

/* A line: type, outputs, inputs, product, small. */
static bool
rule_parse(const Machine *m, const char *line, ProductRule *out)
{
    char type[8], product[32], small[32], end = 0;
    long long outputs = 0, inputs = 0;
    if (sscanf(line, "%7s %lld %lld %31s %31s%c", type, &outputs, &inputs, product, small, &end) !=
        5)
        return false;
    const Dtype dtype = strcmp(type, "bf16") == 0 ? DTYPE_bf16 : DTYPE_f32;
    const ProductRule *old = rule_replaced(m, dtype, outputs, inputs);
    if (!old || strcmp(type, dtype_info[dtype].name) != 0)
        return false;
    *out = (ProductRule){.rows = PRODUCT_MANY,
                         .type = dtype,
                         .outputs = outputs,
                         .inputs = inputs,
                         .product = tile_named(old->product, product),
                         .small = tile_named(old->product, small)};
    return out->product && out->small &&
           (out->small == out->product || product_goes_with(out->small, out->product));
}

static bool
tiles_parse(const Machine *m, char *text, ProductRule *rules, int *count)
{
    for (char *end; *text; text = end + 1) {
        end = strchr(text, '\n');
        if (!end || *count == MOST_RULES)
            return false;
        *end = '\0';
        if (!rule_parse(m, text, &rules[(*count)++]))
            return false;
    }
    return *count > 0;
}

static bool
tiles_read(Arena *arena, const char *path, const Machine *m, ProductRule *rules, int *count,
           const char **why)
{
    char *text = NULL;
    size_t len = 0;
    if (!file_read(arena, path, MOST_BYTES, &text, &len, why))
        return false;
    const char *header = header_of(arena, m);
    const size_t head = strlen(header);
    char *rest =
        strlen(text) == len && strncmp(text, header, head) == 0 ? strchr(text + head, '\n') : NULL;
    if (rest && tiles_parse(m, rest + 1, rules, count))
        return true;
    *why = arena_printf(arena, "it is no file of tiles, version %d, for %s", VERSION, m->gpu.name);
    return false;
}

void
tiles_load(Arena *arena, Machine *m, const Listener *listener)
{
    struct stat st;
    int count = 0;
    ProductRule *rules = arena_array(arena, MOST_RULES, sizeof *rules);
    const char *why = NULL, *path = tiles_path(arena, m);
    if (!path || stat(path, &st) != 0)
        return;
    if (tiles_read(arena, path, m, rules, &count, &why)) {
        m->gpu.measured = rules;
        m->gpu.nmeasured = count;
    } else
        tell_text(listener, TOLD_note, "%s is not used: %s; `ssmc tune --device` makes it anew",
                  path, why);
}

/* ---- writing ----------------------------------------------------------------------------- */

bool
tiles_write(Arena *arena, const char *path, const Machine *m, const char *on, const char **why)
{
    StrBuf text = {0};
    sb_printf(&text, "%s%s\n", header_of(arena, m), on);
    for (int i = 0; i < m->gpu.nmeasured; i++) {
        const ProductRule *r = &m->gpu.measured[i];
        sb_printf(&text, "%s %lld %lld %s %s\n", dtype_info[r->type].name, (long long)r->outputs,
                  (long long)r->inputs, r->product->name, r->small->name);
    }
    const bool ok =
        costs_folder(arena, path, why) && file_write(arena, path, sb_text(&text), text.len, why);
    sb_free(&text);
    return ok;
}
