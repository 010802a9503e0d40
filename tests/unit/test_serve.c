/* tests/unit/test_serve.c -- a server over its socket: what clients send and get. Exchanges of
 * tests/data/serve are those of the openai package. */
#include <criterion/criterion.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ir/util.h"
#include "tests/harness.h"
#include "tests/serving.h"

#define STORYTELLER SSMC_ROOT "/examples/storyteller.yaml"
#define ARGS(...)   ((const char *const[]){__VA_ARGS__, NULL})
#define COMPLETIONS "/v1/completions"
#define CHAT        "/v1/chat/completions"
#define ONCE        "\"prompt\":\"Once upon a time\",\"temperature\":0"

static Serving
start(void)
{
    return serving_start(ARGS(STORYTELLER, "--chat-format", "plain", "--threads", "2"));
}

static void
pause_some(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    nanosleep(&pause, NULL);
}

/* ---- recorded exchanges ---------------------------------------------------------------------- */

Test(serve, recorded_exchanges)
{
    Serving server = start();
    cr_expect_gt(serving_replay(&server, SSMC_ROOT "/tests/data/serve"), 5);
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

/* ---- answers, told another way --------------------------------------------------------------- */

/* The values of a key of strings, one after the other, with their escapes; owns. */
static char *
joined(const char *text, const char *key)
{
    StrBuf out = {0};
    for (const char *at = text; (at = strstr(at, key));) {
        at += strlen(key);
        const char *from = at;
        while (*at && *at != '"')
            at += *at == '\\' && at[1] ? 2 : 1;
        sb_putn(&out, from, (size_t)(at - from));
    }
    sb_puts(&out, "");
    return out.text;
}

static char *
ask(const Serving *server, const char *path, const char *body)
{
    int status = 0;
    char *reply = serving_ask(server, path, body, &status);
    cr_assert_eq(status, 200, "%s: %d %s", body, status, reply);
    return reply;
}

static char *
texts(const Serving *server, const char *path, const char *body, const char *key)
{
    char *reply = ask(server, path, body), *text = joined(reply, key);
    free(reply);
    return text;
}

/* Two requests give the same text. */
static void
expect_same(const Serving *server, const char *path, const char *key, const char *a, const char *b)
{
    char *x = texts(server, path, a, key), *y = texts(server, path, b, key);
    cr_expect_str_eq(x, y, "%s and %s", a, b);
    cr_expect_gt(strlen(x), 0, "%s", a);
    free(x);
    free(y);
}

static void
expect_part(const Serving *server, const char *path, const char *body, const char *part)
{
    char *reply = ask(server, path, body);
    cr_expect(strstr(reply, part), "%s: %s is not in %s", body, part, reply);
    free(reply);
}

Test(serve, one_answer_in_several_ways)
{
    Serving server = start();
    const Serving *s = &server;
    expect_same(s, COMPLETIONS, "\"text\":\"", "{" ONCE ",\"max_tokens\":30}",
                "{" ONCE ",\"max_tokens\":30,\"stream\":true}");
    expect_same(s, COMPLETIONS, "\"text\":\"", "{\"prompt\":\"The\",\"seed\":9,\"max_tokens\":30}",
                "{\"prompt\":\"The\",\"seed\":9,\"max_tokens\":30,\"stream\":true,\"logprobs\":1}");
    expect_same(
        s, CHAT, "\"content\":\"",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"seed\":3,\"max_tokens\":9}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"seed\":3,\"max_tokens\":9,"
        "\"stream\":true}");
    /* n answers are those of their seeds; a list of prompts is each of them; top_p 0 is greedy. */
    char *all = texts(s, COMPLETIONS, "{\"prompt\":\"The\",\"seed\":9,\"n\":2}", "\"text\":\"");
    char *one = texts(s, COMPLETIONS, "{\"prompt\":\"The\",\"seed\":9}", "\"text\":\"");
    char *two = texts(s, COMPLETIONS, "{\"prompt\":\"The\",\"seed\":10}", "\"text\":\"");
    cr_expect(strncmp(all, one, strlen(one)) == 0 && strcmp(all + strlen(one), two) == 0,
              "%s: %s, %s", all, one, two);
    free(all);
    free(one);
    free(two);
    expect_same(s, COMPLETIONS, "\"text\":\"", "{" ONCE "}",
                "{\"prompt\":\"Once upon a time\",\"top_p\":0}");
    expect_same(s, COMPLETIONS, "\"text\":\"", "{" ONCE "}",
                "{\"prompt\":[\"Once upon a time\"],\"temperature\":0}");
    char *text = texts(s, COMPLETIONS, "{" ONCE ",\"max_tokens\":30}", "\"text\":\"");
    char *native =
        texts(s, "/completion", "{" ONCE ",\"n_predict\":30,\"stream\":true}", "\"content\":\"");
    cr_expect_str_eq(text, native);
    free(text);
    free(native);
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

/* Each end of a text of 40 ids, whatever ids it is split into, is found and not told. */
Test(serve, stops_are_found_across_ids)
{
    Serving server = start();
    const Serving *s = &server;
    char *whole = texts(s, COMPLETIONS, "{" ONCE ",\"max_tokens\":24}", "\"text\":\"");
    const size_t len = strlen(whole);
    cr_assert_gt(len, 40);
    for (size_t at = 1; at + 7 < len; at += thorough() ? 3 : 17) {
        char body[256], stop[8];
        snprintf(stop, sizeof stop, "%.7s", whole + at);
        if (strpbrk(stop, "\\\""))
            continue;
        snprintf(body, sizeof body,
                 "{" ONCE ",\"max_tokens\":24,\"stop\":[\"never\",\"%s\"],\"stream\":%s}", stop,
                 at % 2 ? "true" : "false");
        char *reply = ask(s, COMPLETIONS, body), *text = joined(reply, "\"text\":\"");
        const size_t want = (size_t)(strstr(whole, stop) - whole);
        cr_expect(strlen(text) == want && strncmp(text, whole, want) == 0, "%s: '%s' of '%s'", body,
                  text, whole);
        cr_expect(strstr(reply, "\"finish_reason\":\"stop\""), "%s", reply);
        free(reply);
        free(text);
    }
    free(whole);
    expect_part(s, "/completion", "{" ONCE ",\"stop\":[\" man\"]}",
                "\"stop_type\":\"word\",\"stopping_word\":\" man\"");
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

Test(serve, what_requests_may_ask_for)
{
    Serving server = start();
    const Serving *s = &server;
    static const struct {
        const char *path, *body, *part;
    } asked[] = {
        {COMPLETIONS,   "{" ONCE ",\"max_tokens\":3,\"echo\":true}",
         "\"text\":\"Once upon a time there lived a\""                                                                                                  },
        {COMPLETIONS,   "{" ONCE ",\"max_tokens\":0,\"echo\":true,\"logprobs\":0}",
         "\"tokens\":[\"On\",\"ce\",\" upon\",\" a\",\" time\"]"                                                                                        },
        {COMPLETIONS,   "{" ONCE ",\"max_tokens\":2,\"logprobs\":0}",                               "\"text_offset\":[0,6]"                             },
        {COMPLETIONS,   "{" ONCE ",\"max_tokens\":1,\"logit_bias\":{\"5\":100}}",
         "\"completion_tokens\":1"                                                                                                                      },
        {COMPLETIONS,
         "{" ONCE ",\"max_tokens\":2,\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
         "\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":"
         "7"                                                                                                                                            },
        {COMPLETIONS,   "{" ONCE "}",                                                               "\"completion_tokens\":16"                          },
        {COMPLETIONS,   "{" ONCE ",\"max_tokens\":2}",                                              "\"cached_tokens\":4"                               },
        {"/completion", "{" ONCE ",\"n_predict\":2}",                                               "\"stop_type\":\"limit\""                           },
        {"/tokenize",   "{\"content\":\"The king\\u00e9\",\"with_pieces\":true}",
         "{\"id\":887,\"piece\":\" king\"},{\"id\":128,\"piece\":[195]}"                                                                                },
        {"/tokenize",   "{\"content\":\"\"}",                                                       "{\"tokens\":[]}"                                   },
        {"/detokenize", "{\"tokens\":[507,887]}",                                                   "{\"content\":\"The king\"}"                        },
        {"/health",     NULL,                                                                       "{\"status\":\"ok\"}"                               },
        {"/props",      NULL,                                                                       "\"total_slots\":8"                                 },
        {"/v1/models",  NULL,                                                                       "\"id\":\"storyteller\",\"object\":\"model\""       },
        {"/metrics",    NULL,                                                                       "# TYPE ssmc_drawn_total counter\nssmc_drawn_total "},
        {"/metrics",    NULL,                                                                       "ssmc_first_id_seconds_bucket{le=\"+Inf\"} "        },
        {"/",           NULL,                                                                       "<!DOCTYPE html>"                                   },
    };
    for (size_t i = 0; i < COUNT_OF(asked); i++)
        expect_part(s, asked[i].path, asked[i].body, asked[i].part);
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

/* ---- forms of answers ------------------------------------------------------------------------ */

#define HELLO                                                                                      \
    "\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"temperature\":0,\"max_tokens\":60"

Test(serve, answers_keep_to_a_form)
{
    Serving server = start();
    const Serving *s = &server;
    static const struct {
        const char *path, *body, *part;
    } asked[] = {
        {CHAT,
         "{" HELLO ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{"
         "\"enum\":[\"a cat\"]}}}}",                                                     "\"content\":\"\\\"a cat\\\"\""},
        {CHAT,          "{" HELLO ",\"json_schema\":{\"const\":[1,2]}}",                 "\"content\":\"["              },
        {CHAT,          "{" HELLO ",\"response_format\":{\"type\":\"json_object\"}}",    "\"content\":\"{"              },
        {CHAT,          "{" HELLO ",\"grammar\":\"root ::= \\\"yes\\\" | \\\"no\\\"\"}",
         "\"finish_reason\":\"stop\""                                                                                   },
        {COMPLETIONS,   "{" ONCE ",\"grammar\":\"root ::= \\\" there was\\\"\"}",
         "\"text\":\" there was\",\"logprobs\":null,\"finish_reason\":\"stop\""                                         },
        {COMPLETIONS,   "{" ONCE ",\"grammar\":\"root ::= \\\" th\\u00e9\\\"\"}",
         "\"text\":\" th\u00e9\""                                                                                       },
        {"/completion", "{" ONCE ",\"json_schema\":{\"type\":\"boolean\"}}",
         "\"stop_type\":\"eos\""                                                                                        },
    };
    for (size_t i = 0; i < COUNT_OF(asked); i++)
        expect_part(s, asked[i].path, asked[i].body, asked[i].part);
    expect_same(s, CHAT, "\"content\":\"",
                "{" HELLO ",\"response_format\":{\"type\":\"json_object\"}}",
                "{" HELLO ",\"response_format\":{\"type\":\"json_object\"},\"stream\":true}");
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

/* A grammar makes the model call. */
Test(serve, calls_of_tools)
{
    Serving server = serving_start(
        ARGS(STORYTELLER, "--chat-template", SSMC_ROOT "/tests/data/serve/tools.jinja"));
    const Serving *s = &server;
#define CALL                                                                                       \
    HELLO                                                                                          \
    ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"rain\",\"parameters\":{}}}],"     \
    "\"grammar\":\"root ::= \\\"<tool_call>{\\\\\\\"name\\\\\\\": \\\\\\\"rain\\\\\\\", "          \
    "\\\\\\\"arguments\\\\\\\": {\\\\\\\"in\\\\\\\": 3}}</tool_call>\\\"\""
    static const char call[] = "{" CALL "}", stream[] = "{" CALL ",\"stream\":true}";
    expect_part(s, CHAT, call, "\"content\":null,\"refusal\":null,\"tool_calls\":[{\"id\":\"call_");
    expect_part(
        s, CHAT, call,
        "\"type\":\"function\",\"function\":{\"name\":\"rain\",\"arguments\":\"{\\\"in\\\":");
    expect_part(s, CHAT, call, "\"finish_reason\":\"tool_calls\"");
    expect_part(s, CHAT, stream, "\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_");
    expect_part(s, CHAT, stream, "\"delta\":{},\"logprobs\":null,\"finish_reason\":\"tool_calls\"");
    expect_same(s, CHAT, "\"arguments\":\"", call, stream);
    expect_part(
        s, CHAT,
        "{" HELLO ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"rain\"}}],"
        "\"parallel_tool_calls\":false,\"max_tokens\":100,"
        "\"grammar\":\"root ::= (\\\"<tool_call>{\\\\\\\"name\\\\\\\": \\\\\\\"rain\\\\\\\"}"
        "</tool_call>\\\"){3}\"}",
        "\"name\":\"rain\",\"arguments\":\"{}\"}}]},\"logprobs\":null,\"finish_reason\":"
        "\"tool_calls\"");
#define MUST                                                                                       \
    HELLO                                                                                          \
    ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"rain\",\"parameters\":{\"type\":" \
    "\"object\",\"properties\":{\"days\":{\"enum\":[3]}},\"required\":[\"days\"],"                 \
    "\"additionalProperties\":false}}}],\"max_tokens\":100,\"tool_choice\":"
    static const char *const choices[] = {
        "\"required\"", "{\"type\":\"function\",\"function\":{\"name\":\"rain\"}}"};
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        StrBuf body = {0};
        sb_printf(&body, "{" MUST "%s}", choices[i]);
        expect_part(s, CHAT, sb_text(&body),
                    "\"function\":{\"name\":\"rain\",\"arguments\":\"{\\\"days\\\":3}\"}");
        sb_free(&body);
    }
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static int64_t
number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    cr_assert(at, "%s has no %s", text, key);
    return atoll(at + strlen(key));
}

/* Waits until nothing runs, and what is read ahead has been read. */
static void
wait_until_idle(const Serving *server, int64_t requests)
{
    for (bool idle = false; !idle; pause_some()) {
        int status = 0;
        char *text = serving_ask(server, "/metrics", NULL, &status);
        idle = number_after(text, "\nssmc_requests_total ") >= requests &&
               number_after(text, "\nssmc_running ") == 0 &&
               number_after(text, "\nssmc_waiting ") == 0;
        free(text);
    }
}

/* A turn reads its new ids alone: the conversation before was read when the turn before had ended.
 */
Test(serve, turns_of_a_conversation)
{
    enum { TURNS = 5 };
    Serving server = start();
    StrBuf messages = {0};
    int64_t before = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        StrBuf body = {0};
        sb_printf(&messages,
                  "%s{\"role\":\"user\",\"content\":\"Tell me more of that, and of number %d.\"}",
                  turn ? "," : "", turn);
        sb_printf(&body, "{\"messages\":[%s],\"temperature\":0,\"max_tokens\":12}", messages.text);
        char *reply = ask(&server, CHAT, body.text), *text = joined(reply, "\"content\":\"");
        const int64_t prompt = number_after(reply, "\"prompt_tokens\":"),
                      cached = number_after(reply, "\"cached_tokens\":");
        cr_expect(turn == 0 || cached >= before + 10, "turn %d: %lld of %lld cached, %lld before",
                  turn, (long long)cached, (long long)prompt, (long long)before);
        before = prompt;
        sb_printf(&messages, ",{\"role\":\"assistant\",\"content\":\"%s\"}", text);
        wait_until_idle(&server, 2 * (turn + 1));
        sb_free(&body);
        free(reply);
        free(text);
    }
    sb_free(&messages);
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void
expect_refused(const Serving *server, const char *request, int want, const char *part)
{
    int status = 0;
    char *reply = serving_exchange(server, request, strlen(request), &status);
    cr_expect_eq(status, want, "%s: %d %s", request, status, reply);
    cr_expect(strstr(reply, part), "%s: %s is not in %s", request, part, reply);
    cr_expect(want == 204 || strncmp(reply, "{\"error\":{\"message\":\"", 21) == 0, "%s: %s",
              request, reply);
    free(reply);
}

static void
expect_refused_body(const Serving *server, const char *path, const char *body, int want,
                    const char *part)
{
    StrBuf request = {0};
    sb_printf(&request,
              "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
              path, strlen(body), body);
    expect_refused(server, request.text, want, part);
    sb_free(&request);
}

Test(serve, what_is_refused)
{
    Serving server = serving_start(
        ARGS(STORYTELLER, "--chat-format", "plain", "--context", "64", "--body-limit", "1"));
    const Serving *s = &server;
    static const struct {
        const char *path, *body;
        int status;
        const char *part;
    } bodies[] = {
        {COMPLETIONS,        "",                                             400, "the body is empty"                             },
        {COMPLETIONS,        "{}",                                           400, "prompt is missing"                             },
        {COMPLETIONS,        "{\"prompt\":\"\"}",                            400, "prompt is empty"                               },
        {COMPLETIONS,        "{\"prompt\":[]}",                              400, "prompt is empty"                               },
        {COMPLETIONS,        "{\"prompt\":{}}",                              400, "prompt must be a string"                       },
        {COMPLETIONS,        "{\"prompt\":[1,9999]}",                        400, "prompt: item 1 must be an id from 0 to 2047"   },
        {COMPLETIONS,        "{\"prompt\":[[1],\"a\",3]}",                   400, "prompt must be a string"                       },
        {COMPLETIONS,        "{\"prompt\":[\"a\",\"a\"],\"n\":100}",         400,
         "prompt is a list of 2: at most 1 answers"                                                                               },
        {COMPLETIONS,        "{" ONCE ",\"logit_bias\":{\"4000\":1}}",       400,
         "names id 4000, but ids are 0 to 2047"                                                                                   },
        {COMPLETIONS,        "{" ONCE ",\"grammar\":\"root ::= [\"}",        400, "\"param\":\"grammar\""                         },
        {COMPLETIONS,        "{" ONCE ",\"stream\":true,\"grammar\":\"x\"}", 400, "\"param\":\"grammar\""                         },
        {CHAT,               "{}",                                           400, "messages is missing"                           },
        {CHAT,               "{\"messages\":[]}",                            400, "messages is empty"                             },
        {CHAT,               "{\"messages\":[{\"content\":\"a\"}]}",         400,
         "messages: item 0 must be an object with a role"                                                                         },
        {CHAT,               "{\"messages\":[1]}",                           400, "messages: item 0 must be an object with a role"},
        {"/v1/embeddings",   "{\"input\":\"a\"}",                            400, "embeddings are not offered"                    },
        {"/infill",          "{\"input_prefix\":\"a\"}",                     501, "no form for a text between two others"         },
        {"/tokenize",        "{}",                                           400, "content is missing"                            },
        {"/detokenize",      "{}",                                           400, "tokens is missing"                             },
        {"/detokenize",      "{\"tokens\":[5000]}",                          400, "item 0 must be an id from 0 to 2047"           },
        {"/v1/responses",    "{}",                                           404, "answers are made by /v1/chat/completions"      },
        {"/v1/completions/", "{}",                                           400, "prompt is missing"                             },
        {"/v1/nothing",      "{}",                                           404, "there is no POST /v1/nothing here"             },
        {"/v1/models",       "{}",                                           405, "/v1/models takes GET, not POST"                },
    };
    for (size_t i = 0; i < COUNT_OF(bodies); i++)
        expect_refused_body(s, bodies[i].path, bodies[i].body, bodies[i].status, bodies[i].part);
    StrBuf ids = {0};
    sb_puts(&ids, "{\"prompt\":[1");
    for (int i = 1; i < 64; i++)
        sb_puts(&ids, ",1");
    sb_puts(&ids, "]}");
    expect_refused_body(s, COMPLETIONS, ids.text, 400,
                        "the prompt has 64 tokens, but there is room for 64");
    expect_refused_body(s, COMPLETIONS, ids.text, 400, "context_length_exceeded");
    sb_free(&ids);
    expect_refused(s, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n",
                   413, "the body has 2000000 bytes; at most 1048576 are taken");
    expect_refused(s, "GET /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405,
                   "takes POST, not GET");
    expect_refused(s, "GET /v1/models/other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404,
                   "this is storyteller");
    expect_refused(s, "OPTIONS /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405,
                   "not OPTIONS");
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

Test(serve, keys_and_other_pages)
{
    char *dir = temp_dir(), *keys = path_join(dir, "keys");
    cr_assert(write_whole(keys, "# of tests\nfirst-key\n\n  second-key # hers\n", 42));
    Serving server =
        serving_start(ARGS(STORYTELLER, "--api-key-file", keys, "--cors", "https://chat.example"));
    const Serving *s = &server;
    int status = 0;
    static const char good[] = "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: "
                               "close\r\nAuthorization: Bearer second-key\r\n\r\n";
    expect_refused(s, "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 401,
                   "an API key is wanted");
    expect_refused(s,
                   "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "
                   "Bearer second\r\n\r\n",
                   401, "\"code\":\"invalid_api_key\"");
    expect_refused(
        s,
        "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer \r\n\r\n",
        401, "not one of this server's");
    expect_refused(s, "OPTIONS /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                   204, "");
    char *reply = serving_exchange(s, good, sizeof good - 1, &status);
    cr_expect_eq(status, 200, "%s", reply);
    free(reply);
    free(serving_ask(s, "/health", NULL, &status));
    cr_expect_eq(status, 200, "health needs no key");
    free(serving_ask(s, CHAT, "{}", &status));
    cr_expect_eq(status, 401);
    char *log = serving_log(s);
    cr_expect_not(strstr(log, "second-key"), "%s", log);
    free(log);
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
    free(keys);
    temp_dir_remove(dir);
}

/* ---- bodies and connections ------------------------------------------------------------------ */

/* A body of more than 16 KiB is read by another thread. */
Test(serve, long_requests)
{
    Serving server = start();
    const Serving *s = &server;
    StrBuf prompt = {0}, whole = {0}, stream = {0}, bad = {0};
    for (int i = 0; i < 1000; i++)
        sb_puts(&prompt, "The fox said: once more. ");
    sb_printf(&whole, "{\"prompt\":\"%s\",\"temperature\":0,\"max_tokens\":5}", prompt.text);
    sb_printf(&stream, "{\"prompt\":\"%s\",\"temperature\":0,\"max_tokens\":5,\"stream\":true}",
              prompt.text);
    sb_printf(&bad, "{\"prompt\":\"%s\",\"n\":0}", prompt.text);
    expect_same(s, COMPLETIONS, "\"text\":\"", whole.text, stream.text);
    expect_refused_body(s, COMPLETIONS, bad.text, 400, "n is 0, but must be 1 to 128");
    sb_free(&prompt);
    sb_free(&whole);
    sb_free(&stream);
    sb_free(&bad);
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

/* Length and text of what comes until a connection is closed. */
Test(serve, requests_one_after_the_other)
{
    Serving server = start();
    char data[8192] = "";
    size_t len = 0;
    const int fd = serving_connect(&server);
    static const char requests[] =
        "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        "POST /tokenize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "8\r\n{\"conten\r\nA\r\nt\":\"The\"}\n\r\n0\r\n\r\n"
        "HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n"
        "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    cr_assert(serving_send(fd, requests, sizeof requests - 1));
    for (ssize_t n;
         len < sizeof data - 1 && (n = recv(fd, data + len, sizeof data - 1 - len, 0)) > 0;)
        len += (size_t)n;
    close(fd);
    const char *health = strstr(data, "{\"status\":\"ok\"}"),
               *ids = strstr(data, "{\"tokens\":[507]}");
    const char *head = ids ? strstr(ids, "HTTP/1.1 200 OK") : NULL,
               *none = strstr(data, "HTTP/1.1 404");
    cr_expect(health && ids && head && none && health < ids && ids < head && head < none, "%s",
              data);
    cr_expect(head && !strstr(head, "{\"status\""), "HEAD has no body: %s", data);
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

/* An answer that is there before its connection has fallen asleep: most of these are made in the
 * next step, and a thread of work that reads the schema may be slower than that. */
Test(serve, no_answer_is_left_lying)
{
    enum { ROUNDS = 60, CLIENTS = 16, PATIENCE = 60000 };
    Serving server = serving_start(
        ARGS(STORYTELLER, "--chat-format", "plain", "--threads", "2", "--slots", "16"));
    static const char *const bodies[] = {
        "{\"prompt\":\"A\",\"max_tokens\":1}",
        "{\"prompt\":[\"A\",\"B\"],\"max_tokens\":1,\"n\":3}",
        "{\"prompt\":\"A\",\"max_tokens\":1,\"json_schema\":{\"type\":\"null\"}}",
        "{\"prompt\":\"A\",\"max_tokens\":1,\"stream\":true}"};
    for (int round = 0; round < ROUNDS; round++) {
        struct pollfd fds[CLIENTS];
        for (int i = 0; i < CLIENTS; i++) {
            char request[512];
            const char *body = bodies[(i + round) % (int)COUNT_OF(bodies)];
            const int len = snprintf(request, sizeof request,
                                     "POST " COMPLETIONS " HTTP/1.1\r\nHost: x\r\nConnection: "
                                     "close\r\nContent-Length: %zu\r\n\r\n%s",
                                     strlen(body), body);
            fds[i] = (struct pollfd){.fd = serving_connect(&server), .events = POLLIN};
            cr_assert(serving_send(fds[i].fd, request, (size_t)len));
        }
        for (int i = 0; i < CLIENTS; i++) {
            char data[4096];
            ssize_t n = 1;
            while (n > 0) {
                cr_assert_eq(poll(&fds[i], 1, PATIENCE), 1, "round %d: no answer", round);
                n = recv(fds[i].fd, data, sizeof data, 0);
            }
            close(fds[i].fd);
        }
    }
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

/* A body in chunks says its length nowhere: it is counted while it comes. */
Test(serve, a_body_that_goes_on_is_refused)
{
    enum { CHUNK = 65536 };
    Serving server = serving_start(ARGS(STORYTELLER, "--body-limit", "1"));
    char data[4096] = "", *chunk = calloc(1, CHUNK);
    static const char head[] = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: "
                               "close\r\nTransfer-Encoding: chunked\r\n\r\n";
    const int fd = serving_connect(&server);
    memset(chunk, ' ', CHUNK);
    cr_assert(serving_send(fd, head, sizeof head - 1));
    for (int i = 0; i < 20; i++)
        cr_assert(serving_send(fd, "10000\r\n", 7) && serving_send(fd, chunk, CHUNK) &&
                  serving_send(fd, "\r\n", 2));
    cr_assert(serving_send(fd, "0\r\n\r\n", 5));
    size_t len = 0;
    for (ssize_t n;
         len < sizeof data - 1 && (n = recv(fd, data + len, sizeof data - 1 - len, 0)) > 0;)
        len += (size_t)n;
    cr_expect(strncmp(data, "HTTP/1.1 413 ", 13) == 0 &&
                  strstr(data, "longer than the 1048576 bytes"),
              "%s", data);
    close(fd);
    free(chunk);
    free(ask(&server, COMPLETIONS, "{" ONCE ",\"max_tokens\":1}"));
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

/* ---- operations ------------------------------------------------------------------------------ */

/* Waits until the text of a path has that part. */
static void
wait_for(const Serving *server, const char *path, const char *part)
{
    for (int i = 0;; i++) {
        int status = 0;
        char *reply = serving_ask(server, path, NULL, &status);
        const bool there = strstr(reply, part);
        cr_assert(there || i < 60000, "%s never had %s: %s", path, part, reply);
        free(reply);
        if (there)
            return;
        pause_some();
    }
}

/* A connection on which an answer without an end has begun. */
static int
begin_endless(const Serving *server)
{
    static const char body[] =
        "{\"prompt\":\"Once\",\"max_tokens\":1000000,\"ignore_eos\":true,\"stream\":true}";
    StrBuf request = {0};
    char byte;
    const int fd = serving_connect(server);
    sb_printf(&request, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
              sizeof body - 1, body);
    cr_assert(fd >= 0 && serving_send(fd, request.text, request.len));
    sb_free(&request);
    cr_assert_eq(recv(fd, &byte, 1, 0), 1);
    return fd;
}

Test(serve, a_client_that_goes_ends_its_request)
{
    Serving server = serving_start(ARGS(STORYTELLER, "--context", "4000000", "--slots", "1"));
    const int fd = begin_endless(&server);
    wait_for(&server, "/metrics", "\nssmc_running 1\n");
    close(fd);
    wait_for(&server, "/metrics", "\nssmc_running 0\n");
    wait_for(&server, "/metrics", "\nssmc_cancelled_total 1\n");
    /* The same of one that waits for its whole answer: 499 in the log, as nginx has it. */
    static const char request[] =
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 56\r\n\r\n"
        "{\"prompt\":\"Once\",\"max_tokens\":1000000,\"ignore_eos\":true}";
    const int other = serving_connect(&server);
    cr_assert(serving_send(other, request, sizeof request - 1));
    wait_for(&server, "/metrics", "\nssmc_running 1\n");
    close(other);
    wait_for(&server, "/metrics", "\nssmc_cancelled_total 2\n");
    for (bool there = false; !there; pause_some()) {
        char *log = serving_log(&server);
        there = strstr(log, "POST /v1/completions 499 ") && strstr(log, " client_gone\n");
        free(log);
    }
    free(ask(&server, COMPLETIONS, "{" ONCE ",\"max_tokens\":2}"));
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

Test(serve, a_full_queue_says_when_to_come_back)
{
    Serving server =
        serving_start(ARGS(STORYTELLER, "--context", "4000000", "--slots", "1", "--queue", "0"));
    int status = 0;
    const int fd = begin_endless(&server);
    char *reply = serving_ask(&server, COMPLETIONS, "{" ONCE "}", &status);
    cr_expect_eq(status, 429, "%s", reply);
    cr_expect(strstr(reply, "\"type\":\"rate_limit_error\"") &&
                  strstr(reply, "\"code\":\"queue_full\""),
              "%s", reply);
    free(reply);
    close(fd);
    cr_expect_eq(serving_end(&server, SIGTERM), 0);
}

/* All that a connection says until its end; owns. */
static char *
read_rest(int fd)
{
    StrBuf out = {0};
    char data[4096];
    for (ssize_t n; (n = recv(fd, data, sizeof data, 0)) > 0;)
        sb_putn(&out, data, (size_t)n);
    sb_puts(&out, "");
    close(fd);
    return out.text;
}

Test(serve, a_drain_lets_answers_end_and_refuses_others)
{
    Serving server = serving_start(ARGS(STORYTELLER, "--context", "4000000", "--drain", "1"));
    const Serving *s = &server;
    int status = 0;
    const int fd = begin_endless(s);
    kill(server.pid, SIGTERM);
    for (bool draining = false; !draining; pause_some()) {
        char *log = serving_log(s);
        draining = strstr(log, "draining");
        free(log);
    }
    char *refused = serving_ask(s, COMPLETIONS, "{" ONCE "}", &status);
    /* The answer has no end: after a second it is told that the server ended it. */
    char *rest = read_rest(fd);
    cr_expect(status == 503 || status == 0, "%d %s", status, refused);
    cr_expect(strstr(rest, "\"error\":{\"message\":\"the server ended this request\""), "%.300s",
              rest + (strlen(rest) > 300 ? strlen(rest) - 300 : 0));
    free(rest);
    free(refused);
    cr_expect_eq(serving_end(&server, 0), 0);
}

/* The log's name is first a link to standard error, then gone, then a file. */
Test(serve, the_log_is_opened_again)
{
    char *dir = temp_dir(), *path = path_join(dir, "log");
    cr_assert_eq(symlink("/dev/stderr", path), 0);
    Serving server = serving_start(ARGS(STORYTELLER, "--log-prompts", "--log", path));
    free(ask(&server, COMPLETIONS, "{" ONCE ",\"max_tokens\":2}"));
    for (bool there = false; !there; pause_some()) {
        char *text = serving_log(&server);
        there = strstr(text, "POST /v1/completions 200 ");
        cr_expect(!there ||
                      (strstr(text, " prompt=5 cached=0 drawn=2 ") && strstr(text, " end=length ")),
                  "%s", text);
        cr_expect(!there || strstr(text, "body=\"{\\\"prompt\\\":"), "%s", text);
        free(text);
    }
    cr_assert_eq(unlink(path), 0);
    kill(server.pid, SIGHUP);
    while (access(path, F_OK) != 0)
        pause_some();
    free(ask(&server, "/tokenize", "{\"content\":\"a\"}"));
    for (bool there = false; !there; pause_some()) {
        char *text = read_whole(path, NULL);
        there = text && strstr(text, "POST /tokenize 200 ");
        cr_expect(!there || !strstr(text, "body="), "only of prompts: %s", text);
        free(text);
    }
    cr_expect_eq(serving_end(&server, SIGINT), 0);
    free(path);
    temp_dir_remove(dir);
}

/* ---- the command line ------------------------------------------------------------------------ */

Test(serve, memory_is_said_before_it_is_taken)
{
    CommandResult r = command_run(ARGS(SSMC_BINARY, "serve", STORYTELLER, "--check", "--slots", "3",
                                       "--context", "100", "--threads", "1"),
                                  NULL, 0);
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(strncmp(r.out, "storyteller: 3 slots, room for 100 tokens each, 1 threads\n", 58) ==
                  0,
              "%s", r.out);
    cr_expect(strstr(r.out, "\n  together ") && strstr(r.out, "\n  prefixes        1024.00 MiB"),
              "%s", r.out);
    command_free(&r);
}

Test(serve, faults_of_the_command_line)
{
    char *dir = temp_dir(), *none = path_join(dir, "none"), *empty = path_join(dir, "empty");
    cr_assert(write_whole(empty, "# no key\n", 9));
    const struct {
        const char *option, *value, *message;
        int status;
    } faults[] = {
        {"--port",          "70000",                "--port 70000 is out of range: it must be 0 to 65535", 2},
        {"--slots",         "0",                    "it must be 1 to 4096",                                2},
        {"--latency",       "0",                    "it must be 0.1 to 60000",                             2},
        {"--drain",         "-1",                   "it must be 0 to 86400",                               2},
        {"--context",       "0",                    "is out of range",                                     2},
        {"--temperature",   "-1",                   "is out of range",                                     2},
        {"--api-key-file",  none,                   "No such file",                                        2},
        {"--api-key-file",  empty,                  "has no key: nobody could ask",                        2},
        {"--chat-template", none,                   "No such file",                                        2},
        {"--host",          "no.such.host.invalid", "cannot listen on no.such.host.invalid",               1},
        {"--log",           "/nowhere/log",         "cannot write the log /nowhere/log: No such file",     1},
    };
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        CommandResult r = command_run(ARGS(SSMC_BINARY, "serve", STORYTELLER, "--port", "0",
                                           faults[i].option, faults[i].value),
                                      NULL, 0);
        cr_expect_eq(r.status, faults[i].status, "%s %s: %d", faults[i].option, faults[i].value,
                     r.status);
        cr_expect(strstr(r.err, faults[i].message), "%s", r.err);
        command_free(&r);
    }
    free(none);
    free(empty);
    temp_dir_remove(dir);
}
