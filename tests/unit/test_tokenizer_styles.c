/* tests/unit/test_tokenizer_styles.c -- tokenizers of every style, against what the published
 * libraries give (tests/data/tokenizers/make.py): ids and text, for texts in twenty scripts. */
#include <criterion/criterion.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness.h"
#include "tokenizer/tokenizer.h"

#define FOLDER SSMC_ROOT "/tests/data/tokenizers/"

static uint32_t
fnv(uint32_t hash, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 0x01000193u;
    return hash;
}

enum { FNV_START = 0x811C9DC5 };

static void
put_id(StrBuf *out, int32_t id)
{
    const char bytes[] = {(char)(id & 0xFF), (char)(id >> 8 & 0xFF), (char)(id >> 16 & 0xFF), 0};
    sb_putn(out, bytes, sizeof bytes);
}

/* The text of ids, which must come in whole characters. */
static void
put_text(StrBuf *out, const Tokenizer *tok, const int32_t *ids, size_t count)
{
    TokText *text = tok_text_new(tok, false);
    for (size_t i = 0; i <= count; i++) {
        size_t len = 0, bad = 0;
        const char *more = i < count ? tok_text_add(text, ids[i], &len) : tok_text_end(text, &len);
        cr_assert(more);
        cr_assert(utf8_valid(more, len, &bad));
        sb_putn(out, more, len);
    }
    tok_text_free(text);
}

static void
check_text(const Tokenizer *tok, const char *name, size_t index, json_object *text,
           uint32_t want[2], int *wrong)
{
    const char *bytes = json_object_get_string(text);
    int32_t *ids = NULL;
    size_t count = 0, bad = 0;
    StrBuf got = {0}, back = {0};
    cr_assert(tok_encode(tok, bytes, (size_t)json_object_get_string_len(text), &ids, &count, &bad),
              "%s: text %zu", name, index);
    for (size_t i = 0; i < count; i++)
        put_id(&got, ids[i]);
    put_text(&back, tok, ids, count);
    const bool same = fnv(FNV_START, sb_text(&got), got.len) == want[0];
    const bool text_same = fnv(FNV_START, sb_text(&back), back.len) == want[1];
    if ((!same || !text_same) && (*wrong)++ < 5)
        cr_expect(false, "%s: text %zu %s has other %s: came back as \"%s\"", name, index,
                  json_object_to_json_string(text), same ? "text" : "ids", sb_text(&back));
    sb_free(&got);
    sb_free(&back);
    free(ids);
}

static void
check_style(const char *name, const char *ending)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    StrBuf said = {0};
    Tokenizer *tok = tok_load(arena, arena_printf(arena, FOLDER "%s.%s", name, ending), diag);
    diag_print(diag, &said);
    cr_assert(tok, "%s: %s", name, sb_text(&said));
    json_object *texts = json_object_from_file(FOLDER "texts.json");
    char *want = read_whole(arena_printf(arena, FOLDER "%s.txt", name), NULL), *at = want;
    cr_assert(texts && want);
    const size_t count = json_object_array_length(texts);
    cr_expect_eq(count, 2000);
    int wrong = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t hashes[2];
        for (int j = 0; j < 2; j++)
            hashes[j] = (uint32_t)strtoul(at, &at, 16);
        check_text(tok, name, i, json_object_array_get_idx(texts, i), hashes, &wrong);
    }
    cr_expect_eq(wrong, 0, "%s: %d texts of %zu", name, wrong, count);
    free(want);
    json_object_put(texts);
    sb_free(&said);
    tok_free(tok);
    diag_free(diag);
    arena_free(arena);
}

#define STYLE(name, ending)                                                                        \
    Test(tokenizer_styles, name)                                                                   \
    {                                                                                              \
        check_style(#name, ending);                                                                \
    }
STYLE(byte_level, "json")
STYLE(sp_bpe, "json")
STYLE(metaspace_always, "json")
STYLE(metaspace_first, "json")
STYLE(unigram_charsmap, "json")
STYLE(unigram_bytes, "json")
STYLE(unigram, "model")
STYLE(bpe, "model")
STYLE(tekken, "json")

/* With the tokenizer_config.json beside it. */
Test(tokenizer_styles, tiktoken)
{
    check_style("kimi/tiktoken", "model");
}

/* ---- bad files ------------------------------------------------------------------------------ */

static void
check_refused(const char *bytes, size_t len, const char *says)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    StrBuf said = {0};
    Tokenizer *tok = tok_parse(arena, bytes, len, "the file", diag);
    diag_print(diag, &said);
    cr_expect_null(tok, "taken, expected: %s", says);
    cr_expect(strstr(sb_text(&said), says), "expected \"%s\" in:\n%s", says, sb_text(&said));
    sb_free(&said);
    tok_free(tok);
    diag_free(diag);
    arena_free(arena);
}

#define UNK      "\n\x0E\n\x05<unk>\x15\0\0\0\0\x18\x02"
#define PIECE(t) "\n\x08\n\x01" t "\x15\0\0\0\0"

Test(tokenizer_styles, refuses_models_of_sentencepiece_that_are_wrong)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *says;
    } rows[] = {
#define ROW(bytes, says) {bytes, sizeof(bytes) - 1, says}
        ROW("\n\x7F\n\x05<unk>", "the file: it is cut off"),
        ROW("\n\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", "the file: it is cut off"),
        ROW("\n\x02\n\x05", "its piece 0 is not one"),
        ROW("\n\x03\n\x01\xFF", "its piece 0 is not one"),
        ROW("\n\x05\n\x01"
            "a\x18\x09",
            "its piece 0 is not one"),
        ROW("\n\x08\n\x01"
            "a\x15\0\0\xC0\x7F",
            "its piece 0 is not one"),
        ROW(UNK PIECE("a") PIECE("a"), "it has piece \"a\" twice"),
        ROW(UNK UNK, "it has two unknown pieces"),
        ROW(PIECE("a"), "it has no unknown piece"),
        ROW(UNK "\n\x05\n\x01"
                "a\x18\x06",
            "its piece \"a\" is no byte"),
        ROW(UNK "\x12\x02\x18\x03", "its model is neither BPE nor unigram"),
        ROW(UNK "\x12\x03\xC0\x01\x01", "treat_whitespace_as_suffix"),
        ROW(UNK "\x12\x03\x98\x02\x01", "it has no piece <0x00>"),
        ROW(UNK "\x12\x01\x18", "its trainer_spec is cut off"),
        ROW(UNK "\x1A\x01\x18", "its normalizer_spec is cut off"),
        ROW(UNK "\x1A\x05\x12\x03"
                "abc",
            "its precompiled_charsmap is cut off"),
        ROW(UNK "\x1A\x0B\x12\x09\x04\0\0\0\0\0\0\0"
                "a",
            "with a NUL behind each"),
        ROW(UNK "\n\x05\n\x01"
                "a\x18\x05\x12\x02\x18\x02",
            "it has unused pieces"),
#undef ROW
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check_refused(rows[i].bytes, rows[i].len, rows[i].says);
}

#define TEKKEN(size, special, pattern, vocab)                                                      \
    "{\"config\": {\"pattern\": \"" pattern "\", \"default_vocab_size\": " size                    \
    ", \"default_num_special_tokens\": " special "}, \"vocab\": [" vocab "]}"
#define RANK(rank, bytes) "{\"rank\": " rank ", \"token_bytes\": \"" bytes "\"}"
#define UNIGRAM(vocab, more)                                                                       \
    "{\"model\": {\"type\": \"Unigram\", \"vocab\": [" vocab "]" more                              \
    "}, \"decoder\": {\"type\": "                                                                  \
    "\"Fuse\"}}"
#define STEP(section, text)                                                                        \
    "{\"" section "\": " text ", \"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]], "     \
    "\"unk_id\": 0}, \"unused\": 0}"

Test(tokenizer_styles, refuses_json_files_that_are_wrong)
{
    static const char *const rows[][2] = {
        {TEKKEN("9", "9", "a", ""), "default_num_special_tokens is 9, expected 0 to 8"},
        {TEKKEN("9", "1", "a", ""), "is 9 with 1 special tokens, but vocab has 0 tokens"},
        {TEKKEN("2", "1", "(a", RANK("0", "YQ==")), "config.pattern is no regular expression"},
        {TEKKEN("2", "1", "a", RANK("1", "YQ==")), "vocab[0].rank is 1, expected 0 to 0"},
        {TEKKEN("2", "1", "a", RANK("0", "Y!==")),
         "token_bytes is \"Y!==\", expected bytes in base64"},
        {TEKKEN("2", "1", "a", RANK("0", "")), "token_bytes is \"\", expected bytes in base64"},
        {TEKKEN("3", "1", "a", RANK("0", "YQ==") ", " RANK("1", "YQ==")),
         "vocab[1].token_bytes is what rank 0 stands for already"},
        {TEKKEN("2", "1", "a", RANK("0", "YQ==")), "vocab has no token for byte 0x00"},
        {UNIGRAM("", ", \"unk_id\": 0"), "model.vocab has 0 tokens"},
        {UNIGRAM("[\"a\", 0]", ""), "model.unk_id is missing, expected an integer"},
        {UNIGRAM("[\"a\", 0]", ", \"unk_id\": 1"), "model.unk_id is 1, expected 0 to 0"},
        {UNIGRAM("[\"a\"]", ", \"unk_id\": 0"), "model.vocab[0] is no [token, score]"},
        {UNIGRAM("[\"a\", 1e99]", ", \"unk_id\": 0"),
         "model.vocab[0][1] is 1e99, expected the logarithm"},
        {UNIGRAM("[\"a\", 0], [\"a\", 0]", ", \"unk_id\": 0"), "model.vocab has \"a\" twice"},
        {STEP("normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"!\"}"),
         "is not base64"},
        {STEP("normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAA\"}"),
         "is cut off"},
        {STEP("normalizer",
         "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"\"}, \"content\": \"\"}"),
         "can match nothing"},
        {STEP("normalizer", "{\"type\": \"Strip\"}"), "strip_left is missing"},
        {STEP("pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"\"}"),
         "replacement is empty"},
        {STEP("pre_tokenizer",
         "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"prepend_scheme\": 1}"),
         "prepend_scheme is 1, expected \"always\""},
        {STEP("pre_tokenizer", "{\"type\": \"BertPreTokenizer\"}"),
         "is \"BertPreTokenizer\", expected \"Split\""},
        {STEP("decoder", "{\"type\": \"WordPiece\"}"), "is \"WordPiece\", expected \"Replace\""},
        {STEP("decoder", "{\"type\": \"Metaspace\", \"replacement\": \"\"}"),
         "replacement is empty"},
        {STEP("decoder", "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"}, {\"type\": "
                         "\"Strip\", \"content\": \"x\"}]}"),
         "is \"x\", expected \" \""},
        {STEP("decoder", "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"}, {\"type\": "
                         "\"ByteFallback\"}]}"),
         "expected \"Strip\" or nothing behind \"Fuse\""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check_refused(rows[i][0], strlen(rows[i][0]), rows[i][1]);
}

#define CONFIG(more) "{\"tokenizer_class\": \"TikTokenTokenizer\"" more "}"
#define NAMED(id, text)                                                                            \
    CONFIG(", \"added_tokens_decoder\": {\"" id "\": {\"content\": \"" text "\"}}")

/* `lines` behind a line for each byte, which rank as they are. */
static char *
behind_bytes(Arena *arena, const char *lines)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    StrBuf text = {0};
    for (int i = 0; i < 256; i++)
        sb_printf(&text, "%c%c== %d\n", digits[i >> 2], digits[(i & 3) << 4], i);
    sb_puts(&text, lines);
    char *all = arena_strndup(arena, sb_text(&text), text.len);
    sb_free(&text);
    return all;
}

Test(tokenizer_styles, refuses_lists_of_ranks_that_are_wrong)
{
    static const char *const rows[][2] = {
        {"YWI= 256\n", "it says nothing of how texts are split, and of special tokens"},
        {"YWI= 256\nY\n{}", "the file:258:1: error: this line is no \"BYTES RANK\""},
        {"YWI= 256 \n{}", "this line is no \"BYTES RANK\""},
        {"YWI= 1234567890\n{}", "this line is no \"BYTES RANK\""},
        {"YWI= 257\n" CONFIG(""), "the file:257:1: error: its rank is 257, expected 256"},
        {"YW= 256\n" CONFIG(""), "its token is not bytes in base64"},
        {"=YWI 256\n" CONFIG(""), "its token is not bytes in base64"},
        {"YQ== 256\n" CONFIG(""), "its token is that of rank 97 already"},
        {"YWI= 256\n{}", "tokenizer_config.json:1:1: error: tokenizer_class is missing; lists of"},
        {"YWI= 256\n{\"tokenizer_class\": \"X\"}", "tokenizer_class is \"X\"; lists of ranks"},
        {"YWI= 256\n" CONFIG(""), "added_tokens_decoder is missing, expected an object"},
        {"YWI= 256\n" NAMED("256", "a"), "is no special token: they are 257 to 512"},
        {"YWI= 256\n" NAMED("513", "a"), "is no special token: they are 257 to 512"},
        {"YWI= 256\n" NAMED("x", "a"), "is no special token: they are 257 to 512"},
        {"YWI= 256\n" NAMED("257", ""), "content is empty"},
        {"YWI= 256\n" NAMED("257", "<|reserved_token_258|>"),
         "has \"<|reserved_token_258|>\" twice"},
        {"YWI= 256\n{", "tokenizer_config.json"},
    };
    Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *text = behind_bytes(arena, rows[i][0]);
        check_refused(text, strlen(text), rows[i][1]);
    }
    check_refused("YQ== 0\n" CONFIG(""), strlen("YQ== 0\n" CONFIG("")),
                  "it has no token for byte 0x00");
    arena_free(arena);
}

/* A character that comes in several tokens comes out once, whole; what is none is U+FFFD. */
Test(tokenizer_styles, text_comes_in_whole_characters)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Tokenizer *tok = tok_load(arena, FOLDER "tekken.json", diag);
    cr_assert(tok);
    static const struct {
        unsigned char byte;
        const char *comes;
    } rows[] = {
        {'a',  "a"            },
        {0xE6, ""             },
        {0x97, ""             },
        {0xA5, "\xE6\x97\xA5" },
        {0xF0, ""             },
        {0x9F, ""             },
        {'b',  "\xEF\xBF\xBD"
              "b"},
        {0xFF, "\xEF\xBF\xBD" },
        {0xE6, ""             },
    };
    TokText *text = tok_text_new(tok, true);
    size_t len = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *more = tok_text_add(text, 10 + rows[i].byte, &len);
        cr_assert(more);
        cr_expect(len == strlen(rows[i].comes) && memcmp(more, rows[i].comes, len) == 0, "row %zu",
                  i);
    }
    cr_expect_null(tok_text_add(text, 1 << 20, &len));
    const char *rest = tok_text_end(text, &len);
    cr_expect(len == 3 && memcmp(rest, "\xEF\xBF\xBD", 3) == 0);
    tok_text_free(text);
    tok_free(tok);
    diag_free(diag);
    arena_free(arena);
}
