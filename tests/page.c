/* tests/page.c -- see page.h. */
#include "tests/page.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/harness.h"
#include "tests/xml.h"

struct json_object *
page_data(const char *page)
{
    static const char begin[] = "<script type=\"application/json\" id=\"data\">";
    static const char *const reach[] = {"src=", "href=",  "url(",    "@import", "<link",
                                        "<img", "fetch(", "import(", "<iframe", "XMLHttp"};
    char why[200] = "";
    cr_assert(xml_is_well_formed(page, why), "%s", why);
    for (size_t i = 0; i < sizeof reach / sizeof *reach; i++)
        cr_expect_eq(text_count(page, reach[i]), 0, "%s", reach[i]);
    cr_expect(strstr(page, "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
    cr_expect_eq(text_count(page, "http"), 1 + text_count(page, "\"http://www.w3.org/2000/svg\""));
    cr_expect_eq(text_count(page, "<script"), 2, "the data and the program");
    cr_expect_eq(text_count(page, "</script"), 2);
    const char *from = strstr(page, begin);
    cr_assert_not_null(from);
    from += strlen(begin);
    char *text = strndup(from, strcspn(from, "<"));
    cr_expect_eq(strncmp(from + strlen(text), "</script>", 9), 0, "no < in the data");
    struct json_object *data = json_tokener_parse(text);
    cr_assert_not_null(data, "not JSON: %s", text);
    free(text);
    return data;
}

static void
drop_scripts(char *text)
{
    static const char end[] = "</script>";
    for (char *at = strstr(text, "<script"); at; at = strstr(at, "<script")) {
        char *after = strstr(at, end);
        cr_assert_not_null(after);
        after += strlen(end);
        memmove(at, after, strlen(after) + 1);
    }
}

char *
page_drawn(const char *page, const char *png, int width, int height)
{
    static const char browser[] = "/usr/bin/chromium";
    if (access(browser, X_OK) != 0)
        cr_skip_test("there is no %s: the page is not drawn", browser);
    char *dir = temp_dir(), *html = path_join(dir, "page.html"), profile[512], url[512], size[64],
         picture[512];
    snprintf(profile, sizeof profile, "--user-data-dir=%s/profile", dir);
    snprintf(url, sizeof url, "file://%s", html);
    snprintf(size, sizeof size, "--window-size=%d,%d", width, height);
    snprintf(picture, sizeof picture, "--screenshot=%s", png ? png : "");
    cr_assert(write_whole(html, page, strlen(page)));
    if (png) {
        CommandResult r = command_run((const char *const[]){browser, "--headless", "--no-sandbox",
                                                            "--disable-gpu", "--hide-scrollbars",
                                                            "--force-device-scale-factor=1",
                                                            profile, size, picture, url, NULL},
                                      NULL, 0);
        cr_assert_eq(r.status, 0, "%s", r.err);
        command_free(&r);
    }
    CommandResult r =
        command_run((const char *const[]){browser, "--headless", "--no-sandbox", "--disable-gpu",
                                          profile, "--dump-dom", url, NULL},
                    NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    char *drawn = strdup(r.out);
    drop_scripts(drawn);
    command_free(&r);
    temp_dir_remove(dir);
    free(html);
    return drawn;
}

struct json_object *
json_at(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    cr_assert(json_object_object_get_ex(object, key, &value), "no %s", key);
    return value;
}

struct json_object *
json_nth(struct json_object *array, int index)
{
    cr_assert_lt((size_t)index, json_object_array_length(array));
    return json_object_array_get_idx(array, (size_t)index);
}
