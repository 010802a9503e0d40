/* explore/page.c -- see page.h. */
#include "explore/page.h"

#include <string.h>

/* explore/page.html, page.css and page.js, made by cmake/text.cmake. */
extern const char explore_page_html[], explore_page_css[], explore_page_js[];

void
page_escape(StrBuf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        const unsigned char c = (unsigned char)*p;
        if (c == '&')
            sb_puts(out, "&amp;");
        else if (c == '<')
            sb_puts(out, "&lt;");
        else if (c == '>')
            sb_puts(out, "&gt;");
        else if (c == '"')
            sb_puts(out, "&quot;");
        else
            sb_putn(out, c < 32 || c == 127 ? " " : p, 1);
    }
}

void
page_element(StrBuf *out, const char *tag, StrBuf *text)
{
    sb_printf(out, "<%s>", tag);
    page_escape(out, sb_text(text));
    sb_printf(out, "</%s>\n", tag);
    sb_free(text);
}

/* ---- tables -------------------------------------------------------------------------------- */

static void
put_cell(StrBuf *out, Json *value)
{
    const json_type type = json_object_get_type(value);
    sb_puts(out, type == json_type_string ? "<td class=\"text\">" : "<td>");
    if (type == json_type_double)
        sb_printf(out, "%.5g", json_object_get_double(value));
    else if (value)
        page_escape(out, json_object_get_string(value));
    sb_puts(out, "</td>");
}

/* What scrolls can be reached and named without a pointer. */
void
page_table(StrBuf *out, const char *summary, const char *caption, bool open, Json *rows)
{
    const size_t count = json_object_array_length(rows);
    struct json_object_iter i;
    sb_printf(out, "<details%s>\n<summary>", open ? " open=\"open\"" : "");
    page_escape(out, summary);
    sb_puts(out, "</summary>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"");
    page_escape(out, caption);
    sb_puts(out, "\">\n<table>\n<caption>");
    page_escape(out, caption);
    sb_puts(out, "</caption>\n<thead>\n<tr>");
    if (count > 0) {
        json_object_object_foreachC(json_object_array_get_idx(rows, 0), i)
        {
            sb_puts(out, "<th scope=\"col\">");
            page_escape(out, i.key);
            sb_puts(out, "</th>");
        }
    }
    sb_puts(out, "</tr>\n</thead>\n<tbody>\n");
    for (size_t r = 0; r < count; r++) {
        sb_puts(out, "<tr>");
        json_object_object_foreachC(json_object_array_get_idx(rows, r), i) put_cell(out, i.val);
        sb_puts(out, "</tr>\n");
    }
    sb_puts(out, "</tbody>\n</table>\n</div>\n</details>\n");
}

/* ---- the page ------------------------------------------------------------------------------ */

/* No text of the data can end the script element that holds it. */
static void
put_data(StrBuf *out, Json *data)
{
    StrBuf text = {0};
    json_write(&text, data, false);
    for (const char *p = sb_text(&text); *p; p++)
        if (*p == '<') /* only ever inside a string */
            sb_puts(out, "\\u003c");
        else
            sb_putn(out, p, 1);
    sb_free(&text);
}

void
page_write(StrBuf *out, Page *page)
{
    StrBuf title = {0}, heading = {0}, lead = {0}, data = {0};
    page_escape(&title, page->title);
    page_escape(&heading, sb_text(&page->heading));
    page_escape(&lead, sb_text(&page->lead));
    put_data(&data, page->data);
    const struct {
        const char *name, *text;
    } parts[] = {
        {"{{title}}",   sb_text(&title)      },
        {"{{style}}",   explore_page_css     },
        {"{{heading}}", sb_text(&heading)    },
        {"{{lead}}",    sb_text(&lead)       },
        {"{{above}}",   sb_text(&page->above)},
        {"{{below}}",   sb_text(&page->below)},
        {"{{data}}",    sb_text(&data)       },
        {"{{script}}",  explore_page_js      },
    };
    for (const char *at = explore_page_html; *at;) {
        size_t i = 0;
        while (i < COUNT_OF(parts) && strncmp(at, parts[i].name, strlen(parts[i].name)) != 0)
            i++;
        if (i < COUNT_OF(parts)) {
            sb_puts(out, parts[i].text);
            at += strlen(parts[i].name);
        } else {
            sb_putn(out, at++, 1);
        }
    }
    StrBuf *const all[] = {&title,         &heading,    &lead,        &data,
                           &page->heading, &page->lead, &page->above, &page->below};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        sb_free(all[i]);
}
