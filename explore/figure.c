/* explore/figure.c -- the forms of an SSD and a selective scan by length and by state size, as a
 * page and as CSV: what the Mamba-2 paper's figure of speed ("Transformers are SSMs", section 9.3)
 * shows, on this machine. */
#include "explore/figure.h"

#include "explore/page.h"

const FigureFormInfo figure_form[FIGURE_FORMS] = {
    [FIGURE_RECURRENT] = {"recurrent scan, f32",           "recurrent",      FORM_RECURRENT, false},
    [FIGURE_CHUNKED] = {"SSD in chunks, f32",            "chunked",        FORM_CHUNKED,   false},
    [FIGURE_CHUNKED_BF16] = {"SSD in chunks, bf16 dots",      "chunked",        FORM_CHUNKED,   true },
    [FIGURE_QUADRATIC] = {"quadratic, f32",                "quadratic",      FORM_QUADRATIC, false},
    [FIGURE_SCAN] = {"Mamba-1's selective scan, f32", "selective_scan", FORM_RECURRENT, false},
};

/* ---- CSV --------------------------------------------------------------------------------- */

void
figure_put_csv(StrBuf *out, const Figure *f)
{
    sb_puts(out, "state,form,dot,chunk,tokens,milliseconds,spread,tokens_per_s,why_not\n");
    for (int i = 0; i < f->count; i++) {
        const FigurePoint *p = &f->points[i];
        sb_printf(out, "%lld,%s,%s,", (long long)p->state, figure_form[p->form].name,
                  figure_form[p->form].bf16 ? "bf16" : "f32");
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

/* The one thing the paper's figure is about: what a larger state costs in either form. */
static void
put_growth(StrBuf *out, const Figure *f, int64_t tokens)
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
        sb_printf(&text, "%s %.1f times as long (%s)", before, high / low, figure_form[form].label);
        before = ",";
    }
    sb_puts(&text, ".");
    if (*before)
        page_element(out, "p", &text);
    sb_free(&text);
}

static void
put_missing(StrBuf *out, const Figure *f)
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
    page_element(out, "p", &text);
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

/* [points], as the table shows them. */
static Json *
points_json(const Figure *f)
{
    Json *points = json_object_new_array();
    for (int i = 0; i < f->count; i++) {
        const FigurePoint *p = &f->points[i];
        const bool ran = !p->why_not;
        Json *point = json_object_new_object();
        json_put_text(point, "label", figure_form[p->form].label);
        json_put(point, "state", json_object_new_int64(p->state));
        json_put(point, "tokens", json_object_new_int64(p->tokens));
        json_put(point, "chunk", p->chunk > 0 ? json_object_new_int64(p->chunk) : NULL);
        json_put(point, "milliseconds", ran ? json_number(1e3 * p->time.median) : NULL);
        json_put(point, "spread", ran ? json_number(p->time.spread) : NULL);
        json_put(point, "tokens_per_s",
                 ran ? json_number((double)p->tokens / p->time.median) : NULL);
        json_put_text(point, "why_not", ran ? "" : p->why_not);
        json_object_array_add(points, point);
    }
    return points;
}

static Json *
sizes_json(const int64_t *sizes, int count)
{
    Json *array = json_object_new_array();
    for (int i = 0; i < count; i++)
        json_object_array_add(array, json_object_new_int64(sizes[i]));
    return array;
}

void
figure_put_page(StrBuf *out, const Figure *f)
{
    static const char title[] =
        "One SSD in its three forms and a selective scan, by length and by state size";
    const int64_t compared = length_for_states(f);
    Json *points = points_json(f);
    Page page = {.title = title, .data = json_object_new_object()};
    json_put(page.data, "compared", json_object_new_int64(compared));
    json_put(page.data, "states", sizes_json(f->states, f->nstates));
    json_put(page.data, "tokens", sizes_json(f->tokens, f->ntokens));
    json_put(page.data, "points", points);
    sb_puts(&page.heading, title);
    sb_printf(
        &page.lead,
        "%s. %lld heads of %lld, %lld group%s; one sequence from an empty state; the kernel "
        "alone, medians of %d runs. Chunk lengths are the compiler's own choice; the "
        "quadratic form is one chunk over all tokens; the selective scan has as many channels "
        "as the heads together, each with decays of its own.",
        f->machine, (long long)f->size.heads, (long long)f->size.head_dim,
        (long long)f->size.groups, f->size.groups == 1 ? "" : "s", f->repeats);
    put_growth(&page.above, f, compared);
    put_missing(&page.above, f);
    page_table(&page.below, "All points", "time of every form", false, points);
    page_write(out, &page);
}
