/* tests/unit/test_serve_page.c -- the page of a server: what it is made of, and, in a headless
 * browser, conversations with a model through it. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/browser.h"
#include "tests/harness.h"
#include "tests/page.h"
#include "tests/serving.h"
#include "tests/xml.h"

#define STORYTELLER SSMC_ROOT "/examples/storyteller.yaml"

extern const char serve_page_html[];

Test(serve_page, reaches_for_nothing_and_makes_no_markup_of_text)
{
    static const char *const never[] = {"src=",
                                        "url(",
                                        "@import",
                                        "<img",
                                        "<iframe",
                                        "innerHTML",
                                        "outerHTML",
                                        "insertAdjacent",
                                        "document.write",
                                        "eval(",
                                        "import(",
                                        "new Function(",
                                        "http-equiv=\"refresh"};
    char why[200] = "";
    cr_expect(xml_is_well_formed(serve_page_html, why), "%s", why);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        cr_expect_eq(text_count(serve_page_html, never[i]), 0, "%s", never[i]);
    cr_expect(strstr(serve_page_html,
                     "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
    cr_expect_eq(text_count(serve_page_html, "<script"), 1);
    cr_expect_eq(text_count(serve_page_html, "href="), 2,
                 "the icon, which is in the page, and the way to the field");
}

/* ---- in a browser ---- */

#define LAST  "[...document.querySelectorAll('#messages > li')].at(-1)"
#define FIELD "document.getElementById('input')"

static void
go(Browser *b, const Serving *s)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s->port);
    browser_go(b, url);
}

/* Types a message and sends it; returns when the answer has ended. */
static void
send_text(Browser *b, const char *text)
{
    char expression[200];
    char *before = browser_value(b, "document.querySelectorAll('#messages > li').length");
    free(browser_value(b, FIELD ".focus()"));
    browser_type(b, text);
    browser_key(b, BROWSER_enter, false);
    snprintf(expression, sizeof expression,
             "document.querySelectorAll('#messages > li').length >= %d && "
             "!document.querySelector('.running')",
             atoi(before) + (*text ? 2 : 1));
    browser_wait(b, expression);
    free(before);
}

static void
set_field(Browser *b, const char *id, const char *value)
{
    char expression[300];
    snprintf(expression, sizeof expression,
             "{const f = document.getElementById('%s'); f.value = '%s'; f.dispatchEvent(new "
             "Event('change'));}",
             id, value);
    free(browser_value(b, expression));
}

/* An answer is stopped while it comes. A fast model may have ended it before the key is there, so
 * that it is tried some times. */
static void
stop_one(Browser *b)
{
    for (int i = 0; i < 50; i++) {
        free(browser_value(b, FIELD ".focus()"));
        browser_type(b, "Once upon a time, there was a");
        browser_key(b, BROWSER_enter, false);
        browser_wait(b, LAST ".querySelector('.text').textContent || "
                             "!document.querySelector('.running') ? true : false");
        browser_key(b, BROWSER_escape, false);
        browser_wait(b, "!document.querySelector('.running')");
        if (browser_true(b, LAST ".querySelector('.tools').textContent.includes('stopped')"))
            return;
    }
    cr_expect_fail("no answer was stopped");
}

static void
expect(Browser *b, const char *expression)
{
    cr_expect(browser_true(b, expression), "%s", expression);
}

Test(serve_page, a_text_is_written_on_streamed_stopped_and_kept)
{
    Browser *b = browser_open();
    Serving s = serving_start((const char *const[]){STORYTELLER, NULL});
    go(b, &s);
    browser_wait(b, "document.getElementById('model').textContent !== ''");
    expect(b, "document.activeElement.id === 'input'");
    set_field(b, "max_tokens", "40");
    set_field(b, "temperature", "0");
    send_text(b, "Once upon a time");
    expect(b, LAST ".className === 'assistant' && " LAST
                   ".querySelector('.text').textContent.length > 20");
    expect(b, "/^40 tokens .* tokens\\/s .* first after .* prompt \\d+, \\d+ of it cached .* cut "
              "off by its length/"
              ".test(" LAST ".querySelector('.tools span').textContent)");
    expect(b, "document.getElementById('live').textContent.length > 20"); /* finished sentences are
                                                                             told */
    char *first = browser_value(b, LAST ".querySelector('.text').textContent");

    /* The same again: greedy, so the text is the same. */
    free(browser_value(
        b, "[..." LAST
           ".querySelectorAll('button')].find(e => e.textContent === 'Regenerate').click()"));
    browser_wait(b, "!document.querySelector('.running')");
    char *again = browser_value(b, LAST ".querySelector('.text').textContent");
    cr_expect_str_eq(first, again);

    send_text(b, ""); /* nothing more is said: the model goes on */
    expect(b, "document.querySelectorAll('#messages > li').length === 3");

    set_field(b, "max_tokens", "1000");
    set_field(b, "temperature", "1");
    stop_one(b);
    char *count = browser_value(b, "document.querySelectorAll('#messages > li').length");
    go(b, &s);
    char *kept = browser_value(b, "document.querySelectorAll('#messages > li').length");
    cr_expect_str_eq(count, kept, "a conversation stays when the page is opened again");
    cr_expect_str_empty(browser_faults(b));
    cr_expect_eq(serving_end(&s, SIGTERM), 0);

    send_text(b, "The end.");
    expect(b, LAST ".querySelector('.fault').textContent.includes(\"can't be reached\")");
    free(first);
    free(again);
    free(count);
    free(kept);
    browser_close(b);
}

/* Takes what Export gives, and gives Import files: none of JSON, one of something else, and what
 * was exported, with a conversation more. What the page says to each. */
static const char exchange[] =
    "(async () => {"
    "  let blob; const make = URL.createObjectURL, said = [];"
    "  URL.createObjectURL = b => { blob = b; return make.call(URL, b); };"
    "  document.getElementById('export').click(); URL.createObjectURL = make;"
    "  const all = JSON.parse(await blob.text());"
    "  all.conversations.push({title: 'Another', messages: [{role: 'user', content: 'Hm.'}]});"
    "  for (const text of ['{', '{\"conversations\": [{}]}', JSON.stringify(all)]) {"
    "    const files = new DataTransfer(), field = document.getElementById('file');"
    "    files.items.add(new File([text], 'c.json')); "
    "document.getElementById('say').replaceChildren();"
    "    field.files = files.files; field.dispatchEvent(new Event('change'));"
    "    while (!document.getElementById('say').textContent) await new Promise(done => "
    "setTimeout(done, 10));"
    "    said.push(document.getElementById('say').textContent);"
    "  }"
    "  return said.map(text => text.replace(/: .*/, '')).join(' | '); })()";

Test(serve_page, a_chat_with_a_key_asked_for_edited_and_exported)
{
    Browser *b = browser_open();
    char *dir = temp_dir(), *keys = path_join(dir, "keys");
    cr_assert(write_whole(keys, "open-sesame\n", 12));
    Serving s = serving_start(
        (const char *const[]){STORYTELLER, "--chat-format", "plain", "--api-key-file", keys, NULL});
    go(b, &s);
    browser_wait(b, "document.activeElement.id === 'key'");
    expect(b, "document.getElementById('say').textContent !== ''"); /* the server's own words */
    set_field(b, "key", "open-sesame");
    browser_wait(b, "document.getElementById('model').textContent !== ''");
    expect(b, "document.getElementById('say').textContent === ''");
    set_field(b, "max_tokens", "30");
    send_text(b, "Who lives in the wood?");
    expect(b, "!document.querySelector('.fault') && " LAST
              ".querySelector('.text').textContent.length > 5");

    free(browser_value(b, "[...document.querySelectorAll('#messages button')].find(e => "
                          "e.textContent === 'Edit').click()"));
    expect(b, "document.activeElement.tagName === 'TEXTAREA' && document.activeElement.value === "
              "'Who lives in the wood?'");
    browser_type(b, " Say it.");
    browser_key(b, BROWSER_enter, true);
    browser_type(b, "Now.");
    browser_key(b, BROWSER_enter, false);
    browser_wait(b, "document.querySelectorAll('#messages > li').length === 2 && "
                    "!document.querySelector('.running')");
    expect(b, "document.querySelector('#messages .text').textContent === 'Who lives in the wood? "
              "Say it.\\nNow.'");
    expect(b, "document.querySelector('#say button').textContent === 'Keep a copy of it'");
    free(browser_value(b, "document.querySelector('#say button').click()"));
    expect(b, "document.querySelectorAll('#list > li').length === 2");
    char *said = browser_value(b, exchange);
    cr_expect_str_eq(
        said,
        "c.json is not JSON | c.json is not a file of conversations that this page exported. | "
        "3 conversations were imported.");
    free(said);
    expect(b,
           "document.querySelectorAll('#list > li').length === 3"); /* the two are there already */
    cr_expect_str_empty(browser_faults(b));
    cr_expect_eq(serving_end(&s, SIGTERM), 0);
    temp_dir_remove(dir);
    free(keys);
    browser_close(b);
}

/* Tab goes through the page in the order in which it is read, and what has the focus shows it. */
Test(serve_page, tab_goes_through_all_in_order)
{
    static const char *const order[] = {
        "new",   "export",     "import",     "nav-button", "title",  "aside-button",
        "log",   "input",      "send",       "mode",       "system", "temperature",
        "top_p", "max_tokens", "stop-texts", "thinking",   "key"};
    Browser *b = browser_open();
    Serving s = serving_start((const char *const[]){STORYTELLER, "--chat-format", "plain", NULL});
    browser_size(b, 1400, 800);
    go(b, &s);
    browser_wait(b, "document.getElementById('model').textContent !== ''");
    free(browser_value(b, "document.querySelector('.skip').focus()"));
    size_t next = 0;
    for (int i = 0; i < 60 && next < sizeof order / sizeof *order; i++) {
        browser_key(b, BROWSER_tab, false);
        char *id = browser_value(b, "document.activeElement.id");
        next += strcmp(id, order[next]) == 0;
        cr_expect(
            browser_true(b, "getComputedStyle(document.activeElement).outlineStyle !== 'none'"),
            "%s", id);
        free(id);
    }
    cr_expect_eq(next, sizeof order / sizeof *order, "Tab does not come to %s",
                 next < sizeof order / sizeof *order ? order[next] : "");
    cr_expect_eq(serving_end(&s, SIGTERM), 0);
    browser_close(b);
}

/* A model may write anything. */
static const char hostile[] =
    "localStorage.setItem('ssmc.conversation.00112233aabbccdd', JSON.stringify({id: "
    "'00112233aabbccdd', title: '<b>t</b>',"
    "mode: 'chat', system: '', changed: 1, messages: [{role: 'user', content: '<i>u</i>'}, {role: "
    "'assistant', content:"
    "'# Head\\n<script>window.bad = 1</scr' + 'ipt><img src=x onerror=\"window.bad = 1\"> **bold** "
    "`code` [a](javascript:window.bad=1) "
    "[b](https://example.org/)\\n\\n```c\\nint a; // <b>\\n```\\n\\n1. one\\n2. two\\n   - "
    "three\\n\\n| a | b |\\n|---|---|\\n| c | d |\\n',"
    "reasoning: '<b>hm</b>'}]})); localStorage.setItem('ssmc.conversation.broken', '{')";

Test(serve_page, what_a_model_writes_is_text_and_every_control_has_a_name)
{
    Browser *b = browser_open();
    Serving s = serving_start((const char *const[]){STORYTELLER, NULL});
    go(b, &s);
    browser_wait(b, "document.getElementById('model').textContent !== ''");
    free(browser_value(b, hostile));
    go(b, &s);
    browser_wait(b, "document.readyState === 'complete' && document.querySelectorAll('#messages > "
                    "li').length === 2");
    expect(b, "window.bad === undefined && document.scripts.length === 1 && document.images.length "
              "=== 0");
    expect(b, LAST ".querySelectorAll('a').length === 1 && " LAST
                   ".querySelector('a').rel === 'noopener noreferrer'");
    expect(b, LAST ".querySelector('h3').textContent === 'Head' && " LAST
                   ".querySelector('strong').textContent === 'bold'");
    expect(b, LAST ".querySelector('pre').textContent === 'int a; // <b>' && " LAST
                   ".querySelector('ol > li > ul > li').textContent === 'three'");
    expect(b,
           LAST ".querySelectorAll('td').length === 2 && !" LAST ".querySelector('details').open");
    expect(b, "document.getElementById('title').value === '<b>t</b>'");

    static const char *const controls[] = {"button", "textbox", "combobox", "spinbutton"};
    struct json_object *tree = browser_command(b, "Accessibility.getFullAXTree", NULL),
                       *nodes = json_at(tree, "nodes"), *name = NULL;
    int seen = 0;
    for (size_t i = 0; i < json_object_array_length(nodes); i++) {
        struct json_object *node = json_nth(nodes, (int)i), *role = NULL;
        for (size_t k = 0; json_object_object_get_ex(node, "role", &role) && k < 4; k++)
            if (strcmp(json_object_get_string(json_at(role, "value")), controls[k]) == 0) {
                cr_expect(json_object_object_get_ex(node, "name", &name) &&
                              *json_object_get_string(json_at(name, "value")),
                          "%s", json_object_to_json_string(node));
                seen++;
            }
    }
    cr_expect_gt(seen, 15);
    json_object_put(tree);

    static const int widths[] = {320, 500, 900, 1400};
    for (int dark = 0; dark < 2; dark++) {
        browser_dark(b, dark);
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
            browser_size(b, widths[i], 640);
            expect(b, "document.documentElement.scrollWidth <= innerWidth && "
                      "document.getElementById('input').offsetWidth > 100");
        }
        expect(b, dark
                      ? "getComputedStyle(document.body).backgroundColor === 'rgb(15, 19, 24)'"
                      : "getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'");
    }
    cr_expect_str_empty(browser_faults(b));
    cr_expect_eq(serving_end(&s, SIGTERM), 0);
    browser_close(b);
}
