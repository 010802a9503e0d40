/* explore/figure.c -- the forms of an SSD by length and by state size, as a page and as CSV: what
 * the Mamba-2 paper's figure of speed ("Transformers are SSMs", section 9.3) shows, on this
 * machine. */
#include "explore/figure.h"

#include "explore/curves.h"

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

/* A curve a form that was run, over lengths at one state (state > 0) or over states at one length.
 */
static int
form_curves(Page *page, const Figure *f, int64_t state, int64_t tokens, Curve curves[FIGURE_FORMS])
{
    const int points = state > 0 ? f->ntokens : f->nstates;
    int count = 0;
    for (int form = 0; form < FIGURE_FORMS; form++) {
        Curve *c = &curves[count];
        *c = curve_new(page, form_label[form], form, points);
        for (int i = 0; i < points; i++) {
            const int64_t N = state > 0 ? state : f->states[i];
            const int64_t T = state > 0 ? f->tokens[i] : tokens;
            const double ms = milliseconds(f, (FigureForm)form, N, T);
            if (ms > 0)
                curve_add(c, (double)(state > 0 ? T : N), ms,
                          arena_printf(page->arena, "%s, N = %lld, %lld tokens: %.4g ms", c->name,
                                       (long long)N, (long long)T, ms));
        }
        count += c->count > 0;
    }
    return count;
}

static void
put_chart(Page *page, const Figure *f, int64_t state, int64_t tokens)
{
    Curve curves[FIGURE_FORMS];
    const int count = form_curves(page, f, state, tokens, curves);
    const SvgAxis x = state > 0 ? svg_values("tokens", f->tokens, f->ntokens)
                                : svg_values("state size N", f->states, f->nstates);
    const SvgAxis y = svg_log("milliseconds", curves_lowest(curves, count) / 1.5,
                              1.5 * curves_highest(curves, count));
    const char *caption =
        state > 0 ? arena_printf(page->arena, "By length, N = %lld", (long long)state)
                  : arena_printf(page->arena, "By state size, %lld tokens", (long long)tokens);
    const CurveFigure figure = {caption,
                                arena_printf(page->arena, "Time of each form: %s", caption),
                                "Milliseconds that the kernel of each form takes; both axes are "
                                "logarithmic.",
                                "milliseconds", state > 0 ? "tokens" : "N"};
    if (count > 0)
        curves_figure(page, &figure, &x, &y, curves, count);
}

/* The one thing the paper's figure is about: what a larger state costs in either form. */
static void
put_growth(Page *page, const Figure *f, int64_t tokens)
{
    const int64_t least = f->states[0], most = f->states[f->nstates - 1];
    const char *before = "";
    StrBuf text = {0};
    sb_printf(&text, "From N = %lld to N = %lld, %lld tokens take", (long long)least,
              (long long)most, (long long)tokens);
    for (int form = 0; form < FIGURE_FORMS; form++) {
        const double low = milliseconds(f, (FigureForm)form, least, tokens);
        const double high = milliseconds(f, (FigureForm)form, most, tokens);
        if (low <= 0 || high <= 0)
            continue;
        sb_printf(&text, "%s %.1f times as long (%s)", before, high / low, form_label[form]);
        before = ",";
    }
    sb_puts(&text, ".");
    if (*before)
        page_paragraph(page, &text);
    sb_free(&text);
}

static void
put_missing(Page *page, const Figure *f)
{
    const FigurePoint *first = NULL;
    int count = 0;
    StrBuf text = {0};
    for (int i = 0; i < f->count; i++)
        if (f->points[i].why_not) {
            first = first ? first : &f->points[i];
            count++;
        }
    if (!first)
        return;
    sb_printf(&text, "%d points were not run; the first, %lld tokens: %s.", count,
              (long long)first->tokens, first->why_not);
    page_paragraph(page, &text);
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

static void
put_lead(Page *page, const Figure *f)
{
    StrBuf text = {0};
    sb_printf(&text,
              "%s. %lld heads of %lld, %lld group%s; one sequence from an empty state; the kernel "
              "alone, medians of %d runs. Chunk lengths are the compiler's own choice; the "
              "quadratic form is one chunk over all tokens.",
              f->machine, (long long)f->size.heads, (long long)f->size.head_dim,
              (long long)f->size.groups, f->size.groups == 1 ? "" : "s", f->repeats);
    page_lead(page, &text);
}

void
figure_put_page(StrBuf *out, const Figure *f)
{
    static const char title[] = "One SSD in its three forms, by length and by state size";
    const int64_t tokens = length_for_states(f);
    Page page = {.out = out, .arena = arena_new()};
    page_begin(&page, title, title);
    put_lead(&page, f);
    put_growth(&page, f, tokens);
    put_missing(&page, f);
    page_figures_begin(&page);
    put_chart(&page, f, 0, tokens);
    for (int i = 0; i < f->nstates; i++)
        put_chart(&page, f, f->states[i], 0);
    page_figures_end(&page);
    page_end(&page);
    arena_free(page.arena);
}
