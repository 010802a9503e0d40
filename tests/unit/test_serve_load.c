/* tests/unit/test_serve_load.c -- many clients at once: each answer is complete, and the one that
 * was made alone (bench/load/load.h). */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness.h"
#include "tests/page.h"
#include "tests/serving.h"

#define STORYTELLER SSMC_ROOT "/examples/storyteller.yaml"
#define TEXT        SSMC_ROOT "/README.md"

static int64_t
number_at(struct json_object *object, const char *key)
{
    return json_object_get_int64(json_at(object, key));
}

/* Clients of a server with `slots` of them at a time. */
static void
expect_equal(const char *const *options, const char *clients, bool chat)
{
    Serving s = serving_start(options);
    char port[16], pid[16];
    snprintf(port, sizeof port, "%d", s.port);
    snprintf(pid, sizeof pid, "%d", (int)s.pid);
    CommandResult r = command_run((const char *const[]){SSMC_LOAD,
                                                        "--port",
                                                        port,
                                                        "--pid",
                                                        pid,
                                                        "--text",
                                                        TEXT,
                                                        "--clients",
                                                        clients,
                                                        "--seconds",
                                                        "1",
                                                        "--distinct",
                                                        "8",
                                                        "--prompt",
                                                        "10-900",
                                                        "--tokens",
                                                        "4-40",
                                                        "--json",
                                                        chat ? "--chat" : NULL,
                                                        NULL},
                                  NULL, 0);
    cr_assert_eq(r.status, 0, "%s%s", r.out, r.err);
    struct json_object *root = json_tokener_parse(r.out), *together = json_at(root, "together");
    cr_expect_eq(number_at(together, "equal"), number_at(together, "requests"));
    cr_expect_eq(number_at(together, "failed"), 0);
    cr_expect_geq(number_at(together, "requests"), 8);
    cr_expect_eq(number_at(json_at(root, "alone"), "complete"), 8);
    cr_expect_gt(json_object_get_int64(json_nth(json_at(root, "resident_bytes"), 2)), 0);
    json_object_put(root);
    command_free(&r);
    cr_expect_eq(serving_end(&s, SIGTERM), 0);
}

Test(serve_load, answers_are_those_made_alone)
{
    expect_equal((const char *const[]){STORYTELLER, "--slots", "3", NULL}, "8", false);
}

Test(serve_load, also_where_no_prefix_is_kept)
{
    expect_equal((const char *const[]){STORYTELLER, "--slots", "5", "--prefix-memory", "0", NULL},
                 "4", false);
}

Test(serve_load, also_of_chats)
{
    expect_equal((const char *const[]){STORYTELLER, "--chat-format", "plain", NULL}, "4", true);
}

/* Attention over what was read: states that grow. */
Test(serve_load, also_of_a_hybrid)
{
    expect_equal((const char *const[]){SSMC_ROOT "/examples/hybrid.yaml", "--slots", "3",
                                       "--context", "2048", NULL},
                 "5", false);
}

Test(serve_load, faults_of_its_command_line)
{
    static const struct {
        const char *args[8];
        const char *says;
    } faults[] = {
        {{"--port", "1", "--text", TEXT, "--host", "10.0.0.1"}, "only 127.0.0.1 and ::1 are asked" },
        {{"--port", "1", "--text", TEXT, "--clients", "5000"},
         "--clients is '5000', expected a number from 1 to 4096"                                   },
        {{"--port", "1", "--text", TEXT, "--seconds", "3601"},  "expected a number from 1 to 3600" },
        {{"--port", "1", "--text", TEXT, "--prompt", "9-3"},    "--prompt is '9-3', expected LO-HI"},
        {{"--port", "1", "--text", "/no/such"},                 "can't be read: /no/such"          },
        {{"--text", TEXT},                                      "usage: ssmc_load"                 },
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const char *argv[10] = {SSMC_LOAD};
        for (int k = 0; k < 8; k++)
            argv[k + 1] = faults[i].args[k];
        CommandResult r = command_run(argv, NULL, 0);
        cr_expect_eq(r.status, 2, "%s", r.err);
        cr_expect(strstr(r.err, faults[i].says), "lacks '%s': %s", faults[i].says, r.err);
        command_free(&r);
    }
}
