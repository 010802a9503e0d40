/* tests/unit/test_serve_faults.c -- a server whose clients stall, vanish and send nonsense, whose
 * disk is full, which is killed: what others get stays what they get alone. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ir/util.h"
#include "tests/harness.h"
#include "tests/serving.h"

#define STORYTELLER SSMC_ROOT "/examples/storyteller.yaml"
#define COMPLETIONS "/v1/completions"

/* Greedy and by a seed; the prompt is long enough for states of its parts to be kept. */
static const char *const asked[] = {
    "{\"prompt\": \"Once upon a time there was a king who had three daughters, and the youngest "
    "was so beautiful that the sun itself, "
    "which has seen so much, was astonished whenever it shone in her face.\", \"max_tokens\": 24, "
    "\"temperature\": 0}",
    "{\"prompt\": \"The fox said to the wolf:\", \"max_tokens\": 24, \"temperature\": 0.9, "
    "\"seed\": 7}",
};
enum { ASKED = sizeof asked / sizeof *asked };

/* The text of an answer, as its JSON has it; owns. */
static char *
text_of(const Serving *s, const char *body)
{
    int status;
    char *reply = serving_ask(s, COMPLETIONS, body, &status);
    cr_assert_eq(status, 200, "%d: %s", status, reply);
    char *from = strstr(reply, "\"text\":"), *end = from ? strstr(from, "\",\"") : NULL;
    cr_assert(from && end, "%s", reply);
    char *text = strndup(from, (size_t)(end - from));
    free(reply);
    return text;
}

/* What each gets when nothing else runs. */
static void
ask_alone(const Serving *s, char *alone[ASKED])
{
    for (int i = 0; i < ASKED; i++)
        alone[i] = text_of(s, asked[i]);
}

static void
expect_as_alone(const Serving *s, char *const alone[ASKED], const char *when)
{
    for (int i = 0; i < ASKED; i++) {
        char *text = text_of(s, asked[i]);
        cr_expect_str_eq(text, alone[i], "%s", when);
        free(text);
    }
}

static void
free_all(char *texts[ASKED])
{
    for (int i = 0; i < ASKED; i++)
        free(texts[i]);
}

static int
connected(const Serving *s, const char *first)
{
    const int fd = serving_connect(s);
    cr_assert(fd >= 0);
    cr_assert(serving_send(fd, first, strlen(first)));
    return fd;
}

static char *
stream_request(const char *text, int tokens)
{
    StrBuf body = {0}, request = {0};
    sb_printf(&body,
              "{\"prompt\": \"%s\", \"max_tokens\": %d, \"temperature\": 1, \"seed\": 3, "
              "\"ignore_eos\": true, \"stream\": true}",
              text, tokens);
    sb_printf(
        &request,
        "POST " COMPLETIONS
        " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        body.len, body.text);
    free(body.text);
    return request.text;
}

Test(serve_faults, clients_that_stall_send_halves_and_vanish)
{
    static const char *const halves[] = {
        "",
        "P",
        "POST /v1/compl",
        "POST " COMPLETIONS " HTTP/1.1\r\nHost: x\r\n",
        "POST " COMPLETIONS
        " HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"prompt\": \"Once",
        "POST " COMPLETIONS
        " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{\"prom"};
    enum { HALVES = sizeof halves / sizeof *halves, EACH = 8, VANISH = 16 };
    Serving s = serving_start((const char *const[]){STORYTELLER, "--slots", "4", NULL});
    char *alone[ASKED], *request = stream_request("There was once", 400), byte;
    ask_alone(&s, alone);
    int stalled[HALVES * EACH];
    for (int i = 0; i < HALVES * EACH; i++)
        stalled[i] = connected(&s, halves[i % HALVES]);
    expect_as_alone(&s, alone, "beside clients that stall");
    for (int i = 0; i < VANISH; i++) { /* more than have a slot: some of them wait */
        const int fd = connected(&s, request);
        cr_expect(i % 2 || i >= 4 || recv(fd, &byte, 1, 0) == 1);
        const struct linger hard = {.l_onoff = i % 4 < 2};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fd);
    }
    expect_as_alone(&s, alone, "beside clients that vanish");
    for (int i = 0; i < HALVES * EACH; i++)
        close(stalled[i]);
    expect_as_alone(&s, alone, "after clients that sent halves");
    cr_expect_eq(serving_end(&s, SIGTERM), 0);
    free(request);
    free_all(alone);
}

/* A client that reads nothing holds up no other, whatever its answer's length. */
Test(serve_faults, clients_that_do_not_read)
{
    enum { SLOW = 3, SMALL = 2048 };
    Serving s = serving_start((const char *const[]){STORYTELLER, "--slots", "2", NULL});
    char *alone[ASKED], *request = stream_request("There was once", 1500);
    ask_alone(&s, alone);
    int slow[SLOW];
    for (int i = 0; i < SLOW; i++) {
        slow[i] = connected(&s, request);
        const int size = SMALL;
        setsockopt(slow[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    expect_as_alone(&s, alone, "beside clients that do not read");
    for (int i = 0; i < SLOW; i++)
        close(slow[i]);
    cr_expect_eq(serving_end(&s, SIGTERM), 0);
    free(request);
    free_all(alone);
}

static void
expect_refused(const Serving *s, const char *body, size_t len, int status, const char *says)
{
    StrBuf request = {0};
    sb_printf(&request,
              "POST " COMPLETIONS
              " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
              len);
    sb_putn(&request, body, len);
    int got;
    char *reply = serving_exchange(s, request.text, request.len, &got);
    cr_expect_eq(got, status, "%.60s: %d, %s", body, got, reply);
    cr_expect(strstr(reply, "\"error\"") && strstr(reply, says), "%.60s: lacks '%s': %s", body,
              says, reply);
    free(reply);
    free(request.text);
}

Test(serve_faults, bodies_that_are_no_requests)
{
    Serving s = serving_start((const char *const[]){STORYTELLER, NULL});
    char *alone[ASKED];
    ask_alone(&s, alone);
    static const char bad[] = "{\"prompt\": \"a\xff\"}", nul[] = "{\"prompt\"\0: 1}";
    expect_refused(&s, "", 0, 400, "");
    expect_refused(&s, "{\"prompt\": ", 11, 400, "");
    expect_refused(&s, "[1]", 3, 400, "object");
    expect_refused(&s, bad, sizeof bad - 1, 400, "UTF-8");
    expect_refused(&s, nul, sizeof nul - 1, 400, "");
    enum { DEEP = 100000 };
    char *deep = malloc(DEEP);
    cr_assert_not_null(deep);
    memset(deep, '[', DEEP);
    expect_refused(&s, deep, DEEP, 400, "");
    free(deep);
    expect_as_alone(&s, alone, "after nonsense");
    cr_expect_eq(serving_end(&s, SIGTERM), 0);
    free_all(alone);
}

/* 100 MB, whose length is told or not: refused before it is there. */
Test(serve_faults, bodies_that_are_too_long)
{
    static const char *const heads[] = {"Content-Length: 104857600\r\n\r\n",
                                        "Transfer-Encoding: chunked\r\n\r\n"};
    enum { BLOCK = 1 << 16, BLOCKS = 1600 };
    Serving s = serving_start((const char *const[]){STORYTELLER, NULL});
    char *alone[ASKED], *block = malloc(BLOCK + 16);
    ask_alone(&s, alone);
    cr_assert_not_null(block);
    for (int chunked = 0; chunked < 2; chunked++) {
        char head[200], reply[4096];
        const int len = snprintf(head, sizeof head,
                                 "POST " COMPLETIONS " HTTP/1.1\r\nHost: x\r\n%s", heads[chunked]);
        const int fd = serving_connect(&s);
        cr_assert(fd >= 0 && serving_send(fd, head, (size_t)len));
        const int before = chunked ? sprintf(block, "%x\r\n", BLOCK) : 0;
        memset(block + before, ' ', BLOCK);
        memcpy(block + before + BLOCK, "\r\n", 2);
        int sent = 0;
        while (sent < BLOCKS &&
               serving_send(fd, block, (size_t)(before + BLOCK + (chunked ? 2 : 0))))
            sent++;
        cr_expect_lt(sent, BLOCKS, "the connection ends before all of it is sent");
        const ssize_t n = recv(fd, reply, sizeof reply - 1, 0); /* a reset may have overtaken it */
        if (n > 0)
            reply[n] = '\0';
        cr_expect(n <= 0 || strncmp(reply, "HTTP/1.1 413 ", 13) == 0, "%s", reply);
        close(fd);
    }
    free(block);
    expect_as_alone(&s, alone, "after bodies of 100 MB");
    cr_expect_eq(serving_end(&s, SIGTERM), 0);
    free_all(alone);
}

/* Opens connections until there are `count`, or one fails; how many are open. */
static int
connect_more(const Serving *s, int *fds, int open, int count)
{
    for (; open < count; open++)
        if ((fds[open] = serving_connect(s)) < 0)
            break;
    return open;
}

/* As many connections as this process may have, up to 10000, which say nothing; then as many as the
 * server takes, and one more. */
Test(serve_faults, thousands_of_idle_connections)
{
    enum { SPARE = 64, MORE = 16 };
    struct rlimit files;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const int most = thorough() ? 10000 : 1000;
    const bool plenty = files.rlim_max == RLIM_INFINITY || files.rlim_max > (rlim_t)(most + SPARE);
    const int count = plenty ? most : (int)files.rlim_max - SPARE;
    char limit[16], *alone[ASKED];
    snprintf(limit, sizeof limit, "%d", count + MORE);
    Serving s = serving_start((const char *const[]){STORYTELLER, "--connections", limit, NULL});
    ask_alone(&s, alone);
    int *fds = calloc((size_t)count + MORE, sizeof *fds);
    cr_assert_not_null(fds);
    int open = connect_more(&s, fds, 0, count), status = 0;
    cr_expect_eq(open, count);
    expect_as_alone(&s, alone, "beside thousands of connections");
    open = connect_more(&s, fds, open, count + MORE);
    /* Until those that were accepted last are counted. */
    status = 200;
    for (int i = 0; i < 200 && status != 0; i++)
        free(serving_ask(&s, COMPLETIONS, asked[0], &status));
    cr_expect_eq(status, 0, "one connection more than may be: %d", status);
    for (int i = 0; i < open; i++)
        close(fds[i]);
    free(fds);
    const struct timespec pause = {.tv_nsec = 50000000};
    for (int i = 0; i < 1200 && status != 200; i++) { /* until it has noticed that they are gone */
        nanosleep(&pause, NULL);
        free(serving_ask(&s, "/health", NULL, &status));
    }
    expect_as_alone(&s, alone, "after thousands of connections");
    cr_expect_eq(serving_end(&s, SIGTERM), 0);
    free_all(alone);
}

Test(serve_faults, a_cache_on_a_full_disk)
{
    char *dir = temp_dir(), *alone[ASKED];
    Serving plain = serving_start((const char *const[]){STORYTELLER, NULL});
    ask_alone(&plain, alone);
    cr_expect_eq(serving_end(&plain, SIGTERM), 0);
    enum { FULL = 8192 }; /* less than a state */
    Serving s =
        serving_start_limited((const char *const[]){STORYTELLER, "--cache-dir", dir, NULL}, FULL);
    for (int i = 0; i < 3; i++)
        expect_as_alone(&s, alone, "where no state can be written");
    const struct timespec pause = {.tv_nsec = 50000000};
    char *log = serving_log(&s);
    for (int i = 0; i < 1200 && !strstr(log, "not kept on the disk");
         i++) { /* it looks once a second */
        nanosleep(&pause, NULL);
        free(log);
        log = serving_log(&s);
    }
    const char *note = strstr(log, "states are not kept on the disk: ");
    cr_expect(note && !strstr(note + 1, "states are not kept"), "told once: %s", log);
    free(log);
    cr_expect_eq(serving_end(&s, SIGTERM), 0);
    cr_expect_eq(temporaries(dir), 0);
    temp_dir_remove(dir);
    free_all(alone);
}

/* Killed with requests running and states being written; started again on the same folder. */
Test(serve_faults, killed_and_started_again)
{
    enum { BUSY = 6 };
    char *dir = temp_dir(), *alone[ASKED], *request = stream_request("There was once", 400), byte;
    Serving plain = serving_start((const char *const[]){STORYTELLER, NULL});
    ask_alone(&plain, alone);
    cr_expect_eq(serving_end(&plain, SIGTERM), 0);
    const int count = kills(4);
    for (int i = 0; i <= count; i++) {
        Serving s = serving_start((const char *const[]){STORYTELLER, "--cache-dir", dir, NULL});
        expect_as_alone(&s, alone, "on the folder of a server that was killed");
        if (i == count) {
            cr_expect_eq(serving_end(&s, SIGTERM), 0);
            break;
        }
        int busy[BUSY];
        for (int k = 0; k < BUSY; k++)
            busy[k] = connected(&s, request);
        cr_expect_eq(recv(busy[0], &byte, 1, 0), 1);
        const struct timespec pause = {.tv_nsec = 3000000L * (i * 7 % 11)};
        nanosleep(&pause, NULL);
        cr_expect_eq(serving_end(&s, SIGKILL), 128 + SIGKILL);
        for (int k = 0; k < BUSY; k++)
            close(busy[k]);
    }
    temp_dir_remove(dir);
    free(request);
    free_all(alone);
}
