/* explore/results_page.c -- the page of ssmc explore. The script draws charts from the JSON of the
 * results; what was found, all results and the method are there without it. */
#include "explore/explore.h"
#include "explore/page.h"

static void
put_found(StrBuf *out, const ExploreGrid *grids, int count, const ExploreTable *t)
{
    StrBuf text = {0};
    sb_puts(out, "<section>\n<h2>What was found</h2>\n");
    for (int i = 0; i < count; i++) {
        if (!grid_is_main(grids, count, i))
            continue;
        grid_title(&text, &grids[i], true);
        page_element(out, "h3", &text);
        sb_puts(out, "<ul>\n");
        explore_say_best(&text, &grids[i]);
        page_element(out, "li", &text);
        if (grids[i].nstates > 1) {
            explore_say_fall(&text, &grids[i]);
            explore_say_verdict(&text, &grids[i]);
            page_element(out, "li", &text);
        }
        sb_puts(out, "</ul>\n");
    }
    sb_puts(out, "<h3>Choices, and noise</h3>\n<ul>\n");
    for (int f = 0; f < FORMAT_COUNT; f++) {
        explore_say_attention(&text, t, format_info[f].name);
        if (text.len > 0)
            page_element(out, "li", &text);
    }
    const ExploreChoices choices = explore_choices(t->arena, grids, count);
    explore_say_choices(&text, &choices);
    page_element(out, "li", &text);
    explore_say_noise(&text, t);
    page_element(out, "li", &text);
    sb_puts(out, "</ul>\n</section>\n");
}

/* All columns but the kernels', which the script makes tables of. */
static void
put_all(StrBuf *out, const ExploreTable *t)
{
    Json *rows = explore_rows_json(t);
    for (size_t i = 0; i < json_object_array_length(rows); i++)
        json_object_object_del(json_object_array_get_idx(rows, i),
                               column_info[COLUMN_kernels].name);
    sb_puts(out, "<section>\n<h2>All results</h2>\n");
    page_table(out, arena_printf(t->arena, "%d rows, as in the file of results", t->nrows),
               "results", false, rows);
    sb_puts(out, "</section>\n");
    json_object_put(rows);
}

static void
put_term(StrBuf *out, const char *term, const char *meaning)
{
    sb_puts(out, "<dt>");
    page_escape(out, term);
    sb_puts(out, "</dt><dd>");
    page_escape(out, meaning);
    sb_puts(out, "</dd>\n");
}

static void
put_method(StrBuf *out, const ExploreTable *t)
{
    Json *ceilings = json_object_new_array();
    for (int i = 0; i < t->nceilings; i++) {
        Json *row = json_object_new_object();
        json_put(row, "threads", json_object_new_int(t->ceilings[i].threads));
        for (int c = 0; c < CEILING_COUNT; c++)
            json_put(row, ceiling_info[c].label,
                     json_number(ceiling_of(&t->ceilings[i], c)->median));
        json_object_array_add(ceilings, row);
    }
    sb_puts(out, "<section>\n<h2>Machine and method</h2>\n<dl>\n");
    for (int id = 0; id < HEAD_COUNT; id++)
        put_term(out, head_info[id].doc, t->head[id]);
    sb_puts(out,
            "</dl>\n<p>Points that share sizes and type share their packed weights. All of them "
            "are compiled, then measured in turn, pass after pass, every other pass backwards: a "
            "machine that slows down slows all alike. Numbers are medians; the machine's ceilings "
            "are probed again before and after each measurement, and shares are of what was "
            "probed there.</p>\n");
    page_table(out, "Ceilings",
               "what the machine can do at most, by emitted probes, as the run began", true,
               ceilings);
    sb_puts(out, "<details>\n<summary>What the columns mean</summary>\n<dl>\n");
    for (int id = 0; id < COLUMN_COUNT; id++)
        put_term(out, column_info[id].name, column_info[id].doc);
    sb_puts(out, "</dl>\n</details>\n</section>\n");
    json_object_put(ceilings);
}

void
explore_put_page(StrBuf *out, const ExploreTable *t)
{
    ExploreGrid *grids = NULL;
    const int count = explore_grids(t->arena, t, &grids);
    Page page = {.title =
                     arena_printf(t->arena, "%s on %s", t->head[HEAD_model], t->head[HEAD_machine]),
                 .data = explore_json(t)};
    sb_printf(&page.heading, "%s: what chunk length, state size and type cost",
              t->head[HEAD_model]);
    sb_printf(&page.lead, "%s. Weights: %s. Begun %s with ssmc %s.", t->head[HEAD_machine],
              t->head[HEAD_weights], t->head[HEAD_made], t->head[HEAD_ssmc]);
    put_found(&page.above, grids, count, t);
    put_all(&page.below, t);
    put_method(&page.below, t);
    page_write(out, &page);
}
