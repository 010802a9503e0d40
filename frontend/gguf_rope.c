/* frontend/gguf_rope.c -- scaled rotary positions of a GGUF file, as config.json says them
 * (rope_scaling). What the keys mean is as llama.cpp reads them: without a type a factor is linear;
 * a yarn's attention factor is what follows from its factor, times rope.scaling.attn_factor, or as
 * the converter found it (yarn_attn_factor). rope_freqs.weight divides the frequency of each pair
 * of channels by a factor: config.json says that of the type longrope, with the same factors for
 * short and for long texts. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "frontend/gguf.h"
#include "runtime/gguf.h"

typedef struct {
    const RtGguf *g;
    const char *arch, *path;
    Diag *diag;
    StrBuf *out;
} Rope;

static const RtGgufKey *
key_of(const Rope *r, const char *what, char *key, size_t room)
{
    snprintf(key, room, "%s.rope.%s", r->arch, what);
    return rt_gguf_find(r->g, key);
}

static double
number_or(const Rope *r, const char *what, double otherwise)
{
    char key[128];
    double n = 0;
    return rt_gguf_float(key_of(r, what, key, sizeof key), 0, &n) ? n : otherwise;
}

static bool
refuse(const Rope *r, const char *what, const char *why)
{
    return diag_error(r->diag, (SrcLoc){0},
                      "%s: %s.rope.%s %s: give the checkpoint that it was made of", r->path,
                      r->arch, what, why);
}

static double
trained(const Rope *r)
{
    char key[128];
    double n = 0;
    snprintf(key, sizeof key, "%s.context_length", r->arch);
    rt_gguf_float(rt_gguf_find(r->g, key), 0, &n);
    return number_or(r, "scaling.original_context_length", n);
}

static void
put_yarn(const Rope *r, double factor)
{
    /* of the paper, section 3.4 */
    const double follows = factor > 1 ? 0.1 * log(factor) + 1 : 1;
    const double times = number_or(r, "scaling.attn_factor", 1);
    const double said = number_or(r, "scaling.yarn_attn_factor", 0);
    sb_puts(r->out, "{\"rope_type\": \"yarn\", \"factor\": ");
    gguf_put_number(r->out, factor, true);
    sb_puts(r->out, ", \"beta_fast\": ");
    gguf_put_number(r->out, number_or(r, "scaling.yarn_beta_fast", 32), true);
    sb_puts(r->out, ", \"beta_slow\": ");
    gguf_put_number(r->out, number_or(r, "scaling.yarn_beta_slow", 1), true);
    sb_puts(r->out, ", \"original_max_position_embeddings\": ");
    gguf_put_number(r->out, trained(r), false);
    sb_puts(r->out, ", \"attention_factor\": ");
    gguf_put_number(r->out, (said != 0 ? said : follows) * times, false);
    sb_puts(r->out, "}");
}

static bool
yarn(const Rope *r, double factor)
{
    if (number_or(r, "scaling.yarn_ext_factor", 1) != 1)
        return refuse(r, "scaling.yarn_ext_factor", "is not 1, which is not read from GGUF files");
    if (number_or(r, "scaling.yarn_log_multiplier", 0) != 0)
        return refuse(r, "scaling.yarn_log_multiplier",
                      "is not 0, which is not read from GGUF files");
    static const char *const numbers[] = {"attn_factor", "yarn_attn_factor", "yarn_beta_fast",
                                          "yarn_beta_slow"};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        char what[64];
        snprintf(what, sizeof what, "scaling.%s", numbers[i]);
        const double n = number_or(r, what, 1);
        if (!isfinite(n) || !(n > 0))
            return refuse(r, what, "is not a number above 0");
    }
    if (!isfinite(trained(r)) || !(trained(r) > 0))
        return refuse(r, "scaling.original_context_length", "is needed by yarn, and missing");
    put_yarn(r, factor);
    return true;
}

static bool
freqs(const Rope *r, const RtGgufTensor *t)
{
    enum { F32 = 0, MOST = 4096 };
    StrBuf list = {0};
    bool good = t->type == F32 && t->rank == 1 && t->dim[0] > 0 && t->dim[0] <= MOST;
    for (int64_t i = 0; good && i < t->dim[0]; i++) {
        float f;
        memcpy(&f, t->data + (size_t)i * sizeof f, sizeof f);
        good = isfinite(f) && f > 0;
        sb_puts(&list, i ? ", " : "");
        gguf_put_number(&list, (double)f, true);
    }
    if (good) {
        sb_printf(r->out,
                  "{\"rope_type\": \"longrope\", \"factor\": 1.0, \"attention_factor\": 1.0, "
                  "\"original_max_position_embeddings\": ");
        gguf_put_number(r->out, isfinite(trained(r)) && trained(r) > 0 ? trained(r) : 1, false);
        sb_printf(r->out, ", \"short_factor\": [%s], \"long_factor\": [%s]}", sb_text(&list),
                  sb_text(&list));
    }
    sb_free(&list);
    return good ||
           diag_error(r->diag, (SrcLoc){0},
                      "%s: rope_freqs.weight is not a list of numbers above 0 in F32", r->path);
}

bool
gguf_rope(StrBuf *out, const RtGguf *g, const char *arch, const char *path, Diag *diag)
{
    const Rope r = {g, arch, path, diag, out};
    const RtGgufTensor *t = rt_gguf_tensor_named(g, "rope_freqs.weight");
    const char *at = NULL;
    char key[128];
    RtGgufText type = {"linear", strlen("linear")};
    double factor = number_or(&r, "scaling.factor", 0);
    factor = factor != 0 ? factor : number_or(&r, "scale_linear", 0);
    rt_gguf_text(key_of(&r, "scaling.type", key, sizeof key), &at, &type);
    const bool is_linear = rt_gguf_text_is(type, "linear"), is_yarn = rt_gguf_text_is(type, "yarn");
    const bool scaled = factor != 0 && factor != 1;
    if (!rt_gguf_text_is(type, "none") && !is_linear && !is_yarn)
        return diag_error(
            diag, (SrcLoc){0},
            "%s: %s is '%.*s', expected one of none, linear, yarn: give the checkpoint "
            "that it was made of",
            path, key, (int)(type.len < 32 ? type.len : 32), type.text);
    if (!(factor >= 0) || !isfinite(factor))
        return refuse(&r, "scaling.factor", "is not a number above 0");
    if (t && (is_yarn || (is_linear && scaled)))
        return diag_error(
            diag, (SrcLoc){0},
            "%s: it has factors of rotary positions (rope_freqs.weight) and scales "
            "them (%s.rope.scaling), which are not read together: give the checkpoint "
            "that it was made of",
            path, arch);
    if (t)
        return freqs(&r, t);
    if (is_yarn)
        return yarn(&r, factor != 0 ? factor : 1);
    if (is_linear && scaled) {
        sb_puts(out, "{\"rope_type\": \"linear\", \"factor\": ");
        gguf_put_number(out, factor, true);
        sb_puts(out, "}");
    }
    return true;
}
