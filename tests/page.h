/* tests/page.h -- pages with data and a script in them: what they hold, and what a browser draws.
 */
#ifndef SSMC_TESTS_PAGE_H
#define SSMC_TESTS_PAGE_H

#include <json-c/json.h>

/* Fails the test where a page is not well-formed or reaches for anything outside it; its data.
 * owns. */
struct json_object *page_data(const char *page);
/* The elements of the page after its script ran, without the scripts, and (where png is not NULL) a
 * picture of so many pixels. Skips the test where there is no browser. owns. */
char *page_drawn(const char *page, const char *png, int width, int height);
/* A member of an object, or of an array by its index; fails the test where there is none. */
struct json_object *json_at(struct json_object *object, const char *key);
struct json_object *json_nth(struct json_object *array, int index);

#endif
