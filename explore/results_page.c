/* explore/results_page.c -- the page of ssmc explore (explore/sections.def). */
#include "explore/sections.h"

#include <string.h>

static const struct {
    const char *title;
    void (*write)(Page *page, const ExploreResults *results);
} sections[] = {
#define SECTION(id, title) {title, page_##id},
#include "explore/sections.def"
#undef SECTION
};

bool
panel_is_main(const ExploreResults *results, const ExplorePanel *panel)
{
    const ExploreRow *a = panel->key;
    for (int i = 0; i < results->npanels; i++) {
        const ExploreRow *b = results->panels[i].key;
        if (strcmp(a->dtype, b->dtype) != 0 || a->head_dim != b->head_dim || a->groups != b->groups)
            continue;
        if (b->threads > a->threads || (b->threads == a->threads && b->tokens > a->tokens))
            return false;
    }
    return true;
}

static void
put_begin(Page *page, const ExploreTable *t)
{
    StrBuf lead = {0};
    page_begin(page,
               arena_printf(page->arena, "%s on %s", t->head[HEAD_model], t->head[HEAD_machine]),
               arena_printf(page->arena, "%s: what chunk length, state size and type cost",
                            t->head[HEAD_model]));
    sb_printf(&lead, "%s. Weights: %s. Begun %s with ssmc %s.", t->head[HEAD_machine],
              t->head[HEAD_weights], t->head[HEAD_made], t->head[HEAD_ssmc]);
    page_lead(page, &lead);
}

void
explore_put_page(StrBuf *out, const ExploreTable *table)
{
    Page page = {.out = out, .arena = arena_new()};
    ExploreResults results = {.table = table};
    results.npanels = explore_panels(page.arena, table, &results.panels);
    results.choices = explore_choices(page.arena, results.panels, results.npanels);
    put_begin(&page, table);
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        StrBuf text = {0};
        page.out = &text;
        sections[i].write(&page, &results);
        if (text.len) {
            sb_puts(out, "<section>\n<h2>");
            svg_escape(out, sections[i].title);
            sb_puts(out, "</h2>\n");
            sb_puts(out, text.text);
            sb_puts(out, "</section>\n");
        }
        sb_free(&text);
    }
    page.out = out;
    page_end(&page);
    arena_free(page.arena);
}
