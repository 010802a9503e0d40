/* bench/page.h -- private to bench/: the page of ssmc explore, section by section. */
#ifndef SSMC_BENCH_PAGE_H
#define SSMC_BENCH_PAGE_H

#include "bench/explore.h"
#include "bench/svg.h"

typedef struct {
    StrBuf *out; /* of the section that is being written */
    Arena *arena;
    const ExploreTable *table;
    ExplorePanel *panels;
    int npanels;
    ExploreChoices choices;
    int figures; /* so far: their ids */
} Page;

/* A section writes into page->out what comes below its title; nothing: there is none. */
#define SECTION(id, title) void page_##id(Page *page);
#include "bench/page.def"
#undef SECTION

/* The panel with most threads and the longest prompts of those that differ in these alone. */
bool page_is_main(const Page *page, const ExplorePanel *panel);

/* Text of sb, which is emptied, in the page's arena. */
const char *page_keep(Page *page, StrBuf *sb);

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
void page_paragraph(Page *page, StrBuf *sentences); /* emptied */

#endif
