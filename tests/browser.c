/* tests/browser.c -- see browser.h. Messages are JSON, each with a NUL behind it; the browser reads
 * them from its descriptor 3 and writes to 4. */
#include "tests/browser.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ir/util.h"
#include "tests/harness.h"
#include "tests/page.h"

struct Browser {
    pid_t pid;
    int in, out; /* of the browser */
    int last;    /* number of the last command */
    char *dir;   /* its profile; owns */
    char *session;
    StrBuf got;    /* bytes that are no whole message yet */
    StrBuf faults; /* see browser_faults */
};

static const char program[] = "/usr/bin/chromium";

static _Noreturn void
become_browser(int in, int out, const char *dir)
{
    char profile[512];
    snprintf(profile, sizeof profile, "--user-data-dir=%s", dir);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int high_in = fcntl(in, F_DUPFD, 10),
              high_out = fcntl(out, F_DUPFD, 10); /* neither is 3 or 4 */
    const int null = open("/dev/null", O_RDWR);
    if (dup2(high_in, 3) < 0 || dup2(high_out, 4) < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
        dup2(null, 2) < 0)
        _exit(127);
    execl(program, program, "--headless", "--no-sandbox", "--disable-gpu",
          "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
          "--remote-debugging-pipe", profile, "about:blank", (char *)NULL);
    _exit(127);
}

static void
send_message(Browser *b, struct json_object *message)
{
    const char *text = json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN);
    const size_t len = strlen(text) + 1;
    for (size_t at = 0; at < len;) {
        const ssize_t n = write(b->in, text + at, len - at);
        cr_assert(n > 0, "the browser takes no command: %s", strerror(errno));
        at += (size_t)n;
    }
    json_object_put(message);
}

/* The next message of the browser; owns. */
static struct json_object *
next_message(Browser *b)
{
    char data[65536];
    while (!b->got.len || !memchr(b->got.text, '\0', b->got.len)) {
        const ssize_t n = read(b->out, data, sizeof data);
        cr_assert(n > 0, "the browser has ended");
        sb_putn(&b->got, data, (size_t)n);
    }
    const size_t len = strlen(b->got.text) + 1;
    struct json_object *message = json_tokener_parse(b->got.text);
    cr_assert_not_null(message, "not JSON: %s", b->got.text);
    b->got.len -= len;
    memmove(b->got.text, b->got.text + len, b->got.len);
    return message;
}

static void
note_event(Browser *b, struct json_object *message)
{
    struct json_object *method = NULL;
    const char *name =
        json_object_object_get_ex(message, "method", &method) ? json_object_get_string(method) : "";
    if (strcmp(name, "Runtime.exceptionThrown") == 0 ||
        strcmp(name, "Runtime.consoleAPICalled") == 0)
        sb_printf(&b->faults, "%s\n", json_object_to_json_string(json_at(message, "params")));
}

struct json_object *
browser_command(Browser *b, const char *method, struct json_object *params)
{
    struct json_object *message = json_object_new_object(), *id = NULL;
    const int number = ++b->last;
    json_object_object_add(message, "id", json_object_new_int(number));
    json_object_object_add(message, "method", json_object_new_string(method));
    json_object_object_add(message, "params", params ? params : json_object_new_object());
    if (b->session)
        json_object_object_add(message, "sessionId", json_object_new_string(b->session));
    send_message(b, message);
    for (;;) {
        message = next_message(b);
        if (json_object_object_get_ex(message, "id", &id) && json_object_get_int(id) == number)
            break;
        note_event(b, message);
        json_object_put(message);
    }
    cr_assert(!json_object_object_get_ex(message, "error", NULL), "%s: %s", method,
              json_object_to_json_string(message));
    struct json_object *result = json_object_get(json_at(message, "result"));
    json_object_put(message);
    return result;
}

static struct json_object *
object_of(const char *key, struct json_object *value)
{
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, key, value);
    return object;
}

/* From now on commands go to the page, and events of it come. */
static void
attach(Browser *b)
{
    struct json_object *targets = browser_command(b, "Target.getTargets", NULL),
                       *list = json_at(targets, "targetInfos"), *page = NULL;
    for (size_t i = 0; i < json_object_array_length(list) && !page; i++)
        if (strcmp(json_object_get_string(json_at(json_nth(list, (int)i), "type")), "page") == 0)
            page = json_nth(list, (int)i);
    cr_assert_not_null(page);
    struct json_object *params = object_of("targetId", json_object_get(json_at(page, "targetId")));
    json_object_object_add(params, "flatten", json_object_new_boolean(true));
    struct json_object *attached = browser_command(b, "Target.attachToTarget", params);
    b->session = strdup(json_object_get_string(json_at(attached, "sessionId")));
    json_object_put(attached);
    json_object_put(targets);
    json_object_put(browser_command(b, "Runtime.enable", NULL));
    json_object_put(browser_command(b, "Page.enable", NULL));
}

Browser *
browser_open(void)
{
    if (access(program, X_OK) != 0)
        cr_skip_test("there is no %s: the page is not clicked through", program);
    Browser *b = calloc(1, sizeof *b);
    int in[2], out[2];
    cr_assert(b && pipe(in) == 0 && pipe(out) == 0);
    signal(SIGPIPE, SIG_IGN);
    b->dir = temp_dir();
    b->pid = fork();
    cr_assert(b->pid >= 0);
    if (b->pid == 0)
        become_browser(in[0], out[1], b->dir);
    close(in[0]);
    close(out[1]);
    b->in = in[1];
    b->out = out[0];
    attach(b);
    return b;
}

void
browser_close(Browser *b)
{
    free(b->session);
    b->session = NULL;
    json_object_put(browser_command(b, "Browser.close", NULL));
    waitpid(b->pid, NULL, 0);
    close(b->in);
    close(b->out);
    temp_dir_remove(b->dir);
    free(b->got.text);
    free(b->faults.text);
    free(b);
}

const char *
browser_faults(const Browser *b)
{
    return b->faults.text ? b->faults.text : "";
}

char *
browser_value(Browser *b, const char *expression)
{
    struct json_object *params = object_of("expression", json_object_new_string(expression));
    json_object_object_add(params, "returnByValue", json_object_new_boolean(true));
    json_object_object_add(params, "awaitPromise", json_object_new_boolean(true));
    struct json_object *result = browser_command(b, "Runtime.evaluate", params), *value = NULL;
    cr_assert(!json_object_object_get_ex(result, "exceptionDetails", NULL), "%s: %s", expression,
              json_object_to_json_string(result));
    json_object_object_get_ex(json_at(result, "result"), "value", &value);
    char *text = strdup(value ? json_object_get_string(value) : "undefined");
    json_object_put(result);
    return text;
}

bool
browser_true(Browser *b, const char *expression)
{
    char *value = browser_value(b, expression);
    const bool is = strcmp(value, "true") == 0;
    free(value);
    return is;
}

void
browser_wait(Browser *b, const char *expression)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    for (int i = 0; !browser_true(b, expression); i++) {
        if (i == IDLE_SECONDS * 50) {
            char *body = browser_value(b, "document.body.innerText");
            cr_assert_fail("it does not come to pass: %s\n%s\n%s", expression, browser_faults(b),
                           body);
        }
        nanosleep(&pause, NULL);
    }
}

void
browser_go(Browser *b, const char *url)
{
    json_object_put(
        browser_command(b, "Page.navigate", object_of("url", json_object_new_string(url))));
    browser_wait(b, "document.readyState === 'complete' && location.href !== 'about:blank'");
}

void
browser_size(Browser *b, int width, int height)
{
    struct json_object *params = object_of("width", json_object_new_int(width));
    json_object_object_add(params, "height", json_object_new_int(height));
    json_object_object_add(params, "deviceScaleFactor", json_object_new_int(1));
    json_object_object_add(params, "mobile", json_object_new_boolean(false));
    json_object_put(browser_command(b, "Emulation.setDeviceMetricsOverride", params));
}

void
browser_dark(Browser *b, bool dark)
{
    struct json_object *feature = object_of("name", json_object_new_string("prefers-color-scheme")),
                       *list = json_object_new_array();
    json_object_object_add(feature, "value", json_object_new_string(dark ? "dark" : "light"));
    json_object_array_add(list, feature);
    json_object_put(browser_command(b, "Emulation.setEmulatedMedia", object_of("features", list)));
}

void
browser_type(Browser *b, const char *text)
{
    json_object_put(
        browser_command(b, "Input.insertText", object_of("text", json_object_new_string(text))));
}

void
browser_key(Browser *b, BrowserKey key, bool shift)
{
    static const struct {
        const char *name, *text;
        int code;
    } keys[] = {
        [BROWSER_enter] = {"Enter",  "\r", 13},
        [BROWSER_escape] = {"Escape", "",   27},
        [BROWSER_tab] = {"Tab",    "",   9 }
    };
    static const char *const types[] = {"keyDown", "keyUp"};
    for (int up = 0; up < 2; up++) {
        struct json_object *params = object_of("type", json_object_new_string(types[up]));
        json_object_object_add(params, "key", json_object_new_string(keys[key].name));
        json_object_object_add(params, "code", json_object_new_string(keys[key].name));
        json_object_object_add(params, "windowsVirtualKeyCode",
                               json_object_new_int(keys[key].code));
        json_object_object_add(params, "modifiers", json_object_new_int(shift ? 8 : 0));
        if (!up && *keys[key].text)
            json_object_object_add(params, "text", json_object_new_string(keys[key].text));
        json_object_put(browser_command(b, "Input.dispatchKeyEvent", params));
    }
}
