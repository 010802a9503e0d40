/* tests/browser.h -- a headless browser that a test clicks through a page: Chromium, by its
 * DevTools protocol over two pipes. What the browser does not do ends the test with a message. */
#ifndef SSMC_TESTS_BROWSER_H
#define SSMC_TESTS_BROWSER_H

#include <json-c/json.h>
#include <stdbool.h>

typedef struct Browser Browser;

/* Skips the test where there is no browser. It ends with this process at the latest. */
Browser *browser_open(void);
void browser_close(Browser *browser);
/* What the page wrote to its console, and errors that nothing in it caught; "": nothing. */
const char *browser_faults(const Browser *browser);

/* A command of the protocol to the page; takes params (NULL: none). Its result; owns. */
struct json_object *browser_command(Browser *browser, const char *method,
                                    struct json_object *params);
void browser_go(Browser *browser, const char *url);
void browser_size(Browser *browser, int width, int height);
void browser_dark(Browser *browser, bool dark);
/* The value of an expression of the page, as text; owns. */
char *browser_value(Browser *browser, const char *expression);
bool browser_true(Browser *browser, const char *expression);
/* Returns when an expression is true. */
void browser_wait(Browser *browser, const char *expression);
/* Text into what has the focus; a key, with Shift or without. */
void browser_type(Browser *browser, const char *text);
typedef enum { BROWSER_enter, BROWSER_escape, BROWSER_tab } BrowserKey;
void browser_key(Browser *browser, BrowserKey key, bool shift);

#endif
