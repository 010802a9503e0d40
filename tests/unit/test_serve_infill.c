/* tests/unit/test_serve_infill.c -- filling in the middle of a text: prompts in the forms of
 * published models, limits of an answer's lines, states that are found again while a text is typed.
 *
 * The model is storyteller's with tokens more, and random weights. Exchanges of
 * tests/data/serve/infill are those of llama.vim; of llama.vscode and Continue, as their sources
 * make them. */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/util.h"
#include "tests/harness.h"
#include "tests/serving.h"

#define QWEN                                                                                       \
    "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|repo_name|>",          \
        "<|file_sep|>"

typedef struct {
    char *dir; /* of the model; owns */
    Serving server;
} Coder;

/* A server of a model whose tokenizer has these tokens from id 2048 on; more: options. */
static Coder
start_with(const char *const *tokens, const char *const *more)
{
    enum { FIRST = 2048, MOST = 16 };
    static const char before[] = "\"added_tokens\": [";
    static const char model[] = "name: coder\nvocab: 2064\ndim: 64\ntie_embeddings: true\neos: 0\n"
                                "layers:\n  - {block: mamba2, repeat: 2, state: 16, head_dim: 32}\n"
                                "weights: {init: reference, seed: 3}\ntokenizer: tokenizer.json\n";
    Coder c = {.dir = temp_dir()};
    StrBuf added = {0};
    sb_puts(&added, before);
    for (int i = 0; tokens[i]; i++)
        sb_printf(&added,
                  "{\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": false, "
                  "\"rstrip\": false, \"normalized\": false, \"special\": false},\n",
                  FIRST + i, tokens[i]);
    char *base = read_whole(SSMC_ROOT "/examples/storyteller/tokenizer.json", NULL);
    char *text = text_replace(base, before, sb_text(&added));
    char *yaml = path_join(c.dir, "coder.yaml"), *path = path_join(c.dir, "tokenizer.json");
    cr_assert(write_whole(path, text, strlen(text)));
    cr_assert(write_whole(yaml, model, strlen(model)));
    const char *args[MOST] = {yaml, "--threads", "1"};
    for (int i = 0; more && more[i]; i++)
        args[3 + i] = more[i];
    c.server = serving_start(args);
    free(yaml);
    free(path);
    free(text);
    free(base);
    sb_free(&added);
    return c;
}

static Coder
start(void)
{
    static const char *const tokens[] = {QWEN, NULL};
    return start_with(tokens, NULL);
}

static void
stop(Coder *c)
{
    cr_expect_eq(serving_end(&c->server, SIGTERM), 0);
    temp_dir_remove(c->dir);
}

static void
expect(const Coder *c, const char *path, const char *body, int want, const char *part)
{
    int status = 0;
    char *reply = serving_ask(&c->server, path, body, &status);
    cr_expect_eq(status, want, "%s: %d %s", body, status, reply);
    cr_expect(strstr(reply, part), "%s: %s is not in %s", body, part, reply);
    free(reply);
}

/* The number behind a key in the reply. */
static long
number(const Coder *c, const char *body, const char *key)
{
    int status = 0;
    char *reply = serving_ask(&c->server, "/infill", body, &status);
    const char *at = strstr(reply, key);
    cr_assert(status == 200 && at, "%s: %d %s", body, status, reply);
    const long n = atol(at + strlen(key));
    free(reply);
    return n;
}

Test(serve_infill, recorded_exchanges)
{
    Coder c = start();
    cr_expect_gt(serving_replay(&c.server, SSMC_ROOT "/tests/data/serve/infill"), 5);
    stop(&c);
}

/* ---- prompts -----------------------------------------------------------------------------------
 */

#define PROMPT ",\"n_predict\":0,\"response_fields\":[\"prompt\"]}"
#define EXTRA                                                                                      \
    "\"input_extra\":[{\"filename\":\"a.py\",\"text\":\"A\\n\"},{\"text\":\"B <|fim_pad|>\"}]"

Test(serve_infill, prompts_are_in_the_form_of_the_model)
{
    Coder c = start();
    expect(&c, "/infill", "{\"input_prefix\":\"one \",\"input_suffix\":\" two\"" PROMPT, 200,
           "{\"prompt\":\"<|fim_prefix|>one <|fim_suffix|> two<|fim_middle|>\"}");
    expect(&c, "/infill", "{\"input_prefix\":\"\",\"input_suffix\":\"\"" PROMPT, 200,
           "{\"prompt\":\"<|fim_prefix|><|fim_suffix|><|fim_middle|>\"}");
    expect(
        &c, "/infill",
        "{\"input_prefix\":\"1\\n\",\"prompt\":\"  x\",\"input_suffix\":\"2\"," EXTRA PROMPT, 200,
        "{\"prompt\":\"<|repo_name|>myproject\\n<|file_sep|>a.py\\nA\\n<|file_sep|>tmp\\nB "
        "<|fim_pad|><|file_sep|>filename\\n<|fim_prefix|>1\\n  x<|fim_suffix|>2<|fim_middle|>\"}");
    stop(&c);
}

Test(serve_infill, models_without_tokens_for_files_get_their_texts)
{
    static const char *const tokens[] = {"<fim_prefix>", "<fim_middle>", "<fim_suffix>", NULL};
    Coder c = start_with(tokens, NULL);
    expect(&c, "/infill", "{\"input_prefix\":\"1\",\"input_suffix\":\"2\"," EXTRA PROMPT, 200,
           "{\"prompt\":\"\\n\\n--- snippet ---\\n\\nA\\n\\n\\n--- snippet ---\\n\\nB <|fim_pad|>"
           "<fim_prefix>1<fim_suffix>2<fim_middle>\"}");
    stop(&c);
}

Test(serve_infill, models_that_read_the_suffix_first)
{
    static const char *const tokens[] = {"[PREFIX]", "[SUFFIX]", "[MIDDLE]", NULL};
    Coder c = start_with(tokens, NULL);
    expect(&c, "/infill", "{\"input_prefix\":\"1\",\"input_suffix\":\"2\",\"prompt\":\"x\"" PROMPT,
           200, "{\"prompt\":\"[SUFFIX]2[PREFIX]1x\"}");
    stop(&c);
}

/* What a file spells is text: the ids are other ones than those of the marks. */
Test(serve_infill, texts_do_not_become_marks)
{
    Coder c = start();
    expect(&c, "/tokenize", "{\"content\":\"<|fim_suffix|>\"}", 200, "{\"tokens\":[2049]}");
    expect(&c, "/tokenize", "{\"content\":\"<|fim_suffix|>\",\"parse_special\":false}", 200,
           "{\"tokens\":[28,");
    const long marks = number(&c,
                              "{\"input_prefix\":\"\",\"input_suffix\":\"\",\"prompt\":\"\","
                              "\"n_predict\":0}",
                              "\"tokens_evaluated\":");
    cr_expect_eq(marks, 3);
    cr_expect_gt(
        number(&c, "{\"input_prefix\":\"<|fim_suffix|>\",\"input_suffix\":\"\",\"n_predict\":0}",
               "\"tokens_evaluated\":"),
        marks + 3);
    stop(&c);
}

Test(serve_infill, suffix_of_completions)
{
    Coder c = start();
    expect(&c, "/v1/completions",
           "{\"prompt\":\"a b\",\"suffix\":\" c\",\"max_tokens\":3,\"echo\":true}", 200,
           "\"text\":\"a b");
    expect(&c, "/v1/completions", "{\"prompt\":\"a\",\"suffix\":\"\",\"max_tokens\":1}", 200,
           "\"prompt_tokens\":1,");
    expect(&c, "/v1/completions", "{\"prompt\":\"a\",\"suffix\":\"b\",\"max_tokens\":1}", 200,
           "\"prompt_tokens\":5,");
    expect(&c, "/v1/completions", "{\"prompt\":[65],\"suffix\":\"b\"}", 400,
           "suffix wants a prompt that is a text");
    stop(&c);
}

/* Of a text that is too long, what is nearest stays; the answer keeps its room. */
Test(serve_infill, long_texts_are_cut_to_the_room)
{
    static const char *const tokens[] = {QWEN, NULL}, *const more[] = {"--context", "128", NULL};
    Coder c = start_with(tokens, more);
    StrBuf body = {0};
    sb_puts(&body, "{\"input_prefix\":\"FIRST");
    for (int i = 0; i < 200; i++)
        sb_puts(&body, "\\n1");
    sb_puts(&body, "LAST\",\"input_suffix\":\"NEXT");
    for (int i = 0; i < 200; i++)
        sb_puts(&body, "\\n2");
    sb_puts(&body, "END\"," EXTRA ",\"n_predict\":8");
    StrBuf full = {0};
    sb_printf(&full, "%s,\"response_fields\":[\"prompt\"]}", sb_text(&body));
    expect(&c, "/infill", sb_text(&full), 200, "LAST<|fim_suffix|>NEXT\\n2");
    sb_puts(&body, "}");
    const long read = number(&c, sb_text(&body), "\"tokens_evaluated\":");
    cr_expect(read <= 120 && read > 90, "%ld", read);
    sb_free(&full);
    sb_free(&body);
    stop(&c);
}

/* ---- answers -----------------------------------------------------------------------------------
 */

#define EMPTY "{\"input_prefix\":\"\",\"input_suffix\":\"\""

Test(serve_infill, answers_end_with_their_lines)
{
    Coder c = start();
    static const struct {
        const char *indent, *text, *want;
    } rows[] = {
        {"2", "  a\\\\n  b\\\\nc\\\\n", "\"content\":\"  a\\n  b\\n\""  },
        {"2", "x\\\\n \\\\t b\\\\n d",  "\"content\":\"x\\n \\t b\\n \""},
        {"2", "x\\\\n\\\\n  b",         "\"content\":\"x\\n\""          },
        {"0", "  a\\\\nb",              "\"content\":\"  a\\nb\""       },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char body[256];
        for (int stream = 0; stream < 2; stream++) {
            snprintf(body, sizeof body,
                     EMPTY ",\"n_indent\":%s,\"stream\":%s,\"n_predict\":40,"
                           "\"grammar\":\"root ::= \\\"%s\\\"\"}",
                     rows[i].indent, stream ? "true" : "false", rows[i].text);
            if (!stream)
                expect(&c, "/infill", body, 200, rows[i].want);
            expect(&c, "/infill", body, 200,
                   rows[i].indent[0] == '0' ? "\"stop_type\":\"eos\"" : "\"stop_type\":\"limit\"");
        }
    }
    /* Three hundred lines take longer than a millisecond anywhere. */
    const long drawn =
        number(&c, EMPTY ",\"t_max_predict_ms\":1,\"grammar\":\"root ::= (\\\"ab\\\\n\\\"){300}\"}",
               "\"tokens_predicted\":");
    cr_expect(drawn >= 2 && drawn < 600, "%ld", drawn);
    expect(&c, "/infill",
           EMPTY ",\"t_max_predict_ms\":1,\"n_predict\":500,\"grammar\":\"root ::= [a-c]{2000}\"}",
           200, "\"has_new_line\":false,\"stop_type\":\"limit\"");
    stop(&c);
}

/* Ids that divide parts end the middle, as ids of an end do. */
Test(serve_infill, marks_end_the_answer)
{
    Coder c = start();
    expect(&c, "/infill", EMPTY ",\"n_predict\":9,\"logit_bias\":{\"2051\":100}}", 200,
           "\"content\":\"\",\"tokens\":[]");
    expect(&c, "/infill", EMPTY ",\"n_predict\":9,\"logit_bias\":{\"2051\":100}}", 200,
           "\"stop_type\":\"eos\"");
    expect(&c, "/infill",
           EMPTY ",\"n_predict\":2,\"ignore_eos\":true,\"logit_bias\":{\"2051\":100}}", 200,
           "\"content\":\"<|fim_pad|><|fim_pad|>\"");
    expect(&c, "/infill",
           EMPTY ",\"n_predict\":2,\"return_tokens\":true,\"logit_bias\":{\"65\":100}}", 200,
           "\"content\":\"aa\",\"tokens\":[65,65]");
    expect(&c, "/infill",
           EMPTY
           ",\"n_predict\":2,\"return_tokens\":true,\"stream\":true,\"logit_bias\":{\"65\":100}}",
           200, "\"content\":\"a\",\"tokens\":[65],\"stop\":false}");
    expect(&c, "/infill", EMPTY ",\"n_predict\":0,\"response_fields\":[\"\"]}", 200, "{}\n");
    expect(&c, "/infill",
           EMPTY
           ",\"n_predict\":1,\"n_cmpl\":2,\"logit_bias\":{\"65\":100},"
           "\"response_fields\":[\"content\",\"timings/predicted_n\",\"timings/no\",\"no/no\"]}",
           200,
           "[{\"content\":\"a\",\"timings/predicted_n\":1},{\"content\":\"a\",\"timings/"
           "predicted_n\":1}]");
    stop(&c);
}

Test(serve_infill, what_is_refused)
{
    Coder c = start();
    static const struct {
        const char *body, *part;
    } rows[] = {
        {"{}",                                                       "input_prefix is missing"               },
        {"{\"input_prefix\":\"\"}",                                  "input_suffix is missing"               },
        {EMPTY ",\"prompt\":[1]}",                                   "prompt must be a string"               },
        {EMPTY ",\"input_extra\":{}}",                               "input_extra must be a list, not object"},
        {EMPTY ",\"input_extra\":[{\"text\":\"\"},1]}",
         "input_extra: item 1 must be an object with a text"                                                 },
        {EMPTY ",\"input_extra\":[{\"filename\":\"\"}]}",
         "input_extra: item 0 must be an object with a text"                                                 },
        {EMPTY ",\"input_extra\":[{\"text\":\"\",\"filename\":1}]}",
         "the filename of item 0 must be a string"                                                           },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect(&c, "/infill", rows[i].body, 400, rows[i].part);
    expect(&c, "/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":1}", 200, "\"text\"");
    stop(&c);
}

/* ---- states -------------------------------------------------------------------------------------
 */

/* The plug-in's requests as one types: other files are read once, ahead; then the lines before the
 * typed one are, and what follows the last whole word alone is read again. */
Test(serve_infill, what_was_read_is_found_while_one_types)
{
    Coder c = start();
    StrBuf extra = {0}, lines = {0};
    for (int i = 0; i < 40; i++) {
        sb_printf(&extra, "the king of %d lands\\n", i);
        sb_printf(&lines, "    he had %d daughters\\n", i);
    }
#define FILES  "\"input_extra\":[{\"filename\":\"a\",\"text\":\"%s\"}]"
#define SUFFIX "\"input_suffix\":\"\\nand they lived\""
    StrBuf warm = {0};
    sb_printf(&warm, EMPTY ",\"n_predict\":0," FILES "}", sb_text(&extra));
    const long files = number(&c, sb_text(&warm), "\"tokens_evaluated\":") - 8;
    static const char *const typed[] = {"", "  a", "  a pr", "  a princ", "  a prince of"};
    long before = 0;
    for (size_t i = 0; i < COUNT_OF(typed); i++) {
        StrBuf body = {0};
        sb_printf(&body,
                  "{\"input_prefix\":\"%s\"," SUFFIX ",\"prompt\":\"%s\",\"n_predict\":2," FILES
                  "}",
                  sb_text(&lines), typed[i], sb_text(&extra));
        const long cached = number(&c, sb_text(&body), "\"cache_n\":");
        /* What is not found: the line that is typed, and the suffix with the marks around it. */
        if (i == 0)
            cr_expect(cached >= files - 4 && cached < files + 16, "%ld of the %ld of the files",
                      cached, files);
        else
            cr_expect(cached >= files + 200 && cached >= before, "%s: %ld, before %ld", typed[i],
                      cached, before);
        before = cached;
        sb_free(&body);
    }
    char *log = serving_log(&c.server), part[64];
    snprintf(part, sizeof part, "cached=%ld drawn=2", before);
    cr_expect(strstr(log, part), "%s is not in %s", part, log);
    free(log);
    sb_free(&warm);
    sb_free(&lines);
    sb_free(&extra);
    stop(&c);
}
