/* tests/unit/test_tokenizer.c -- tokenizer.json: ids exactly as the published library gives them,
 * text back from ids, hostile files and texts.
 *
 * tests/data/tokenizer_golden.json comes with the model. tests/data/tokenizer_unicode.json holds
 * ids that the library (tokenizers 0.23.3) gives for variants of that tokenizer; "words marked"
 * means that each word gets a space in front, so that ids show where text was split. */
#include <criterion/criterion.h>

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/harness.h"
#include "tokenizer/tokenizer.h"

static const char TOKENIZER[] = SSMC_ROOT "/examples/storyteller/tokenizer.json";

typedef struct {
    Arena *arena;
    Diag *diag;
    Tokenizer *tok;
} Loaded;

static Loaded
parse(const char *json, size_t len)
{
    Loaded l = {arena_new(), diag_new(), NULL};
    l.tok = tok_parse(l.arena, json, len, "tokenizer.json", l.diag);
    return l;
}

static void
unload(Loaded *l)
{
    tok_free(l->tok);
    diag_free(l->diag);
    arena_free(l->arena);
}

/* Must load. */
static Loaded
parse_good(const char *json)
{
    Loaded l = parse(json, strlen(json));
    StrBuf said = {0};
    diag_print(l.diag, &said);
    cr_assert(l.tok, "%s", sb_text(&said));
    sb_free(&said);
    return l;
}

static char *
base_text(void)
{
    char *text = read_whole(TOKENIZER, NULL);
    cr_assert(text, "cannot read %s", TOKENIZER);
    return text;
}

/* ---- goldens ------------------------------------------------------------------------------ */

static void
check_back(const Tokenizer *tok, const int32_t *ids, size_t count, const char *text, size_t len)
{
    StrBuf back = {0};
    for (size_t i = 0; i < count; i++) {
        size_t n = 0;
        const char *bytes = tok_decode(tok, ids[i], &n);
        cr_assert(bytes, "id %d has no bytes", ids[i]);
        sb_putn(&back, bytes, n);
    }
    cr_expect(back.len == len && memcmp(sb_text(&back), text, len) == 0,
              "\"%s\" came back as \"%s\"", text, sb_text(&back));
    sb_free(&back);
}

/* {"text": ..., "ids": [...], "decoded": optional} */
static void
check_case(const Tokenizer *tok, const char *name, json_object *item)
{
    json_object *text = json_object_object_get(item, "text");
    json_object *want = json_object_object_get(item, "ids");
    json_object *decoded = json_object_object_get(item, "decoded");
    const size_t nwant = json_object_array_length(want);
    int32_t *ids = NULL;
    size_t count = 0, bad = 0;
    const char *bytes = json_object_get_string(text);
    const size_t len = (size_t)json_object_get_string_len(text);
    cr_assert(tok_encode(tok, bytes, len, &ids, &count, &bad), "%s: byte %zu", name, bad);
    bool same = count == nwant;
    for (size_t i = 0; i < count && same; i++)
        same = ids[i] == json_object_get_int(json_object_array_get_idx(want, i));
    cr_expect(same, "%s: other ids for %s: %zu, expected %zu", name,
              json_object_to_json_string(text), count, nwant);
    if (decoded)
        check_back(tok, ids, count, json_object_get_string(decoded),
                   (size_t)json_object_get_string_len(decoded));
    free(ids);
}

static json_object *
read_json(const char *path)
{
    json_object *json = json_object_from_file(path);
    cr_assert(json, "cannot read %s", path);
    return json;
}

Test(tokenizer, agrees_with_the_models_golden_both_ways)
{
    Loaded l = {arena_new(), diag_new(), NULL};
    l.tok = tok_load(l.arena, TOKENIZER, l.diag);
    cr_assert(l.tok);
    cr_expect_eq(tok_size(l.tok), 2048);
    json_object *cases = read_json(SSMC_ROOT "/tests/data/tokenizer_golden.json");
    for (size_t i = 0; i < json_object_array_length(cases); i++)
        check_case(l.tok, "golden", json_object_array_get_idx(cases, i));
    json_object_put(cases);
    unload(&l);
}

/* Puts the patch's sections over the file's; of the model, its settings one by one. */
static void
apply_patch(json_object *file, json_object *patch)
{
    json_object_object_foreach(patch, key, value)
    {
        json_object *inner = json_object_object_get(file, key);
        if (strcmp(key, "model") == 0)
            apply_patch(inner, value);
        else
            json_object_object_add(file, key, json_object_get(value));
    }
}

Test(tokenizer, agrees_with_the_library_on_unicode_in_every_variant)
{
    json_object *variants = read_json(SSMC_ROOT "/tests/data/tokenizer_unicode.json");
    for (size_t i = 0; i < json_object_array_length(variants); i++) {
        json_object *variant = json_object_array_get_idx(variants, i);
        json_object *file = read_json(TOKENIZER);
        apply_patch(file, json_object_object_get(variant, "patch"));
        Loaded l = parse_good(json_object_to_json_string(file));
        json_object *cases = json_object_object_get(variant, "cases");
        const char *name = json_object_get_string(json_object_object_get(variant, "name"));
        for (size_t j = 0; j < json_object_array_length(cases); j++)
            check_case(l.tok, name, json_object_array_get_idx(cases, j));
        unload(&l);
        json_object_put(file);
    }
    json_object_put(variants);
}

Test(tokenizer, ids_without_a_token_have_no_bytes)
{
    char *text = base_text();
    Loaded l = parse_good(text);
    size_t len = 0;
    cr_expect_null(tok_decode(l.tok, -1, &len));
    cr_expect_null(tok_decode(l.tok, 2048, &len));
    cr_expect_null(tok_decode(l.tok, INT32_MAX, &len));
    cr_expect_not_null(tok_decode(l.tok, 2047, &len));
    unload(&l);
    free(text);
}

/* ---- texts -------------------------------------------------------------------------------- */

Test(tokenizer, knows_added_tokens_from_others)
{
    Loaded l = {arena_new(), diag_new(), NULL};
    l.tok = tok_load(l.arena, TOKENIZER, l.diag);
    cr_assert(l.tok);
    cr_expect(tok_is_added(l.tok, 0), "<|endoftext|>");
    for (int32_t id = -1; id < 2050; id++)
        cr_expect(id == 0 || !tok_is_added(l.tok, id), "%d", id);
    unload(&l);
}

Test(tokenizer, says_where_a_text_is_not_utf8)
{
    static const struct {
        const char *text;
        size_t len, bad;
    } rows[] = {
        {"\x80",                         1, 0},
        {"ab\xFF",                       3, 2},
        {"a\xC0\xAF",                    3, 1}, /* overlong */
        {"\xE0\x9F\xBF",                 3, 0}, /* overlong */
        {"x\xED\xA0\x80",                4, 1}, /* a surrogate */
        {"\xF4\x90\x80\x80",             4, 0}, /* above U+10FFFF */
        {"\xF0\x8F\xBF\xBF",             4, 0}, /* overlong */
        {"abc\xE2\x82",                  5, 3}, /* cut short */
        {"\xE2\x82\xAC\xE2\x28\xA1",     6, 3},
        {"\xED\x9F\xBF\xEE\x80\x80\xC2", 7, 6},
    };
    char *text = base_text();
    Loaded l = parse_good(text);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int32_t *ids = NULL;
        size_t count = 0, bad = 99;
        cr_expect_not(tok_encode(l.tok, rows[i].text, rows[i].len, &ids, &count, &bad), "row %zu",
                      i);
        cr_expect_eq(bad, rows[i].bad, "row %zu: %zu", i, bad);
        cr_expect_null(ids);
    }
    unload(&l);
    free(text);
}

static double
encode_seconds(const Tokenizer *tok, const char *piece, const char *last, size_t bytes)
{
    StrBuf text = {0};
    while (text.len < bytes)
        sb_puts(&text, piece);
    sb_puts(&text, last);
    int32_t *ids = NULL;
    size_t count = 0, bad = 0;
    const clock_t start = clock();
    cr_expect(tok_encode(tok, text.text, text.len, &ids, &count, &bad), "\"%s\" repeated", piece);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    check_back(tok, ids, count, text.text, text.len);
    free(ids);
    sb_free(&text);
    return seconds;
}

/* A megabyte of one word takes a fraction of a second; quadratic time would take hours. */
Test(tokenizer, takes_linear_time_on_long_runs_of_anything)
{
    static const char *const pieces[][2] = {
        {"a",                        ""    },
        {"the",                      ""    },
        {" ",                        ""    },
        {" ",                        "x"   },
        {"\n",                       ""    },
        {" ",                        "\n x"},
        {"1",                        ""    },
        {"!",                        ""    },
        {"\xE6\x97\xA5",             ""    },
        {"a \t",                     ""    },
        {"<",                        ""    },
        {"<|endoftex",               ""    },
        {"<|endoftext|>",            ""    },
        {"\xCD\x85\xCC\x81\xCC\xA3", ""    },
    };
    char *text = base_text();
    char *llama = text_replace(
        text, "\"pre_tokenizer\": {",
        "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", "
        "\"behavior\": "
        "\"Isolated\", \"invert\": false, \"pattern\": {\"Regex\": \"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
        "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
        "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"
        "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}}, {\"type\": \"ByteLevel\", "
        "\"add_prefix_space\": false, "
        "\"use_regex\": false}]}, \"unused\": {");
    Loaded plain = parse_good(text), split = parse_good(llama);
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        const size_t bytes = i == 0 ? 1 << 20 : 1 << 18;
        cr_expect_lt(encode_seconds(plain.tok, pieces[i][0], pieces[i][1], bytes), 10.0);
        cr_expect_lt(encode_seconds(split.tok, pieces[i][0], pieces[i][1], bytes), 10.0);
    }
    unload(&plain);
    unload(&split);
    free(llama);
    free(text);
}

/* Marks in the worst order: ordering them by neighbours would take minutes. */
Test(tokenizer, normalises_a_megabyte_of_marks_in_linear_time)
{
    char *text = base_text();
    char *nfc = text_replace(text, "\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}");
    Loaded l = parse_good(nfc);
    StrBuf marks = {0};
    sb_puts(&marks, "a");
    while (marks.len < 1 << 19)
        sb_puts(&marks, "\xCC\x81"); /* U+0301, class 230 */
    while (marks.len < 1 << 20)
        sb_puts(&marks, "\xCC\xA3"); /* U+0323, class 220 */
    int32_t *ids = NULL;
    size_t count = 0, bad = 0, len = 0;
    const clock_t start = clock();
    cr_assert(tok_encode(l.tok, marks.text, marks.len, &ids, &count, &bad));
    cr_expect_lt((double)(clock() - start) / CLOCKS_PER_SEC, 10.0);
    cr_assert_geq(count, 2);
    cr_expect_eq((unsigned char)tok_decode(l.tok, ids[0], &len)[0],
                 0xE1); /* U+1EA1: a with dot below */
    free(ids);
    sb_free(&marks);
    unload(&l);
    free(nfc);
    free(text);
}

/* ---- variants of the model's file ----------------------------------------------------------- */

/* The model's file with one text turned into another; *l must be unloaded. */
static void
parse_changed(const char *from, const char *to, Loaded *l)
{
    char *text = base_text(), *changed = text_replace(text, from, to);
    cr_assert(strcmp(text, changed) != 0, "no %s", from);
    *l = parse_good(changed);
    free(changed);
    free(text);
}

static void
expect_ids(const Loaded *l, const char *text, const char *want)
{
    int32_t *ids = NULL;
    size_t count = 0, bad = 0;
    StrBuf got = {0};
    cr_assert(tok_encode(l->tok, text, strlen(text), &ids, &count, &bad));
    for (size_t i = 0; i < count; i++)
        sb_printf(&got, "%s%d", i ? " " : "", ids[i]);
    cr_expect_str_eq(sb_text(&got), want, "\"%s\" became %s, expected %s", text, sb_text(&got),
                     want);
    sb_free(&got);
    free(ids);
}

/* ---- tokens of filling in ----------------------------------------------------------------------
 */

static void
put_added(StrBuf *out, int id, const char *content, bool special)
{
    sb_printf(out,
              "{\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": false, "
              "\"rstrip\": false, \"normalized\": false, \"special\": %s}, ",
              id, content, special ? "true" : "false");
}

/* The model's file with tokens more, from id 2048 on; *l must be unloaded. */
static void
parse_with(const char *const *tokens, const char *plain, Loaded *l)
{
    static const char list[] = "\"added_tokens\": [";
    StrBuf more = {0};
    int id = 2048;
    sb_puts(&more, list);
    for (; *tokens; tokens++)
        put_added(&more, id++, *tokens, true);
    if (plain)
        put_added(&more, id, plain, false);
    parse_changed(list, sb_text(&more), l);
    sb_free(&more);
}

/* As the library does with encode_special_tokens: other added tokens are found. */
Test(tokenizer, texts_alone_have_no_special_tokens)
{
    static const char *const tokens[] = {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
                                         NULL};
    static const int32_t want[] = {65, 221,  28, 92, 70,  311, 63,  80, 266, 70, 1237, 92,
                                   30, 2051, 28, 92, 745, 79,  678, 69, 875, 92, 30,   66};
    static const char text[] = "a <|fim_prefix|>king of<|endoftext|>b";
    int32_t *ids = NULL;
    size_t count = 0, bad = 0;
    Loaded l;
    parse_with(tokens, "king of", &l);
    cr_assert(tok_encode_plain(l.tok, text, sizeof text - 1, &ids, &count, &bad));
    cr_expect(count == COUNT_OF(want) && memcmp(ids, want, sizeof want) == 0, "%zu ids", count);
    free(ids);
    cr_expect_not(tok_encode_plain(l.tok, "a\xff", 2, &ids, &count, &bad));
    cr_expect_eq(bad, 1);
    expect_ids(&l, "<|fim_prefix|>a<|endoftext|>", "2048 65 0");
    unload(&l);
}

Test(tokenizer, finds_the_tokens_that_mark_a_middle)
{
    static const struct {
        const char *tokens[8];
        bool suffix_first;
        int32_t id[TOK_INFILL_COUNT]; /* prefix, suffix, middle, pad, repo, file, end */
    } rows[] = {
        {{"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>",
          "<|file_sep|>"},
         false,                                                                {2048, 2050, 2049, 2051, 2052, 2053, -1}},
        {{"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|filename|>",
          "<|reponame|>"},
         false,                                                                {2048, 2050, 2049, 2051, 2053, 2052, -1}},
        {{"<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"},
         false,                                                                {2048, 2049, 2050, 2051, -1, -1, -1}    },
        {{"<|fim_pre|>", "<|fim_mid|>", "<|fim_suf|>"},                 false, {2048, 2050, 2049, -1, -1, -1, -1}      },
        {{"\uFF5C", "<\uFF5Cfim\u2581hole\uFF5C>", "<\uFF5Cfim\u2581begin\uFF5C>",
          "<\uFF5Cfim\u2581end\uFF5C>"},
         false,                                                                {2050, 2049, 2051, -1, -1, -1, -1}      },
        {{"\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>", "\u2581<EOT>"},
         false,                                                                {2048, 2049, 2050, -1, -1, -1, 2051}    },
        {{"[PREFIX]", "[MIDDLE]", "[SUFFIX]"},                          true,  {2048, 2050, -1, -1, -1, -1, -1}        },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        Loaded l;
        parse_with(rows[i].tokens, NULL, &l);
        const TokInfill *found = tok_infill(l.tok);
        cr_assert(found, "row %zu", i);
        cr_expect_eq(found->suffix_first, rows[i].suffix_first);
        for (int role = 0; role < TOK_INFILL_COUNT; role++)
            cr_expect_eq(found->id[role], rows[i].id[role], "row %zu, role %d: %d", i, role,
                         found->id[role]);
        unload(&l);
    }
    static const char *const half[] = {"<|fim_prefix|>", "<fim_suffix>", "<|fim_middle|>", NULL};
    Loaded l;
    parse_with(half, NULL, &l);
    cr_expect_null(tok_infill(l.tok), "tokens of two styles are none");
    int64_t ids[TOK_INFILL_COUNT] = {2048, 2049, 2050, -1, 9999, -1, -1};
    tok_set_infill(l.tok, ids);
    cr_assert(tok_infill(l.tok), "a file may name them");
    cr_expect(tok_infill_has(tok_infill(l.tok), 2049) && !tok_infill_has(tok_infill(l.tok), -1));
    cr_expect_eq(tok_infill(l.tok)->id[TOK_INFILL_repo], -1, "no such id");
    unload(&l);
}

/* Each piece of a split gets a space in front, so that the text shows them. */
static void
expect_pieces(const char *behavior, bool invert, const char *pattern, const char *const want[2])
{
    static const char *const texts[] = {"a-b--c", "--a-"};
    StrBuf section = {0};
    Loaded l;
    sb_printf(
        &section,
        "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", "
        "\"behavior\": \"%s\", \"invert\": %s, \"pattern\": {%s}}, {\"type\": \"ByteLevel\", "
        "\"add_prefix_space\": true, \"use_regex\": false}]}, \"unused\": {",
        behavior, invert ? "true" : "false", pattern);
    parse_changed("\"pre_tokenizer\": {", sb_text(&section), &l);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        int32_t *ids = NULL;
        size_t count = 0, bad = 0;
        cr_assert(tok_encode(l.tok, texts[i], strlen(texts[i]), &ids, &count, &bad));
        check_back(l.tok, ids, count, want[i], strlen(want[i]));
        free(ids);
    }
    unload(&l);
    sb_free(&section);
}

/* The right pieces follow from what a behavior says of matches; inverted, what lies between them
 * counts as the matches, but two dashes stay two. */
Test(tokenizer, splits_by_every_behavior)
{
    static const struct {
        const char *behavior;
        bool invert;
        const char *want[2];
    } rows[] = {
        {"Isolated",           false, {" a - b - - c", " - - a -"}},
        {"Isolated",           true,  {" a - b - - c", " - - a -"}},
        {"Removed",            false, {" a b c", " a"}            },
        {"Removed",            true,  {" - - -", " - - -"}        },
        {"Contiguous",         false, {" a - b -- c", " -- a -"}  },
        {"Contiguous",         true,  {" a - b -- c", " -- a -"}  },
        {"MergedWithPrevious", false, {" a- b- - c", " - - a-"}   },
        {"MergedWithPrevious", true,  {" a -b - -c", " - -a -"}   },
        {"MergedWithNext",     false, {" a -b - -c", " - -a -"}   },
        {"MergedWithNext",     true,  {" a- b- - c", " - - a-"}   },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        expect_pieces(rows[i].behavior, rows[i].invert, "\"String\": \"-\"", rows[i].want);
        expect_pieces(rows[i].behavior, rows[i].invert, "\"Regex\": \"-\"", rows[i].want);
    }
}

#define BYTE_LEVEL(prefix)    "{\"type\": \"ByteLevel\", \"add_prefix_space\": " prefix "}"
#define SEQUENCE(list, items) "{\"type\": \"Sequence\", \"" list "\": [" items "]}"

/* A Sequence is what its items are, however deep they stand. */
Test(tokenizer, reads_sequences_inside_sequences)
{
    static const char *const rows[][2] = {
        {"\"decoder\": {", "\"decoder\": " SEQUENCE("decoders", BYTE_LEVEL("true"))},
        {"\"decoder\": {",
         "\"decoder\": " SEQUENCE(
             "decoders", SEQUENCE("decoders", BYTE_LEVEL("true")) ", {\"type\": \"Fuse\"}")},
        {"\"pre_tokenizer\": {",
         "\"pre_tokenizer\": " SEQUENCE("pretokenizers", BYTE_LEVEL("false"))},
        {"\"pre_tokenizer\": {",
         "\"pre_tokenizer\": " SEQUENCE("pretokenizers",
         SEQUENCE("pretokenizers", BYTE_LEVEL("false")))},
    };
    char *text = base_text();
    Loaded base = parse_good(text);
    static const char sample[] = "The king's 12 daughters,\n\n and <|endoftext|>\xC3\xA9";
    int32_t *want = NULL, *ids = NULL;
    size_t nwant = 0, count = 0, bad = 0;
    cr_assert(tok_encode(base.tok, sample, sizeof sample - 1, &want, &nwant, &bad));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        StrBuf section = {0};
        Loaded l;
        sb_printf(&section, "%s, \"unused\": {", rows[i][1]);
        parse_changed(rows[i][0], sb_text(&section), &l);
        cr_assert(tok_encode(l.tok, sample, sizeof sample - 1, &ids, &count, &bad));
        cr_expect(count == nwant && memcmp(ids, want, count * sizeof *ids) == 0, "row %zu", i);
        check_back(l.tok, ids, count, sample, sizeof sample - 1);
        free(ids);
        sb_free(&section);
        unload(&l);
    }
    Loaded l;
    parse_changed(
        "\"normalizer\": null",
        "\"normalizer\": " SEQUENCE("normalizers", SEQUENCE("normalizers", "{\"type\": \"NFC\"}")),
        &l);
    cr_assert(tok_encode(l.tok, "e\xCC\x81", 3, &ids, &count, &bad));
    check_back(l.tok, ids, count, "\xC3\xA9", 2);
    free(ids);
    free(want);
    unload(&l);
    unload(&base);
    free(text);
}

#define ADDED(id, content, more)                                                                   \
    "{\"id\": " id ", \"content\": \"" content "\", \"single_word\": false, " more                 \
    "\"rstrip\": false, \"normalized\": false, \"special\": true}, "
#define PLAIN    "\"lstrip\": false, "
#define STRIPPED "\"lstrip\": true, "

/* A token has one id: of the vocabulary, or of the first item that lists it; the last item says how
 * it is looked for. New tokens have the ids of the file, gaps or not. */
Test(tokenizer, added_tokens_that_are_listed_twice_or_behind_gaps)
{
    static const struct {
        const char *added, *text, *ids, *says;
    } rows[] = {
        {ADDED("2048", "<x>", PLAIN) ADDED("2049", "<y>", PLAIN), "<x><y>", "2048 2049", ""},
        {ADDED("2048", "<x>", PLAIN) ADDED("2049", "<y>", PLAIN) ADDED("2060", "<x>", PLAIN),
         "<x><y>", "2048 2049",
         "added_tokens[2].id is 2060, but an item before says 2048 for \"<x>\"; 2048 is taken\n"},
        {ADDED("2048", "<x>", PLAIN) ADDED("2048", "<x>", STRIPPED), " <x>", "2048", ""},
        {ADDED("2048", "<x>", STRIPPED) ADDED("2048", "<x>", PLAIN), "<x> <x>", "2048 221 2048",
         ""},
        {ADDED("7", "!", PLAIN), "!<|endoftext|>", "1 0",
         "added_tokens[0].id is 7, but model.vocab says 1 for \"!\"; 1 is taken\n"},
        {ADDED("2048", "<x>", PLAIN) ADDED("3000", "<y>", PLAIN) ADDED("3001", "<z>", PLAIN),
         "<x><y><z>", "2048 3000 3001",
         "added_tokens[1].id is 3000, but the tokenizers library numbers without gaps: 2049 for "
         "\"<y>\" (and so for 1 more); 3000 is taken, which is right when the embedding has that "
         "row\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        StrBuf section = {0}, said = {0};
        Loaded l;
        sb_printf(&section, "\"added_tokens\": [%s", rows[i].added);
        parse_changed("\"added_tokens\": [", sb_text(&section), &l);
        expect_ids(&l, rows[i].text, rows[i].ids);
        diag_take_notes(l.diag, &said);
        const char *note = strstr(sb_text(&said), "added_tokens[");
        cr_expect_str_eq(note ? note : sb_text(&said), rows[i].says);
        sb_free(&section);
        sb_free(&said);
        unload(&l);
    }
}

/* Of a key that an object has twice the last value counts, as for every reader of JSON. */
Test(tokenizer, vocabulary_with_a_token_twice)
{
    Loaded l;
    parse_changed("\"!\": 1,", "\"!\": 1, \"!\": 2050,", &l);
    expect_ids(&l, "!", "2050");
    unload(&l);
}

/* ---- files -------------------------------------------------------------------------------- */

/* Parsing must fail with a text that has `says` in it. */
static void
check_refused(const char *json, size_t len, const char *says)
{
    Loaded l = parse(json, len);
    StrBuf said = {0};
    diag_print(l.diag, &said);
    cr_expect_null(l.tok, "taken, expected: %s", says);
    cr_expect_gt(diag_errors(l.diag), 0);
    cr_expect(strstr(sb_text(&said), says), "expected \"%s\" in:\n%s", says, sb_text(&said));
    sb_free(&said);
    unload(&l);
}

Test(tokenizer, refuses_what_is_no_json_with_its_position)
{
    static const struct {
        const char *json, *says;
    } rows[] = {
        {"",                                                "tokenizer.json:1:1: error: this is not JSON: it ends too early"},
        {"{\n  \"model\": }",                               "tokenizer.json:2:12: error: this is not JSON"                  },
        {"{\"a\": 1,}",                                     "tokenizer.json:1:9: error: this is not JSON"                   },
        {"{\"a\": 'x'}",                                    "tokenizer.json:1:7: error: this is not JSON"                   },
        {"{} {}",                                           "tokenizer.json:1:"                                             },
        {"[1, 2]",                                          "the file is an array, expected an object"                      },
        {"null",                                            "the file is null, expected an object"                          },
        {"12",                                              "the file is 12, expected an object"                            },
        {"{\"a\": \"\\u0000\"}",                            "tokenizer.json:1:8: error: \\u0000 is in no token"             },
        {"[\"\\\\u0000\\uD83D\\uDE00\"]",                   "the file is an array"                                          },
        {"[\"\\uD83Dx\"]",                                  "tokenizer.json:1:3: error: half a surrogate pair"              },
        {"[\"\\uDE00\"]",                                   "tokenizer.json:1:3: error: half a surrogate pair"              },
        {"[\"\\ud836\\udc00\"]",                            "tokenizer.json:1:3: error: json-c misreads"                    },
        {"{\"a\":\n\"\xFF\"}",                              "tokenizer.json:2:2: error: not UTF-8"                          },
        {"{}",                                              "model is missing, expected an object"                          },
        {"{\"model\": {\"type\": \"Unigram\"}}",            "model.vocab is missing, expected an array"                     },
        {"{\"model\": {\"type\": \"WordPiece\"}}",
         "1:20: error: model.type is \"WordPiece\", expected \"BPE\" or \"Unigram\""                                        },
        {"{\"model\": {\"type\": \"BPE\"}}",                "model.vocab is missing, expected an object"                    },
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": []}}", "model.vocab is an array"                                       },
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {}}}",
         "model.unk_token is missing: characters that are no token would be lost"                                           },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check_refused(rows[i].json, strlen(rows[i].json), rows[i].says);
    check_refused("{}\0{}", 5, "a byte 0");
    char deep[4096];
    memset(deep, '[', sizeof deep);
    check_refused(deep, sizeof deep, "tokenizer.json:1:");
}

/* The model's file with one text turned into another. */
Test(tokenizer, refuses_what_it_would_not_do_exactly)
{
    static const struct {
        const char *from, *to, *says;
    } rows[] = {
        {"\"!\": 1,",                      "\"!\": -1,",
         ":41:12: error: model.vocab[\"!\"] is -1, expected 0 to 2097151"                                                                           },
        {"\"!\": 1,",                      "\"!\": 2097152,",                                       "model.vocab[\"!\"] is 2097152, expected 0 to"  },
        {"\"!\": 1,",                      "\"!\": 99999999999999999999999,",                       "expected 0 to"                                 },
        {"\"!\": 1,",                      "\"!\": 1.5,",                                           "is 1.5, expected an integer"                   },
        {"\"!\": 1,",                      "\"!\": \"1\",",                                         "is \"1\", expected an integer"                 },
        {"\"!\": 1,",                      "\"!\": 2,",                                             "is 2, the id of \"!\" already"                 },
        {"\"!\": 1,",                      "",                                                      "model.vocab has no token \"!\" for byte 0x21"  },
        {"\"merges\":",                    "\"other\":",                                            "model.merges is missing, expected an array"    },
        {"\"merges\": [",                  "\"merges\": [\"a\", ",                                  "model.merges[0] is \"a\", expected two tokens" },
        {"\"merges\": [",                  "\"merges\": [\"a b c\", ",
         "model.merges[0] is \"a b c\", expected two tokens"                                                                                        },
        {"\"merges\": [",                  "\"merges\": [[\"a\"], ",
         "model.merges[0] is an array, expected two tokens"                                                                                         },
        {"\"merges\": [",                  "\"merges\": [7, ",                                      "model.merges[0] is 7, expected two tokens"     },
        {"\"merges\": [",                  "\"merges\": [[\"a\", 7], ",
         "model.merges[0][1] is 7, expected a string"                                                                                               },
        {"\"merges\": [",                  "\"merges\": [\"zzzz a\", ",
         "merges \"zzzz\", which is not in model.vocab"                                                                                             },
        {"\"merges\": [",                  "\"merges\": [\"~ ~\", ",                                "makes \"~~\", which is not in model.vocab"     },
        {"\"dropout\": null",              "\"dropout\": 0.1",                                      "model.dropout is 0.1, expected none"           },
        {"\"end_of_word_suffix\": null",   "\"end_of_word_suffix\": \"</w>\"",
         "is \"</w>\", expected none"                                                                                                               },
        {"\"ignore_merges\": false",       "\"ignore_merges\": 1",                                  "is 1, expected true or false"                  },
        {"\"normalizer\": null",           "\"normalizer\": {\"type\": \"Nmt\"}",
         "is \"Nmt\", expected \"NFC\", \"NFD\""                                                                                                    },
        {"\"normalizer\": null",           "\"normalizer\": 3",
         "normalizer.type is missing, expected \"NFC\""                                                                                             },
        {"\"post_processor\": null",       "\"post_processor\": {\"type\": \"RobertaProcessing\"}",
         "post_processor.type is \"RobertaProcessing\""                                                                                             },
        {"\"post_processor\": null",
         "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": []}",                  "has the text 0 times, expected once"           },
        {"\"post_processor\": null",
         "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": "
         "{\"id\": "
         "\"x\"}}, {\"Sequence\": {}}]}",                                                           "post_processor.special_tokens.x.ids is missing"},
        {"\"post_processor\": null",
         "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": "
         "{\"id\": "
         "\"x\"}}, {\"Sequence\": {}}], \"special_tokens\": {\"x\": {\"ids\": [2048]}}}",           "is 2048, expected 0 to 2047"                   },
        {"\"id\": 0,",                     "\"id\": -7,",                                           "added_tokens[0].id is -7, expected 0 to"       },
        {"\"content\": \"<|endoftext|>\"", "\"content\": \"new\"",
         "is 0, the id of \"<|endoftext|>\" already"                                                                                                },
        {"\"content\": \"<|endoftext|>\"", "\"content\": \"\"",                                     "added_tokens[0].content is empty"              },
        {"\"single_word\": false,",        "",
         "added_tokens[0].single_word is missing, expected true or false"                                                                           },
        {"\"add_prefix_space\": false,",   "",                                                      "pre_tokenizer.add_prefix_space is missing"     },
        {"\"pre_tokenizer\": {",           "\"pre_tokenizer\": {}, \"unused\": {",
         "pre_tokenizer.type is missing"                                                                                                            },
        {"\"pre_tokenizer\": {",           "\"pre_tokenizer\": null, \"unused\": {",
         "model.unk_token is null: characters"                                                                                                      },
        {"\"decoder\": {",                 "\"decoder\": null, \"unused\": {",
         "decoder.type is missing, expected \"ByteLevel\""                                                                                          },
    };
    char *text = base_text();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *changed = text_replace(text, rows[i].from, rows[i].to);
        check_refused(changed, strlen(changed), rows[i].says);
        free(changed);
    }
    free(text);
}

#define SPLIT(more) "{\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}, " more "}"

Test(tokenizer, refuses_sequences_of_what_it_would_not_do)
{
    static const struct {
        const char *section, *items, *says;
    } rows[] = {
        {"pre_tokenizer", SEQUENCE("pretokenizers", ""),
         "model.unk_token is null: characters that are no token would be lost"},
        {"pre_tokenizer", SEQUENCE("pretokenizers", SPLIT("\"behavior\": \"Removed\"")),
         "model.unk_token is null: characters that are no token would be lost"},
        {"pre_tokenizer", SEQUENCE("pretokenizers", SPLIT("\"behavior\": \"Sideways\"") ", {}"),
         "pretokenizers[0].behavior is \"Sideways\", expected \"Isolated\", \"Removed\""},
        {"pre_tokenizer",
         SEQUENCE("pretokenizers", SPLIT("\"behavior\": \"Removed\", \"invert\": 1") ", {}"),
         "pretokenizers[0].invert is 1, expected true or false"},
        {"pre_tokenizer",
         SEQUENCE("pretokenizers",
         BYTE_LEVEL("true") ", " SEQUENCE("pretokenizers", BYTE_LEVEL("true"))),
         "pretokenizers[0].type is \"ByteLevel\", expected \"Split\", \"Digits\", \"Punctuation\""},
        {"decoder", SEQUENCE("decoders", ""), "decoder has no \"ByteLevel\""},
        {"decoder", SEQUENCE("decoders", "{\"type\": \"Fuse\"}, " BYTE_LEVEL("true")),
         "decoder.decoders[0].type is \"Fuse\", expected \"ByteLevel\""},
        {"decoder", SEQUENCE("decoders", BYTE_LEVEL("true") ", " BYTE_LEVEL("true")),
         "decoders[1].type is \"ByteLevel\", expected \"Fuse\" or nothing behind"},
    };
    char *text = base_text();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        StrBuf from = {0}, to = {0};
        sb_printf(&from, "\"%s\": {", rows[i].section);
        sb_printf(&to, "\"%s\": %s, \"unused\": {", rows[i].section, rows[i].items);
        char *changed = text_replace(text, sb_text(&from), sb_text(&to));
        check_refused(changed, strlen(changed), rows[i].says);
        free(changed);
        sb_free(&from);
        sb_free(&to);
    }
    free(text);
}

Test(tokenizer, refuses_expressions_it_would_not_read_as_they_are_meant)
{
    static const struct {
        const char *regex, *says; /* regex: as JSON spells it */
    } rows[] = {
        {"\\\\w+",       "uses `\\w` here, which ssmc does not support"},
        {"a\\\\b",       "uses `\\b` here"                             },
        {"[a[b]]",       "uses `[` here"                               },
        {"[a&&b]",       "uses `&&` here"                              },
        {"a{2}+",        "uses `{2}+` here"                            },
        {"a{,2}",        "uses `{,2}` here"                            },
        {"(?m:a)",       "uses `(?m` here"                             },
        {"(*UTF)a",      "uses `(*U` here"                             },
        {"\\\\p{Alpha}", "is no regular expression"                    },
        {"\\\\p{",       "uses `\\p` here"                             },
        {"(a",           "is no regular expression"                    },
        {"[a",           "is no regular expression"                    },
        {"a\\\\",        "uses `\\` here"                              },
        {"a*",           "can match nothing"                           },
        {"",             "can match nothing"                           },
        {"(?=a)",        "can match nothing"                           },
    };
    char *text = base_text();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        StrBuf section = {0};
        sb_printf(
            &section,
            "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", "
            "\"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"%s\"}}, {\"type\": "
            "\"ByteLevel\", "
            "\"add_prefix_space\": false}]}, \"unused\": {",
            rows[i].regex);
        char *changed = text_replace(text, "\"pre_tokenizer\": {", sb_text(&section));
        check_refused(changed, strlen(changed), rows[i].says);
        free(changed);
        sb_free(&section);
    }
    free(text);
}

/* (a+)+b on a long run of a's takes exponential time: it is given up, not waited for. */
Test(tokenizer, gives_up_on_an_expression_that_backtracks_for_ever)
{
    char *text = base_text();
    char *changed = text_replace(
        text, "\"pre_tokenizer\": {",
        "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", "
        "\"behavior\": "
        "\"Isolated\", \"pattern\": {\"Regex\": \"(?:a|a(?=a))+b\"}}, {\"type\": \"ByteLevel\", "
        "\"add_prefix_space\": false}]}, \"unused\": {");
    Loaded l = parse_good(changed);
    char as[4096];
    memset(as, 'a', sizeof as);
    as[sizeof as - 1] = 'b';
    as[sizeof as - 2] = 'c';
    int32_t *ids = NULL;
    size_t count = 0, bad = 0;
    cr_expect_not(tok_encode(l.tok, as, sizeof as, &ids, &count, &bad));
    cr_expect_eq(bad, sizeof as);
    unload(&l);
    free(changed);
    free(text);
}

Test(tokenizer, names_a_file_that_is_not_there)
{
    Loaded l = {arena_new(), diag_new(), NULL};
    l.tok = tok_load(l.arena, "/nowhere/tokenizer.json", l.diag);
    StrBuf said = {0};
    diag_print(l.diag, &said);
    cr_expect_null(l.tok);
    cr_expect(strstr(sb_text(&said), "/nowhere/tokenizer.json"), "%s", sb_text(&said));
    sb_free(&said);
    unload(&l);
}
