/* explore/page.h -- private to explore/: a page of HTML, piece by piece: one file that needs
 * nothing else, of well-formed XML that every browser reads as HTML. Text is escaped by whoever
 * puts it. */
#ifndef SSMC_EXPLORE_PAGE_H
#define SSMC_EXPLORE_PAGE_H

#include "explore/svg.h"

typedef struct {
    StrBuf *out;
    Arena *arena;
    int figures; /* so far: their ids */
} Page;

/* Text of sb, which is emptied, in the page's arena. */
const char *page_keep(Page *page, StrBuf *sb);

void page_begin(Page *page, const char *title, const char *heading);
void page_end(Page *page);
void page_lead(Page *page, StrBuf *sentences);      /* below the heading; emptied */
void page_paragraph(Page *page, StrBuf *sentences); /* emptied */

/* Figures side by side, as many as there is room for. */
void page_figures_begin(Page *page);
void page_figures_end(Page *page);
/* A figure: its caption, the picture (page_picture_begin .. svg_end), a legend, its table. */
void page_figure_begin(Page *page, const char *caption);
void page_figure_end(Page *page);
/* An id of its own is made. */
void page_picture_begin(Page *page, const char *title, const char *desc, double height);

/* A table behind a line that opens it; open: shown at once. */
void page_table_begin(Page *page, const char *summary, const char *caption, bool open);
void page_row(Page *page, const char *kind); /* its class; NULL: none */
void page_head_cell(Page *page, const char *scope, const char *fmt, ...) PRINTF_LIKE(3, 4);
void page_cell(Page *page, const char *fmt, ...) PRINTF_LIKE(2, 3);
void page_text_cell(Page *page, const char *text);
void page_body(Page *page); /* the head's row ends */
void page_row_end(Page *page);
void page_table_end(Page *page);

#endif
