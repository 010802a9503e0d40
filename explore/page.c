/* explore/page.c -- pieces of a page of HTML (explore/page.h). */
#include "explore/page.h"

extern const char explore_page_css[]; /* explore/page.css */

const char *
page_keep(Page *page, StrBuf *sb)
{
    const char *text = arena_strdup(page->arena, sb_text(sb));
    sb_free(sb);
    return text;
}

/* ---- the frame ----------------------------------------------------------------------------- */

void
page_begin(Page *page, const char *title, const char *heading)
{
    sb_puts(page->out,
            "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
            "<meta charset=\"utf-8\"/>\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
            "<title>");
    svg_escape(page->out, title);
    sb_puts(page->out, "</title>\n<style>\n");
    sb_puts(page->out, explore_page_css);
    sb_puts(page->out, "</style>\n</head>\n<body>\n<main>\n<h1>");
    svg_escape(page->out, heading);
    sb_puts(page->out, "</h1>\n");
}

void
page_end(Page *page)
{
    sb_puts(page->out, "</main>\n</body>\n</html>\n");
}

static void
put_paragraph(Page *page, const char *tag, StrBuf *sentences)
{
    sb_puts(page->out, tag);
    svg_escape(page->out, sb_text(sentences));
    sb_puts(page->out, "</p>\n");
    sb_free(sentences);
}

void
page_lead(Page *page, StrBuf *sentences)
{
    put_paragraph(page, "<p class=\"lead\">", sentences);
}

void
page_paragraph(Page *page, StrBuf *sentences)
{
    put_paragraph(page, "<p>", sentences);
}

/* ---- figures ------------------------------------------------------------------------------- */

void
page_figures_begin(Page *page)
{
    sb_puts(page->out, "<div class=\"figures\">\n");
}

void
page_figures_end(Page *page)
{
    sb_puts(page->out, "</div>\n");
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
