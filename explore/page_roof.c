/* explore/page_roof.c -- kernels under the machine's ceilings, and predictions beside measurements.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "explore/sections.h"

/* ---- kernels of a row ----------------------------------------------------------------------- */

enum { MOST_KERNELS = 64, NAME = 32 };

/* A phase's mark. */
typedef enum { SHAPE_prefill, SHAPE_head, SHAPE_decode, SHAPE_COUNT } PhaseShape;
static const char *const shape_name[SHAPE_COUNT] = {"prefill", "head", "decode"};

typedef struct {
    int phase; /* index of shape_name */
    char name[NAME];
    double seconds, flops, bytes;
} KernelPoint;

/* A field up to its colon; false: it is longer than anybody's. */
static bool
field_read(const char **at, char out[NAME])
{
    const size_t len = strcspn(*at, ": ");
    if (len == 0 || len >= NAME || (*at)[len] != ':')
        return false;
    memcpy(out, *at, len);
    out[len] = '\0';
    *at += len + 1;
    return true;
}

static bool
number_read(const char **at, double *out)
{
    char *end = NULL;
    *out = strtod(*at, &end);
    const bool ok = end != *at && isfinite(*out) && *out >= 0;
    *at = *end == ':' ? end + 1 : end;
    return ok;
}

static bool
kernel_read(const char *at, KernelPoint *out)
{
    char phase[NAME];
    double count = 0;
    if (!field_read(&at, phase) || !field_read(&at, out->name) || !number_read(&at, &count) ||
        !number_read(&at, &out->seconds) || !number_read(&at, &out->flops) ||
        !number_read(&at, &out->bytes))
        return false;
    out->phase = 0;
    while (out->phase < SHAPE_COUNT && strcmp(shape_name[out->phase], phase) != 0)
        out->phase++;
    return out->phase < SHAPE_COUNT && out->seconds > 0 && out->bytes > 0;
}

static int
kernels_read(const char *text, KernelPoint *out)
{
    int count = 0;
    for (const char *at = text; *at && count < MOST_KERNELS;) {
        const size_t len = strcspn(at, " ");
        count += kernel_read(at, &out[count]);
        at += len + (at[len] == ' ');
    }
    return count;
}

/* Names in the order they came, so that each has its colour. */
typedef struct {
    char text[MOST_KERNELS][NAME];
    int count;
} Names;

static int
name_index(Names *n, const char *name)
{
    int i = 0;
    while (i < n->count && strcmp(n->text[i], name) != 0)
        i++;
    if (i == n->count && n->count < MOST_KERNELS)
        memcpy(n->text[n->count++], name, strlen(name) + 1);
    return i;
}

/* ---- the machine's side -------------------------------------------------------------------- */

static const BenchCeilings *
ceilings_of(const ExploreResults *results, int64_t threads)
{
    const ExploreTable *t = results->table;
    for (int i = 0; i < t->nceilings; i++)
        if (t->ceilings[i].threads == threads)
            return &t->ceilings[i];
    return NULL;
}

/* The best peak that was probed beside any point of the panel. */
static double
peak_of(const ExplorePanel *p)
{
    double peak = 0;
    for (int i = 0; i < p->nlines * p->nstates; i++)
        if (p->cells[i] && explore_is_ok(p->cells[i]))
            peak = fmax(peak, p->cells[i]->peak_gops);
    return peak;
}

/* A bandwidth is a slope, up to where it meets the peak. */
static void
put_slope(const SvgChart *c, double gbs, double peak, const char *label)
{
    if (gbs <= 0)
        return;
    const double x0 = fmax(c->x.low, c->y.low / gbs), x1 = fmin(c->x.high, peak / gbs);
    if (x0 >= x1)
        return;
    svg_rule(c, x0, x0 * gbs, x1, x1 * gbs);
    svg_note(c, x0, x0 * gbs, "start", label);
}

/* ---- the roofline --------------------------------------------------------------------------- */

typedef struct {
    Page *page;
    const ExplorePanel *p;
    const BenchCeilings *c;
    double peak;
    Names multiply, names; /* of kernels that multiply, and of all */
    KernelPoint kernels[MOST_KERNELS];
} Roof;

/* Kernels of what the compiler chooses, or of the fastest, for a state. */
static int
roof_kernels(Roof *r, int state, const ExploreRow **row)
{
    *row = panel_chosen(r->p, state);
    if (!*row)
        *row = panel_best(r->p, state, NULL);
    return *row ? kernels_read((*row)->kernels, r->kernels) : 0;
}

static const char *
point_title(const Roof *r, const ExploreRow *row, const KernelPoint *k)
{
    return arena_printf(r->page->arena, "%s (%s), N=%lld: %.4g Gop/s, %.4g GB/s, %.3g op/byte",
                        k->name, shape_name[k->phase], (long long)row->state,
                        k->flops / k->seconds * 1e-9, k->bytes / k->seconds * 1e-9,
                        k->flops / k->bytes);
}

static void
put_points(Roof *r, const SvgChart *chart)
{
    for (int s = 0; s < r->p->nstates; s++) {
        const ExploreRow *row;
        const int count = roof_kernels(r, s, &row);
        for (int i = 0; i < count; i++) {
            const KernelPoint *k = &r->kernels[i];
            name_index(&r->names, k->name);
            if (k->flops <= 0)
                continue;
            const int colour = name_index(&r->multiply, k->name);
            const double x = k->flops / k->bytes;
            const double y = k->flops / k->seconds * 1e-9;
            svg_mark(r->page->out, colour, k->phase, svg_x(chart, x), svg_y(chart, y),
                     point_title(r, row, k));
        }
    }
}

static void
put_legend(Roof *r, const Names *names)
{
    sb_puts(r->page->out, "<p class=\"legend\">\n");
    for (int i = 0; names && i < names->count; i++)
        svg_legend(r->page->out, i, 0, false, names->text[i]);
    for (int i = 0; i < SHAPE_COUNT; i++)
        svg_legend(r->page->out, SVG_SERIES - 1, i, false, shape_name[i]);
    sb_puts(r->page->out, "</p>\n");
}

static void
put_table(Roof *r)
{
    Page *page = r->page;
    page_table_begin(page, "Table", "kernels of the compiler's own choice", false);
    page_row(page, NULL);
    page_head_cell(page, "col", "kernel");
    page_head_cell(page, "col", "phase");
    page_head_cell(page, "col", "N");
    page_head_cell(page, "col", "share of time");
    page_head_cell(page, "col", "Gop/s");
    page_head_cell(page, "col", "GB/s");
    page_head_cell(page, "col", "op/byte");
    page_row_end(page);
    page_body(page);
    for (int s = 0; s < r->p->nstates; s++) {
        const ExploreRow *row;
        const int count = roof_kernels(r, s, &row);
        double total[SHAPE_COUNT] = {0};
        for (int i = 0; i < count; i++)
            total[r->kernels[i].phase == SHAPE_decode] += r->kernels[i].seconds;
        for (int i = 0; i < count; i++) {
            const KernelPoint *k = &r->kernels[i];
            page_row(page, NULL);
            page_head_cell(page, "row", "%s", k->name);
            page_cell(page, "%s", shape_name[k->phase]);
            page_cell(page, "%lld", (long long)row->state);
            page_cell(page, "%.1f %%", 100 * k->seconds / total[k->phase == SHAPE_decode]);
            page_cell(page, "%.4g", k->flops / k->seconds * 1e-9);
            page_cell(page, "%.4g", k->bytes / k->seconds * 1e-9);
            page_cell(page, "%.3g", k->flops / k->bytes);
            page_row_end(page);
        }
    }
    page_table_end(page);
}

static void
put_roof(Roof *r, const char *caption)
{
    enum { HEIGHT = 280 };
    SvgChart chart;
    const SvgAxis x = svg_log("operations a byte that goes in or out", 0.1, 1000);
    const SvgAxis y = svg_log("Gop/s", 1, r->peak * 2);
    page_picture_begin(r->page, arena_printf(r->page->arena, "Roofline: %s", caption),
                       "Kernels that multiply, by operations a byte and operations a second, under "
                       "the machine's peak and its bandwidths.",
                       HEIGHT);
    svg_axes(&chart, r->page->out, &x, &y, HEIGHT);
    svg_rule(&chart, x.low, r->peak, x.high, r->peak);
    svg_note(&chart, x.high, r->peak, "end",
             arena_printf(r->page->arena, "peak %.0f Gop/s", r->peak));
    put_slope(&chart, r->c->read.median, r->peak, "memory");
    put_slope(&chart, r->c->l2.median, r->peak, "L2");
    put_points(r, &chart);
    svg_end(r->page->out);
    put_legend(r, &r->multiply);
}

/* ---- kernels that multiply nothing ----------------------------------------------------------- */

static void
put_mover(Roof *r, double y, const char *name, double low, double high)
{
    const double left = 78, right = SVG_WIDTH - 12;
    sb_printf(r->page->out,
              "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n"
              "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">",
              left, right, y, y, left - 6, y + 4);
    svg_escape(r->page->out, name);
    sb_puts(r->page->out, "</text>\n");
    for (int s = 0; s < r->p->nstates; s++) {
        const ExploreRow *row;
        const int count = roof_kernels(r, s, &row);
        for (int i = 0; i < count; i++) {
            const KernelPoint *k = &r->kernels[i];
            const double gbs = fmin(high, fmax(low, k->bytes / k->seconds * 1e-9));
            if (strcmp(k->name, name) != 0)
                continue;
            svg_mark(r->page->out, name_index(&r->names, name), k->phase,
                     left + (right - left) * log(gbs / low) / log(high / low), y,
                     point_title(r, row, k));
        }
    }
}

/* Bandwidth of every kernel, a line each. */
static void
put_movers(Roof *r, const char *caption)
{
    enum { ROW = 20, TOP = 30 };
    const double low = 0.1, high = 4000, left = 78, right = SVG_WIDTH - 12;
    const struct {
        const char *name;
        double gbs;
    } limits[] = {
        {"memory", r->c->read.median},
        {"L2",     r->c->l2.median  },
        {"L1",     r->c->l1.median  },
    };
    const double bottom = TOP + ROW * (double)r->names.count;
    page_picture_begin(r->page, arena_printf(r->page->arena, "Bandwidth of kernels: %s", caption),
                       "Every kernel by bytes that go in and out of it a second, beside the "
                       "bandwidths of memory and caches.",
                       bottom + 34);
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        const double x = left + (right - left) * log(limits[i].gbs / low) / log(high / low);
        if (limits[i].gbs > low && limits[i].gbs < high)
            sb_printf(
                r->page->out,
                "<line class=\"rule\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%.1f\"/>\n"
                "<text class=\"small\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                x, x, TOP - 12, bottom, x, TOP - 16, limits[i].name);
    }
    for (int i = 0; i < r->names.count; i++)
        put_mover(r, TOP + ROW * i + 4, r->names.text[i], low, high);
    for (double at = 0.1; at <= 1000; at *= 10)
        sb_printf(r->page->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n",
                  left + (right - left) * log(at / low) / log(high / low), bottom + 14, at);
    sb_printf(r->page->out,
              "<text class=\"axis\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">GB/s</text>\n",
              (left + right) / 2, bottom + 29);
    svg_end(r->page->out);
    put_legend(r, NULL);
}

static void
put_kernels(Roof *r)
{
    StrBuf title = {0};
    panel_title(&title, r->p, false);
    const char *caption = page_keep(r->page, &title);
    page_figure_begin(r->page, caption);
    put_roof(r, caption);
    put_movers(r, caption);
    put_table(r);
    page_figure_end(r->page);
}

void
page_roof(Page *page, const ExploreResults *results)
{
    StrBuf text = {0};
    Roof *r = arena_alloc(page->arena, sizeof *r);
    bool any = false;
    for (int i = 0; i < results->npanels; i++) {
        const ExplorePanel *p = &results->panels[i];
        const ExploreRow *row;
        *r = (Roof){
            .page = page, .p = p, .c = ceilings_of(results, p->key->threads), .peak = peak_of(p)};
        int kernels = 0;
        for (int s = 0; s < p->nstates; s++)
            kernels += roof_kernels(r, s, &row);
        if (!panel_is_main(results, p) || !r->c || r->peak <= 0 || kernels == 0)
            continue;
        if (!any) {
            sb_puts(
                &text,
                "Every kernel of the compiler's own choice for each state size, timed once more "
                "by itself. Operations are the multiply-adds of projections and SSDs; kernels "
                "without any are in the second picture alone. Bytes are operands in and "
                "results out, each once, wherever they lie: what stays in a cache may be above "
                "the memory's line.");
            page_paragraph(page, &text);
            page_figures_begin(page);
        }
        any = true;
        put_kernels(r);
    }
    if (any)
        page_figures_end(page);
}
