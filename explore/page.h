/* explore/page.h -- private to explore/: a page of HTML in one file: static text and tables, data
 * as JSON, and the script that draws charts from it (explore/page.html, page.css, page.js). */
#ifndef SSMC_EXPLORE_PAGE_H
#define SSMC_EXPLORE_PAGE_H

#include "bench/json.h"

typedef struct {
    const char *title;    /* of the window */
    StrBuf heading, lead; /* text */
    StrBuf above, below;  /* HTML around the charts */
    Json *data;           /* what the charts are drawn from */
} Page;
/* Appends the page and frees what it is made of. */
void page_write(StrBuf *out, Page *page);

/* Text as HTML: it may hold anything. */
void page_escape(StrBuf *out, const char *text);
/* <tag>text</tag>; the text is emptied. */
void page_element(StrBuf *out, const char *tag, StrBuf *text);
/* A table behind a line that opens it (open: shown at once). Rows are objects of equal keys; a
 * column is a key. */
void page_table(StrBuf *out, const char *summary, const char *caption, bool open, Json *rows);

#endif
