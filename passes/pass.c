/* passes/pass.c -- the pass manager: it alone runs, prints, times, verifies and interprets. */
#include <string.h>
#include <time.h>

#include "passes/internal.h"

#define EXACT  false
#define ROUNDS true
#define PASS(id, stage, on, numbers, doc)                                                          \
    [PASS_##id] = {#id, STAGE_##stage, on, numbers, pass_##id, doc},
const PassInfo pass_info[PASS_COUNT] = {
#include "passes/passes.def"
};
#undef PASS
#undef EXACT
#undef ROUNDS

bool
pass_by_name(const char *name, PassId *out)
{
    for (int i = 0; i < PASS_COUNT; i++) {
        if (strcmp(pass_info[i].name, name) != 0)
            continue;
        *out = (PassId)i;
        return true;
    }
    return false;
}

/* Layers of one kind say the same: a line that is there already is not written again. */
static bool
said_before(const StrBuf *explain, const char *line, size_t len)
{
    const char *at = sb_text(explain);
    while ((at = strstr(at, line)) != NULL) {
        const bool starts = at == sb_text(explain) || at[-1] == '\n';
        if (starts && at[len] == '\n')
            return true;
        at++;
    }
    return false;
}

void
pass_explain(PassCtx *cx, const char *fmt, ...)
{
    if (!cx->explain)
        return;
    StrBuf line = {0};
    va_list args;
    va_start(args, fmt);
    sb_vprintf(&line, fmt, args);
    va_end(args);
    if (!said_before(cx->explain, sb_text(&line), line.len))
        sb_printf(cx->explain, "%s\n", sb_text(&line));
    sb_free(&line);
}

static double
milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

typedef struct {
    Graph *g;
    PassCtx *cx;
    const PassOptions *options;
    Checker *checker; /* NULL: numbers are not checked */
} Manager;

static bool
verify(Manager *m, const char *after)
{
    if (graph_verify(m->g, m->cx->diag))
        return true;
    diag_note(m->cx->diag, (SrcLoc){0},
              "the graph %s after %s is not valid: a fault of the compiler", m->g->name, after);
    return false;
}

static bool
run_one(Manager *m, PassId id)
{
    const PassInfo *info = &pass_info[id];
    if (m->options->off[id]) { /* what follows a pass that raises the stage needs that stage */
        if (info->after > m->g->stage)
            diag_error(m->cx->diag, (SrcLoc){0},
                       "pass %s cannot be left out: the passes after it need a graph in stage %s, "
                       "and this one is in stage %s",
                       info->name, stage_name[info->after], stage_name[m->g->stage]);
        return info->after <= m->g->stage;
    }
    if (m->g->stage == STAGE_KERNEL && info->after < STAGE_KERNEL)
        return true; /* the text had its kernels already */
    const int errors = diag_errors(m->cx->diag);
    const double started = milliseconds();
    const bool changed = info->run(m->g, m->cx);
    const double took = milliseconds() - started;
    if (m->g->stage < info->after)
        m->g->stage = info->after;
    if (m->options->time_passes)
        sb_printf(m->options->out, "time %-13s %8.3f ms\n", info->name, took);
    if (m->options->print_after[id]) {
        sb_printf(m->options->out, "; after %s\n", info->name);
        graph_print(m->options->out, m->g);
    }
    if (diag_errors(m->cx->diag) != errors)
        return false;
    if (m->options->verify_each && !verify(m, info->name))
        return false;
    return !m->checker || !changed || checker_after(m->checker, m->g, id, m->options->out);
}

bool
pass_run_pipeline(Graph *g, PassCtx *cx, const PassOptions *options)
{
    Manager m = {.g = g, .cx = cx, .options = options};
    if (cx->threads < 1)
        cx->threads = 1;
    if (options->check_each) {
        m.checker = checker_new(g, cx, options->weights);
        if (!m.checker)
            return false;
    }
    bool ok = true;
    for (int i = 0; ok && i < pipeline_count; i++) {
        ok = run_one(&m, pipeline[i]);
        if ((int)pipeline[i] == options->stop_after)
            break;
    }
    ok = ok && (options->verify_each || verify(&m, "its passes"));
    if (m.checker)
        checker_free(m.checker);
    return ok;
}
