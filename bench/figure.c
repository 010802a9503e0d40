/* bench/figure.c -- the forms of an SSD by length and by state size, as a page and as CSV: what the
 * Mamba-2 paper's figure of speed ("Transformers are SSMs", section 9.3) shows, on this machine. */
#include "bench/figure.h"

#include "bench/plot.h"
#include "bench/svg.h"

static const char *const form_label[FIGURE_FORMS] = {
    [FIGURE_RECURRENT] = "recurrent scan, f32",
    [FIGURE_CHUNKED] = "SSD in chunks, f32",
    [FIGURE_CHUNKED_BF16] = "SSD in chunks, bf16 dots",
    [FIGURE_QUADRATIC] = "quadratic, f32",
};
static const char *const form_word[FIGURE_FORMS] = {
    [FIGURE_RECURRENT] = "recurrent",
    [FIGURE_CHUNKED] = "chunked",
    [FIGURE_CHUNKED_BF16] = "chunked",
    [FIGURE_QUADRATIC] = "quadratic",
};

const char *
figure_form(FigureForm form)
{
    return form_word[form];
}

bool
figure_bf16(FigureForm form)
{
    return form == FIGURE_CHUNKED_BF16;
}

/* ---- CSV --------------------------------------------------------------------------------- */

void
figure_put_csv(StrBuf *out, const Figure *f)
{
    sb_puts(out, "state,form,dot,chunk,tokens,milliseconds,spread,tokens_per_s,why_not\n");
    for (int i = 0; i < f->count; i++) {
        const FigurePoint *p = &f->points[i];
        sb_printf(out, "%lld,%s,%s,", (long long)p->state, figure_form(p->form),
                  figure_bf16(p->form) ? "bf16" : "f32");
        if (p->chunk > 0)
            sb_printf(out, "%lld", (long long)p->chunk);
        sb_printf(out, ",%lld,", (long long)p->tokens);
        if (p->why_not)
            sb_printf(out, ",,,%s\n", p->why_not);
        else
            sb_printf(out, "%.6g,%.3g,%.6g,\n", 1e3 * p->time.median, p->time.spread,
                      (double)p->tokens / p->time.median);
    }
}

/* ---- the page ---------------------------------------------------------------------------- */

static double
milliseconds(const Figure *f, FigureForm form, int64_t state, int64_t tokens)
{
    for (int i = 0; i < f->count; i++) {
        const FigurePoint *p = &f->points[i];
        if (p->form == form && p->state == state && p->tokens == tokens && !p->why_not)
            return 1e3 * p->time.median;
    }
    return 0;
}

/* What was run at all: without a dot of pairs there is no line of it. */
static bool
has_form(const Figure *f, FigureForm form)
{
    for (int i = 0; i < f->count; i++)
        if (f->points[i].form == form && !f->points[i].why_not)
            return true;
    return false;
}

/* A line a form, over lengths at one state (state > 0) or over states at one length. */
static void
put_chart(StrBuf *out, const Figure *f, Arena *arena, int64_t state, int64_t tokens)
{
    const bool by_length = state > 0;
    Plot c = {.y_label = "milliseconds"};
    const int points = by_length ? f->ntokens : f->nstates;
    for (int i = 0; i < points; i++)
        c.x[c.points++] = (double)(by_length ? f->tokens[i] : f->states[i]);
    for (int form = 0; form < FIGURE_FORMS; form++) {
        if (!has_form(f, (FigureForm)form))
            continue;
        PlotLine *line = &c.line[c.lines++];
        line->name = form_label[form];
        for (int i = 0; i < points; i++)
            line->y[i] = milliseconds(f, (FigureForm)form, by_length ? state : f->states[i],
                                      by_length ? f->tokens[i] : tokens);
    }
    c.x_label = by_length ? "tokens" : "state size N";
    c.title = by_length ? arena_printf(arena, "By length, N = %lld", (long long)state)
                        : arena_printf(arena, "By state size, %lld tokens", (long long)tokens);
    plot_chart(out, &c,
               arena_printf(arena, by_length ? "n%lld" : "t%lld",
                            (long long)(by_length ? state : tokens)));
}

/* The one thing the paper's figure is about: what a larger state costs in either form. */
static void
put_growth(StrBuf *out, const Figure *f, int64_t tokens)
{
    const int64_t least = f->states[0], most = f->states[f->nstates - 1];
    sb_printf(out, "<p>From N = %lld to N = %lld, %lld tokens take", (long long)least,
              (long long)most, (long long)tokens);
    const char *before = "";
    for (int form = 0; form < FIGURE_FORMS; form++) {
        const double low = milliseconds(f, (FigureForm)form, least, tokens);
        const double high = milliseconds(f, (FigureForm)form, most, tokens);
        if (low <= 0 || high <= 0)
            continue;
        sb_printf(out, "%s %.1f times as long (", before, high / low);
        svg_escape(out, form_label[form]);
        sb_puts(out, ")");
        before = ",";
    }
    sb_puts(out, ".</p>\n");
}

static void
put_missing(StrBuf *out, const Figure *f)
{
    const FigurePoint *first = NULL;
    int count = 0;
    for (int i = 0; i < f->count; i++)
        if (f->points[i].why_not) {
            first = first ? first : &f->points[i];
            count++;
        }
    if (!first)
        return;
    sb_printf(out, "<p>%d points were not run; the first, %lld tokens: ", count,
              (long long)first->tokens);
    svg_escape(out, first->why_not);
    sb_puts(out, ".</p>\n");
}

/* States are compared at a length that is long, but not so long that the quadratic form is out. */
static int64_t
length_for_states(const Figure *f)
{
    enum { WANTED = 4096 };
    int i = 0;
    while (i + 1 < f->ntokens && f->tokens[i + 1] <= WANTED)
        i++;
    return f->tokens[i];
}

void
figure_put_page(StrBuf *out, const Figure *f)
{
    const int64_t tokens = length_for_states(f);
    Arena *arena = arena_new();
    plot_page_begin(out, "One SSD in its three forms, by length and by state size");
    sb_puts(out, "<p>");
    svg_escape(out, f->machine);
    sb_printf(out,
              ". %lld heads of %lld, %lld group%s; one sequence from an empty state; the kernel "
              "alone, medians of %d runs. Chunk lengths are the compiler's own choice; the "
              "quadratic form is one chunk over all tokens.</p>\n",
              (long long)f->size.heads, (long long)f->size.head_dim, (long long)f->size.groups,
              f->size.groups == 1 ? "" : "s", f->repeats);
    put_growth(out, f, tokens);
    put_missing(out, f);
    put_chart(out, f, arena, 0, tokens);
    for (int i = 0; i < f->nstates; i++)
        put_chart(out, f, arena, f->states[i], 0);
    plot_page_end(out);
    arena_free(arena);
}
