/* tests/embed.c -- see embed.h. */
#include "tests/embed.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/util.h"
#include "runtime/rt.h"

enum { MOST_ARGS = 40 };

static size_t
append(const char **argv, size_t n, const char *const *list)
{
    for (; *list; list++) {
        cr_assert_lt(n, (size_t)MOST_ARGS - 1);
        argv[n++] = *list;
    }
    argv[n] = NULL;
    return n;
}

/* ---- building ------------------------------------------------------------------------------ */

char *
embed_compile(const char *model, const char *dir, const char *file, const char *const *more)
{
    char *header = path_join(dir, "model.h");
    const char *argv[MOST_ARGS];
    append(argv, append(argv, 0, ARGS("--set", "name=model", "--header", header)), more);
    char *path = aot_compile(model, dir, file, argv);
    free(header);
    return path;
}

char *
embed_build(const char *compiler, const char *source, const char *dir, const char *name,
            const char *const *libraries)
{
    char *program = path_join(dir, name);
    const bool cxx = strcmp(source + strlen(source) - 4, ".cpp") == 0;
    const char *argv[MOST_ARGS];
    const size_t n = append(argv, 0,
                            ARGS(compiler, cxx ? "-std=c++17" : "-std=gnu11", "-Wall", "-Wextra",
                                 "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-I", dir,
                                 "-I", EMBED_EXAMPLES, source, "-o", program));
    append(argv, n, libraries);
    CommandResult r = aot_tool(argv);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    return program;
}

char *
embed_build_with(const char *compiler, const char *source, const char *dir, const char *name,
                 const char *library)
{
    return embed_build(compiler, source, dir, name,
                       ARGS(library, "-Wl,-rpath,$ORIGIN", "-lpthread"));
}

/* ---- running ------------------------------------------------------------------------------- */

float *
embed_logits(const char *const *program, const char *ids, size_t count)
{
    CommandResult r = command_run(program, ids, strlen(ids));
    cr_assert_eq(r.status, 0, "%s: %s", program[0], r.err);
    float *logits = malloc((count + 1) * sizeof *logits);
    char *at = r.out;
    size_t n = 0;
    for (char *end; n <= count; at = end) {
        logits[n] = strtof(at, &end);
        if (end == at)
            break;
        n++;
    }
    cr_assert_eq(n, count, "%s says %zu logits or more, not %zu", program[0], n, count);
    command_free(&r);
    return logits;
}

static char *
row_text(const RtTensor *ids, int64_t row)
{
    StrBuf text = {0};
    for (int64_t i = 0; i < ids->dim[1]; i++) {
        int64_t id = 0;
        memcpy(&id, (const char *)ids->data + (row * ids->dim[1] + i) * 8, sizeof id);
        sb_printf(&text, "%lld ", (long long)id);
    }
    return text.text;
}

static void
match_row(EmbedMatch *m, const char *const *program, const RtTensor *ids, const RtTensor *logits,
          int64_t row)
{
    const size_t count = (size_t)(logits->dim[1] * logits->dim[2]);
    const char *want = (const char *)logits->data + (size_t)row * count * sizeof(float);
    char *text = row_text(ids, row);
    float *got = embed_logits(program, text, count);
    for (size_t i = 0; i < count; i++) {
        float w;
        memcpy(&w, want + i * sizeof w, sizeof w);
        m->others += memcmp(&w, &got[i], sizeof w) != 0;
        m->most = isfinite(got[i]) ? fmax(m->most, fabs((double)got[i] - w)) : HUGE_VAL;
    }
    m->count += count;
    free(text);
    free(got);
}

EmbedMatch
embed_match(const char *const *program, const char *ids, const char *want)
{
    RtTensorFile *in = NULL, *out = NULL;
    EmbedMatch m = {0};
    cr_assert_eq(rt_tensors_open(ids, &in), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(rt_tensors_open(want, &out), SSMC_OK, "%s", ssmc_error());
    for (int i = 0; i < rt_tensors_count(in); i++) {
        const RtTensor *t = rt_tensors_at(in, i);
        char name[64];
        if (strncmp(t->name, "ids_", 4) != 0)
            continue;
        snprintf(name, sizeof name, "logits_%s", t->name + 4);
        const RtTensor *logits = rt_tensors_find(out, name);
        cr_assert(logits && strcmp(t->dtype, "I64") == 0, "%s", name);
        for (int64_t row = 0; row < t->dim[0]; row++)
            match_row(&m, program, t, logits, row);
    }
    rt_tensors_close(in);
    rt_tensors_close(out);
    return m;
}
