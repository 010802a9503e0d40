/* explore/figure.c -- the forms of an SSD, a selective scan and attention by length and by state
 * size, as a page and as CSV: what the Mamba-2 paper's figure of speed ("Transformers are SSMs",
 * section 9.3) shows, on this machine. */
#include "explore/figure.h"

#include <string.h>

#include "explore/page.h"

const FigureFormInfo figure_form[FIGURE_FORMS] = {
    [FIGURE_RECURRENT] = {"recurrent scan, f32",           "recurrent",      MIXER_SSD,       FORM_RECURRENT, false},
    [FIGURE_CHUNKED] = {"SSD in chunks, f32",            "chunked",        MIXER_SSD,       FORM_CHUNKED,   false},
    [FIGURE_CHUNKED_BF16] = {"SSD in chunks, bf16 dots",      "chunked",        MIXER_SSD,       FORM_CHUNKED,   true },
    [FIGURE_QUADRATIC] = {"quadratic, f32",                "quadratic",      MIXER_SSD,       FORM_QUADRATIC, false},
    [FIGURE_SCAN] = {"Mamba-1's selective scan, f32", "selective_scan", MIXER_SCAN,      FORM_AUTO,
                          false                                                                                    },
    [FIGURE_ATTENTION] = {"attention, f32",                "attention",      MIXER_ATTENTION, FORM_AUTO,      false},
    [FIGURE_ATTENTION_BF16] = {"attention, bf16 dots",          "attention",      MIXER_ATTENTION, FORM_AUTO,
                          true                                                                                     },
};

double
figure_milliseconds(const Figure *f, FigureForm form, int64_t state, int64_t tokens)
{
    if (!bench_mixer_has_size(figure_form[form].mixer))
        state = 0;
    for (int i = 0; i < f->count; i++) {
        const FigurePoint *p = &f->points[i];
        if (p->form == form && p->state == state && p->tokens == tokens && !p->why_not)
            return 1e3 * p->time.median;
    }
    return 0;
}

int64_t
figure_compared(const Figure *f)
{
    enum { WANTED = 4096 };
    int i = 0;
    while (i + 1 < f->ntokens && f->tokens[i + 1] <= WANTED)
        i++;
    return f->tokens[i];
}

/* ---- CSV --------------------------------------------------------------------------------- */

void
figure_put_csv(StrBuf *out, const Figure *f)
{
    sb_puts(out, "state,form,dot,chunk,tokens,milliseconds,spread,tokens_per_s,why_not\n");
    for (int i = 0; i < f->count; i++) {
        const FigurePoint *p = &f->points[i];
        if (p->state > 0)
            sb_printf(out, "%lld", (long long)p->state);
        sb_printf(out, ",%s,%s,", figure_form[p->form].name,
                  figure_form[p->form].bf16 ? "bf16" : "f32");
        if (p->chunk > 0)
            sb_printf(out, "%lld", (long long)p->chunk);
        sb_printf(out, ",%lld,", (long long)p->tokens);
        if (p->why_not)
            sb_printf(out, ",,,%s\n", p->why_not);
        else
            sb_printf(out, "%.6g,%.3g,%.6g,\n", 1e3 * p->time.median, p->time.spread,
                      (double)p->tokens * f->batch / p->time.median);
    }
}

/* ---- the page ---------------------------------------------------------------------------- */

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
        json_put(point, "state", p->state > 0 ? json_object_new_int64(p->state) : NULL);
        json_put(point, "tokens", json_object_new_int64(p->tokens));
        json_put(point, "chunk", p->chunk > 0 ? json_object_new_int64(p->chunk) : NULL);
        json_put(point, "milliseconds", ran ? json_number(1e3 * p->time.median) : NULL);
        json_put(point, "spread", ran ? json_number(p->time.spread) : NULL);
        json_put(point, "tokens_per_s",
                 ran ? json_number((double)p->tokens * f->batch / p->time.median) : NULL);
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

/* Each line as a paragraph. */
static void
put_lines(StrBuf *out, const char *at)
{
    StrBuf line = {0};
    for (size_t len; *at; at += len + (at[len] == '\n')) {
        len = strcspn(at, "\n");
        sb_putn(&line, at, len);
        page_element(out, "p", &line);
    }
    sb_free(&line);
}

static void
put_lead(StrBuf *out, const Figure *f)
{
    const bool quadratic = figure_has(f, FIGURE_QUADRATIC);
    sb_printf(out, "%s. %lld heads of %lld, %lld group%s; ", f->machine, (long long)f->size.heads,
              (long long)f->size.head_dim, (long long)f->size.groups,
              f->size.groups == 1 ? "" : "s");
    if (f->batch == 1)
        sb_puts(out, "one sequence from an empty state; ");
    else
        sb_printf(out, "%d sequences from empty states together; ", f->batch);
    sb_printf(out,
              "the kernels alone, medians of up to %d runs. Chunk lengths are the compiler's own "
              "choice%s. The selective scan has as many channels as the heads together, each with "
              "decays of its own. Attention is causal, with as many heads of queries, of keys and "
              "of values, and has no state size: it is the same beside every one.",
              f->repeats,
              quadratic ? "; the quadratic form is one chunk over all tokens"
                        : "; a pass has all tokens, and times are by the GPU's clock");
}

void
figure_put_page(StrBuf *out, const Figure *f)
{
    const char *title = figure_has(f, FIGURE_QUADRATIC)
                            ? "One SSD in its three forms, a selective scan and attention, by "
                              "length and by state size"
                            : "One SSD in two forms, a selective scan and attention, by length "
                              "and by state size";
    StrBuf says = {0};
    Json *points = points_json(f);
    Page page = {.title = title, .data = json_object_new_object()};
    json_put(page.data, "compared", json_object_new_int64(figure_compared(f)));
    json_put(page.data, "states", sizes_json(f->states, f->nstates));
    json_put(page.data, "tokens", sizes_json(f->tokens, f->ntokens));
    json_put(page.data, "points", points);
    sb_puts(&page.heading, title);
    put_lead(&page.lead, f);
    figure_say(&says, f);
    put_lines(&page.above, sb_text(&says));
    sb_free(&says);
    page_table(&page.below, "All points", "time of every form", false, points);
    page_write(out, &page);
}
