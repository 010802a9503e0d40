/* bench/page.c -- the page of ssmc explore: one file without a network, of well-formed XML that
 * every browser reads as HTML. */
#include "bench/page.h"

#include <string.h>

extern const char bench_page_css[]; /* bench/page.css */

static const struct {
    const char *title;
    void (*write)(Page *page);
} sections[] = {
#define SECTION(id, title) {title, page_##id},
#include "bench/page.def"
#undef SECTION
};

/* ---- pieces -------------------------------------------------------------------------------- */

const char *
page_keep(Page *page, StrBuf *sb)
{
    const char *text = arena_strdup(page->arena, sb_text(sb));
    sb_free(sb);
    return text;
}

bool
page_is_main(const Page *page, const ExplorePanel *panel)
{
    const ExploreRow *a = panel->key;
    for (int i = 0; i < page->npanels; i++) {
        const ExploreRow *b = page->panels[i].key;
        if (strcmp(a->dtype, b->dtype) != 0 || a->head_dim != b->head_dim || a->groups != b->groups)
            continue;
        if (b->threads > a->threads || (b->threads == a->threads && b->tokens > a->tokens))
            return false;
    }
    return true;
}

void
page_figure_begin(Page *page, const char *caption)
{
    sb_puts(page->out, "<figure>\n<figcaption>");
    svg_escape(page->out, caption);
    sb_puts(page->out, "</figcaption>\n");
}

void
page_figure_end(Page *page)
{
    sb_puts(page->out, "</figure>\n");
}

void
page_picture_begin(Page *page, const char *title, const char *desc, double height)
{
    svg_begin(page->out, arena_printf(page->arena, "f%d", ++page->figures), title, desc, height);
}

void
page_paragraph(Page *page, StrBuf *sentences)
{
    sb_puts(page->out, "<p>");
    svg_escape(page->out, sb_text(sentences));
    sb_puts(page->out, "</p>\n");
    sb_free(sentences);
}

/* ---- tables -------------------------------------------------------------------------------- */

/* What scrolls can be reached and named without a pointer. */
void
page_table_begin(Page *page, const char *summary, const char *caption, bool open)
{
    sb_printf(page->out, "<details%s>\n<summary>", open ? " open=\"open\"" : "");
    svg_escape(page->out, summary);
    sb_puts(page->out,
            "</summary>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"");
    svg_escape(page->out, caption);
    sb_puts(page->out, "\">\n<table>\n<caption>");
    svg_escape(page->out, caption);
    sb_puts(page->out, "</caption>\n<thead>\n");
}

void
page_row(Page *page, const char *kind)
{
    if (kind)
        sb_printf(page->out, "<tr class=\"%s\">", kind);
    else
        sb_puts(page->out, "<tr>");
}

static void
put_formatted(Page *page, const char *fmt, va_list args)
{
    StrBuf text = {0};
    sb_vprintf(&text, fmt, args);
    svg_escape(page->out, sb_text(&text));
    sb_free(&text);
}

void
page_head_cell(Page *page, const char *scope, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    sb_printf(page->out, "<th scope=\"%s\">", scope);
    put_formatted(page, fmt, args);
    sb_puts(page->out, "</th>");
    va_end(args);
}

void
page_cell(Page *page, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    sb_puts(page->out, "<td>");
    put_formatted(page, fmt, args);
    sb_puts(page->out, "</td>");
    va_end(args);
}

void
page_text_cell(Page *page, const char *text)
{
    sb_puts(page->out, "<td class=\"text\">");
    svg_escape(page->out, text);
    sb_puts(page->out, "</td>");
}

void
page_row_end(Page *page)
{
    sb_puts(page->out, "</tr>\n");
}

void
page_body(Page *page)
{
    sb_puts(page->out, "</thead>\n<tbody>\n");
}

void
page_table_end(Page *page)
{
    sb_puts(page->out, "</tbody>\n</table>\n</div>\n</details>\n");
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void
put_begin(StrBuf *out, const ExploreTable *t)
{
    sb_puts(out,
            "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
            "<meta charset=\"utf-8\"/>\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
            "<title>");
    svg_escape(out, t->head[HEAD_model]);
    sb_puts(out, " on ");
    svg_escape(out, t->head[HEAD_machine]);
    sb_puts(out, "</title>\n<style>\n");
    sb_puts(out, bench_page_css);
    sb_puts(out, "</style>\n</head>\n<body>\n<main>\n<h1>");
    svg_escape(out, t->head[HEAD_model]);
    sb_puts(out, ": what chunk length, state size and type cost</h1>\n<p class=\"lead\">");
    svg_escape(out, t->head[HEAD_machine]);
    sb_puts(out, ". Weights: ");
    svg_escape(out, t->head[HEAD_weights]);
    sb_puts(out, ". Begun ");
    svg_escape(out, t->head[HEAD_made]);
    sb_puts(out, " with ssmc ");
    svg_escape(out, t->head[HEAD_ssmc]);
    sb_puts(out, ".</p>\n");
}

void
explore_put_page(StrBuf *out, const ExploreTable *table)
{
    Page page = {.arena = arena_new(), .table = table};
    page.npanels = explore_panels(page.arena, table, &page.panels);
    page.choices = explore_choices(page.arena, page.panels, page.npanels);
    put_begin(out, table);
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        StrBuf text = {0};
        page.out = &text;
        sections[i].write(&page);
        if (text.len) {
            sb_puts(out, "<section>\n<h2>");
            svg_escape(out, sections[i].title);
            sb_puts(out, "</h2>\n");
            sb_puts(out, text.text);
            sb_puts(out, "</section>\n");
        }
        sb_free(&text);
    }
    sb_puts(out, "</main>\n</body>\n</html>\n");
    arena_free(page.arena);
}
