/* tests/fuzz/replay.c -- the fuzz targets in the ordinary tests: every seed of the corpus, then
 * mutations of the seeds, the same ones in every run. With SSMC_FUZZ_KEEP=FILE each input is
 * written to FILE before it is tried, so that after a crash FILE holds the input that did it. */
#include <criterion/criterion.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "ir/util.h"
#include "tests/fuzz/fuzz.h"
#include "tests/harness.h"

enum { MOST_SEEDS = 64, MOST_INPUT = 1 << 16, MOST_EDITS = 4 };

typedef int Target(const uint8_t *data, size_t size);

typedef struct {
    char *text;
    size_t len;
} Seed;

typedef struct {
    Seed seeds[MOST_SEEDS];
    int nseeds;
    uint64_t random;
    char input[MOST_INPUT];
    size_t len;
} Replay;

/* xorshift64* (Vigna, 2016). */
static size_t
draw(Replay *r, size_t below)
{
    r->random ^= r->random >> 12;
    r->random ^= r->random << 25;
    r->random ^= r->random >> 27;
    return (size_t)((r->random * 0x2545F4914F6CDD1Du) >> 33) % below;
}

static int
seed_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of their names: the order of a directory is any. */
static void
read_seeds(Replay *r, const char *dir)
{
    char *names[MOST_SEEDS] = {0};
    DIR *open = opendir(dir);
    cr_assert(open, "cannot read %s", dir);
    for (struct dirent *entry; (entry = readdir(open)) && r->nseeds < MOST_SEEDS;) {
        if (entry->d_name[0] != '.')
            names[r->nseeds++] = path_join(dir, entry->d_name);
    }
    closedir(open);
    qsort(names, (size_t)r->nseeds, sizeof *names, seed_order);
    for (int i = 0; i < r->nseeds; i++) {
        r->seeds[i].text = read_whole(names[i], &r->seeds[i].len);
        cr_assert(r->seeds[i].text && r->seeds[i].len <= MOST_INPUT, "%s", names[i]);
        free(names[i]);
    }
    cr_assert_gt(r->nseeds, 0, "no seeds in %s", dir);
}

/* Puts piece in the place of `drop` bytes at `at`. */
static void
replace(Replay *r, size_t at, size_t drop, const char *piece, size_t len)
{
    if (r->len - drop + len > MOST_INPUT)
        return;
    memmove(r->input + at + len, r->input + at + drop, r->len - at - drop);
    memcpy(r->input + at, piece, len);
    r->len += len - drop;
}

/* What breaks readers: borders of integers, marks of the formats, deep nesting, broken UTF-8. */
static const char *const words[] = {
    "0",
    "-1",
    "1e999",
    "nan",
    ".inf",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "99999999999999999999",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
    ":",
    "\"",
    "'",
    "\\",
    "\\u0000",
    "\\ud800",
    "\n",
    "\t",
    "&a ",
    "*a",
    "- ",
    "[[[[[[[[[[[[[[[[",
    "((((((((((((((((",
    "\xFF",
    "\xED\xA0\x80",
    "\xF0\x9F\x99\x82",
    "null",
    "true",
    "T",
    "R",
    "all",
    "auto",
    "@slab+0/1",
};

static void
edit(Replay *r)
{
    const size_t at = draw(r, r->len + 1), left = r->len - at;
    const size_t drop = left ? draw(r, left < 16 ? left + 1 : 16) : 0;
    const Seed *other = &r->seeds[draw(r, (size_t)r->nseeds)];
    const size_t from = draw(r, other->len + 1), piece = draw(r, other->len - from + 1);
    const char byte = (char)draw(r, 256);
    const char *word = words[draw(r, COUNT_OF(words))];
    switch (draw(r, 6)) {
    case 0:
        replace(r, at, left ? 1 : 0, &byte, 1);
        break;
    case 1:
        replace(r, at, drop, "", 0);
        break;
    case 2:
        replace(r, at, draw(r, left + 1), "", 0);
        break;
    case 3:
        replace(r, at, drop, other->text + from, piece);
        break;
    default:
        replace(r, at, drop, word, strlen(word));
        break;
    }
}

/* A copy of exactly the input's length, so that a sanitizer sees a read behind its end. */
static void
try_input(const Replay *r, Target *target)
{
    const char *keep = getenv("SSMC_FUZZ_KEEP");
    if (keep)
        write_whole(keep, r->input, r->len);
    uint8_t *copy = malloc(r->len + !r->len);
    cr_assert(copy);
    memcpy(copy, r->input, r->len);
    target(copy, r->len);
    free(copy);
}

static void
start_from(Replay *r, const Seed *seed)
{
    memcpy(r->input, seed->text, seed->len);
    r->len = seed->len;
}

static void
replay(Target *target, const char *dir, int mutations)
{
    Replay *r = calloc(1, sizeof *r);
    cr_assert(r);
    r->random = 0x9E3779B97F4A7C15u;
    read_seeds(r, dir);
    for (int i = 0; i < r->nseeds; i++) {
        start_from(r, &r->seeds[i]);
        try_input(r, target);
    }
    for (int i = 0; i < mutations; i++) {
        start_from(r, &r->seeds[i % r->nseeds]);
        for (size_t edits = 1 + draw(r, MOST_EDITS); edits > 0; edits--)
            edit(r);
        try_input(r, target);
    }
    for (int i = 0; i < r->nseeds; i++)
        free(r->seeds[i].text);
    free(r);
}

Test(fuzz, yaml_seeds_and_their_mutations)
{
    replay(fuzz_yaml, SSMC_ROOT "/tests/fuzz/corpus/yaml", 1000);
}

Test(fuzz, config_seeds_and_their_mutations)
{
    replay(fuzz_config, SSMC_ROOT "/tests/fuzz/corpus/config", 800);
}

Test(fuzz, ir_seeds_and_their_mutations)
{
    replay(fuzz_ir, SSMC_ROOT "/tests/fuzz/corpus/ir", 2500);
}

Test(fuzz, safetensors_seeds_and_their_mutations)
{
    replay(fuzz_safetensors, SSMC_ROOT "/tests/fuzz/corpus/safetensors", 10000);
}

Test(fuzz, torch_seeds_and_their_mutations)
{
    replay(fuzz_torch, SSMC_ROOT "/tests/fuzz/corpus/torch", 10000);
}

Test(fuzz, gguf_seeds_and_their_mutations)
{
    replay(fuzz_gguf, SSMC_ROOT "/tests/fuzz/corpus/gguf", 10000);
}

Test(fuzz, tokenizer_seeds_and_their_mutations)
{
    replay(fuzz_tokenizer, SSMC_ROOT "/tests/fuzz/corpus/tokenizer", 1500);
}

Test(fuzz, chat_seeds_and_their_mutations)
{
    replay(fuzz_chat, SSMC_ROOT "/tests/fuzz/corpus/chat", 600);
}

Test(fuzz, state_seeds_and_their_mutations)
{
    replay(fuzz_state, SSMC_ROOT "/tests/fuzz/corpus/state", 1500);
}

Test(fuzz, request_seeds_and_their_mutations)
{
    replay(fuzz_request, SSMC_ROOT "/tests/fuzz/corpus/request", 4000);
}

Test(fuzz, gbnf_seeds_and_their_mutations)
{
    replay(fuzz_gbnf, SSMC_ROOT "/tests/fuzz/corpus/gbnf", 400);
}

Test(fuzz, schema_seeds_and_their_mutations)
{
    replay(fuzz_schema, SSMC_ROOT "/tests/fuzz/corpus/schema", 400);
}
