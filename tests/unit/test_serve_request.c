/* tests/unit/test_serve_request.c -- bodies of requests: what is read, and what is refused in which
 * words. */
#include <criterion/criterion.h>

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "serve/request.h"

typedef struct {
    Endpoint endpoint;
    const char *body, *param, *message; /* param NULL: none; message: a part of it */
} Refused;

static const Refused refused[] = {
    {ENDPOINT_completions, "",                                                                              NULL,                "the body is empty"                },
    {ENDPOINT_completions, "[1]",                                                                           NULL,                "the body is JSON, but no object"  },
    {ENDPOINT_completions, "{\"prompt\":\"a\"",                                                             NULL,                "it ends too early (byte 13 of 13)"},
    {ENDPOINT_completions, "{\"prompt\":}",                                                                 NULL,                "(byte 10 of 11)"                  },
    {ENDPOINT_completions, "{\"prompt\":\"a\"} x",                                                          NULL,                "the body is not JSON"             },
    {ENDPOINT_completions, "{\"prompt\":'a'}",                                                              NULL,                "the body is not JSON"             },
    {ENDPOINT_completions, "{\"prompt\":\"\xff\"}",                                                         NULL,                "not UTF-8: byte 11 is 0xff"       },
    {ENDPOINT_completions, "{\"temperature\":\"1\"}",                                                       "temperature",
     "must be a number, not string"                                                                                                                                 },
    {ENDPOINT_completions, "{\"temperature\":-1}",                                                          "temperature",
     "temperature is -1, but must be 0 to 100"                                                                                                                      },
    {ENDPOINT_completions, "{\"temperature\":1e999}",                                                       "temperature",       "must be 0 to 100"                 },
    {ENDPOINT_completions, "{\"top_p\":1.5}",                                                               "top_p",             "must be 0 to 1"                   },
    {ENDPOINT_completions, "{\"max_tokens\":1.5}",                                                          "max_tokens",        "must be a whole number"           },
    {ENDPOINT_completions, "{\"max_tokens\":99999999999999999999}",                                         "max_tokens",
     "must be -1 to 2147483647"                                                                                                                                     },
    {ENDPOINT_completions, "{\"n\":0}",                                                                     "n",                 "must be 1 to 128"                 },
    {ENDPOINT_completions, "{\"best_of\":2,\"n\":3}",                                                       "best_of",
     "of so many answers no 3 (n) can be given"                                                                                                                     },
    {ENDPOINT_completions, "{\"best_of\":2,\"stream\":true}",                                               "best_of",
     "and stream exclude each other"                                                                                                                                },
    {ENDPOINT_completions, "{\"suffix\":1}",                                                                "suffix",            "must be a string"                 },
    {ENDPOINT_infill,      "{\"input_prefix\":1}",                                                          "input_prefix",      "must be a string"                 },
    {ENDPOINT_infill,      "{\"n_indent\":-1}",                                                             "n_indent",          "must be 0 to 2147483647"          },
    {ENDPOINT_infill,      "{\"response_fields\":[1]}",                                                     "response_fields",   "must be a list of strings"        },
    {ENDPOINT_completions, "{\"stream\":1}",                                                                "stream",            "must be true or false, not int"   },
    {ENDPOINT_completions, "{\"frequency_penalty\":2.5}",                                                   "frequency_penalty", "must be -2 to 2"                  },
    {ENDPOINT_completions, "{\"stop\":[1]}",                                                                "stop",              "a string, or a list of strings"   },
    {ENDPOINT_completions,
     "{\"stop\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
     "\"a\",\"a\",\"a\",\"a\"]}",                                                                           "stop",              "at most 16 texts"                 },
    {ENDPOINT_completions, "{\"logprobs\":21}",                                                             "logprobs",          "from 0 to 20"                     },
    {ENDPOINT_chat,        "{\"logprobs\":3}",                                                              "logprobs",          "true or false"                    },
    {ENDPOINT_chat,        "{\"top_logprobs\":3}",                                                          "top_logprobs",      "wants logprobs to be true"        },
    {ENDPOINT_chat,        "{\"messages\":\"hello\"}",                                                      "messages",          "must be a list, not string"       },
    {ENDPOINT_chat,        "{\"functions\":[{}]}",                                                          "functions",         "not offered here"                 },
    {ENDPOINT_chat,        "{\"tool_choice\":\"required\"}",                                                "tool_choice",       "but there are no tools"           },
    {ENDPOINT_chat,        "{\"guided_json\":{\"type\":\"null\"}}",                                         "guided_json",       "is not offered here"              },
    {ENDPOINT_chat,        "{\"tool_choice\":\"yes\"}",                                                     "tool_choice",
     "must be auto, none, required or a function"                                                                                                                   },
    {ENDPOINT_chat,        "{\"tools\":[{}],\"tool_choice\":{\"type\":\"function\"}}",                      "tool_choice",
     "with the function's name"                                                                                                                                     },
    {ENDPOINT_chat,        "{\"tools\":[{}],\"tool_choice\":\"required\",\"grammar\":\"root ::= [a]\"}",
     "grammar",                                                                                                                  "give one"                         },
    {ENDPOINT_chat,        "{\"response_format\":{\"type\":\"xml\"}}",                                      "response_format",
     "text, json_object or json_schema"                                                                                                                             },
    {ENDPOINT_chat,        "{\"response_format\":{}}",                                                      "response_format",   "has no type"                      },
    {ENDPOINT_chat,        "{\"response_format\":{\"type\":\"json_schema\"}}",                              "response_format",
     "has no object json_schema.schema"                                                                                                                             },
    {ENDPOINT_chat,        "{\"grammar\":\"root ::= [a]\",\"response_format\":{\"type\":\"json_object\"}}",
     "grammar",                                                                                                                  "give one"                         },
    {ENDPOINT_chat,        "{\"tools\":[{}],\"json_schema\":{}}",                                           "tools",             "exclude each other"               },
    {ENDPOINT_chat,        "{\"stream_options\":{\"include_usage\":1}}",                                    "stream_options",
     "true or false"                                                                                                                                                },
    {ENDPOINT_completions, "{\"logit_bias\":{\"x\":1}}",                                                    "logit_bias",        "not 'x'"                          },
    {ENDPOINT_completions, "{\"logit_bias\":{\"1\":200}}",                                                  "logit_bias",        "-100 to 100"                      },
    {ENDPOINT_completions, "{\"logit_bias\":[[1]]}",                                                        "logit_bias",        "a list of [id, bias]"             },
    {ENDPOINT_completions, "{\"logit_bias\":3}",                                                            "logit_bias",        "an object id: bias"               },
    {ENDPOINT_completions, "{\"seed\":1.5}",                                                                "seed",              "a whole number"                   },
    {ENDPOINT_llama,       "{\"n_predict\":-3}",                                                            "n_predict",         "must be -2 to"                    },
    {ENDPOINT_tokenize,    "{\"content\":[]}",                                                              "content",           "must be a string"                 },
};

Test(serve_request, what_is_refused_and_how)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        const Refused *want = &refused[i];
        Body request;
        Fault fault = {0};
        cr_expect_not(
            request_read(&request, want->endpoint, want->body, strlen(want->body), &fault), "%s",
            want->body);
        cr_expect_eq(fault.status, 400, "%s", want->body);
        cr_expect(strstr(sb_text(&fault.message), want->message), "%s: %s", want->body,
                  sb_text(&fault.message));
        cr_expect(want->param ? fault.param && strcmp(fault.param, want->param) == 0 : !fault.param,
                  "%s", want->body);
        request_free(&request);
        sb_free(&fault.message);
    }
}

Test(serve_request, nested_too_deep)
{
    StrBuf body = {0};
    Body request;
    Fault fault = {0};
    sb_puts(&body, "{\"x\":");
    for (int i = 0; i < 100000; i++)
        sb_puts(&body, "[");
    cr_expect_not(request_read(&request, ENDPOINT_chat, body.text, body.len, &fault));
    cr_expect(strstr(sb_text(&fault.message), "nested too deep"), "%s", sb_text(&fault.message));
    request_free(&request);
    sb_free(&fault.message);
    sb_free(&body);
}

static Body
read(Endpoint endpoint, const char *body)
{
    Body request;
    Fault fault = {0};
    cr_assert(request_read(&request, endpoint, body, strlen(body), &fault), "%s: %s", body,
              sb_text(&fault.message));
    return request;
}

Test(serve_request, what_is_read)
{
    Body r =
        read(ENDPOINT_completions,
             "{\"unknown\":{},\"temperature\":null,\"top_p\":1,\"stop\":[\"\",\"a\\u0000b\"],"
             "\"seed\":18446744073709551615,\"logprobs\":2,\"suffix\":\"\",\"best_of\":1,"
             "\"logit_bias\":{\"5\":-100,\"6\":1.5},\"stream_options\":{\"include_usage\":true}}");
    cr_expect_not(request_has(&r, REQ_temperature));
    cr_expect_eq(r.value[REQ_top_p].num, 1);
    cr_expect(r.nstops == 1 && r.stop_len[0] == 3,
              "an empty stop is none; others may have any character");
    cr_expect(r.has_seed && r.seed == UINT64_MAX);
    cr_expect_eq(r.top, 2);
    cr_expect(r.nbias == 2 && r.bias[0].id == 5 && r.bias[1].bias == 1.5f);
    cr_expect(r.usage);
    request_free(&r);
    r = read(ENDPOINT_llama,
             "{\"seed\":-1,\"logit_bias\":[[7,false]],\"n_probs\":0,\"messages\":7}");
    cr_expect_not(r.has_seed, "-1 is any seed");
    cr_expect(r.nbias == 1 && r.bias[0].bias < -1e30f);
    cr_expect_eq(r.top, -1);
    request_free(&r);
    r = read(ENDPOINT_chat,
             "{\"tools\":[{}],\"tool_choice\":\"none\",\"logprobs\":true,"
             "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{}}}}");
    cr_expect_not(r.tools, "none leaves them out");
    cr_expect(r.top == 0 && r.schema && !r.any_json);
    request_free(&r);
    r = read(ENDPOINT_chat,
             "{\"response_format\":{\"type\":\"json_object\"},\"max_completion_tokens\":3.0}");
    cr_expect(r.any_json && r.value[REQ_max_completion_tokens].i == 3);
    request_free(&r);
}

Test(serve_request, lists_of_ids)
{
    static const char *const bad[] = {"[1,-1]", "[1,5]", "[1,\"a\"]", "[1,1.5]"};
    int32_t *ids = NULL;
    int64_t count = 0;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Fault fault = {0};
        json_object *list = json_tokener_parse(bad[i]);
        cr_expect_not(request_ids(list, REQ_prompt, 5, &ids, &count, &fault));
        cr_expect_str_eq(sb_text(&fault.message), "prompt: item 1 must be an id from 0 to 4");
        free(ids);
        json_object_put(list);
        sb_free(&fault.message);
    }
}
