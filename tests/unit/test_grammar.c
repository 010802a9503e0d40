/* tests/unit/test_grammar.c -- grammars: which texts they have, which ids may come next, and what
 * is said of those that are none. */
#include <criterion/criterion.h>

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"
#include "ir/util.h"

/* ---- vocabularies --------------------------------------------------------------------------- */

typedef struct {
    const char *const *words; /* [count]: ids from 256 on; those before are the single bytes */
    int32_t count;
    char single[256];
} Words;

static const char *
bytes_of(void *user, int32_t id, size_t *len)
{
    Words *w = user;
    *len = 1;
    if (id < 256)
        return &w->single[id];
    if (id - 256 >= w->count) /* padding */
        return NULL;
    *len = strlen(w->words[id - 256]);
    return w->words[id - 256];
}

enum { PADDING = 3 };

static int32_t
size_of(const Words *w)
{
    return 256 + w->count + PADDING;
}

static GrammarVocab *
vocab_of(Words *w)
{
    for (int i = 0; i < 256; i++)
        w->single[i] = (char)i;
    return grammar_vocab_new(size_of(w), bytes_of, w);
}

static Grammar *
grammar_of(const char *text, bool schema)
{
    char *why = NULL;
    Grammar *grammar = schema ? grammar_read_schema("s.json", text, strlen(text), &why)
                              : grammar_from_gbnf(text, strlen(text), &why);
    cr_assert(grammar, "%s\n%s", text, why);
    return grammar;
}

/* ---- texts ---------------------------------------------------------------------------------- */

/* Byte by byte; whether it is whole at its end. */
static bool
accepts(const Grammar *grammar, const GrammarVocab *vocab, int32_t size, const char *text)
{
    uint64_t *mask = calloc((size_t)size / 64 + 1, sizeof *mask);
    GrammarMatch *match = grammar_match_new(grammar, vocab);
    bool good = true, end = false;
    for (const char *c = text; *c && good; c++)
        good = grammar_match_take(match, (unsigned char)*c);
    if (good)
        grammar_match_mask(match, mask, &end);
    grammar_match_free(match);
    free(mask);
    return good && end;
}

typedef enum { IS_GBNF, IS_SCHEMA, IS_YES, IS_NO } RowKind;

static const struct {
    RowKind kind;
    const char *text;
} rows[] = {
#define GBNF(text)   {IS_GBNF, text},
#define SCHEMA(text) {IS_SCHEMA, text},
#define YES(text)    {IS_YES, text},
#define NO(text)     {IS_NO, text},
#include "tests/grammar_texts.def"
};

Test(grammar, texts_that_grammars_have_and_have_not)
{
    Words words = {0};
    GrammarVocab *vocab = vocab_of(&words);
    Grammar *grammar = NULL;
    const char *name = "";
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].kind == IS_GBNF || rows[i].kind == IS_SCHEMA) {
            grammar_free(grammar);
            name = rows[i].text;
            grammar = grammar_of(name, rows[i].kind == IS_SCHEMA);
            continue;
        }
        cr_expect_eq(accepts(grammar, vocab, size_of(&words), rows[i].text), rows[i].kind == IS_YES,
                     "%s\n%s: %s", name, rows[i].kind == IS_YES ? "refused" : "accepted",
                     rows[i].text);
    }
    grammar_free(grammar);
    grammar_vocab_free(vocab);
}

Test(grammar, any_json_is_an_object)
{
    Words words = {0};
    GrammarVocab *vocab = vocab_of(&words);
    Grammar *grammar = grammar_from_json();
    cr_expect(accepts(grammar, vocab, size_of(&words), "{\"a\": [1, {}]}"));
    cr_expect(!accepts(grammar, vocab, size_of(&words), "[1]"));
    grammar_free(grammar);
    grammar_vocab_free(vocab);
}

/* Long texts are counted in blocks. */
Test(grammar, long_texts_are_counted)
{
    enum { MOST = 9000, LEAST = 4500 };
    Words words = {0};
    GrammarVocab *vocab = vocab_of(&words);
    Grammar *grammar =
        grammar_of("{\"type\": \"string\", \"minLength\": 4500, \"maxLength\": 9000}", true);
    static const int lengths[] = {LEAST - 1, LEAST, 8192, 8191, MOST - 1, MOST, MOST + 1};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        char *text = calloc((size_t)lengths[i] + 3, 1);
        memset(text, 'x', (size_t)lengths[i] + 2);
        text[0] = text[lengths[i] + 1] = '"';
        cr_expect_eq(accepts(grammar, vocab, size_of(&words), text),
                     lengths[i] >= LEAST && lengths[i] <= MOST, "%d characters", lengths[i]);
        free(text);
    }
    grammar_free(grammar);
    grammar_vocab_free(vocab);
}

/* ---- masks ---------------------------------------------------------------------------------- */

static const char *const mixed_words[] = {
    "ab",
    "abc",
    "aaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaa",
    "\": ",
    "\", \"",
    "\"}",
    "}}",
    "}]",
    "{\"",
    "[[",
    "1,",
    "00",
    "0.5",
    "12345",
    "tr",
    "ue,",
    "null",
    "  ",
    "\n  ",
    "\\u00",
    "\\\"",
    "\xC3\xA9",
    "\xE6\x97\xA5\xE6",
    "\x97\xA5",
    "\xF0\x9F",
    "\x99\x82\"",
    "\xC3\xA9\xC3",
    "a\xE6\x97",
    "((",
    "))",
    "+1",
    "a b",
    "ab ab",
    "\"a\": [1, 2]",
    "b\"}], \"a",
    "x)) + (",
    ")))",
    "aab",
    "c\n",
};

typedef struct {
    Words *words;
    const Grammar *grammar;
    const GrammarVocab *vocab;
    int32_t taken[80];
    int ntaken;
    uint64_t random;
} Walk;

/* xorshift64* (Vigna, 2016). */
static uint64_t
draw(Walk *w, uint64_t below)
{
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return (w->random * 0x2545F4914F6CDD1Du >> 33) % below;
}

/* Whether an id may come, by nothing but taking it. */
static bool
may_take(const Walk *w, int32_t id)
{
    GrammarMatch *match = grammar_match_new(w->grammar, w->vocab);
    for (int i = 0; i < w->ntaken; i++)
        cr_assert(grammar_match_take(match, w->taken[i]));
    const bool good = grammar_match_take(match, id);
    grammar_match_free(match);
    return good;
}

/* Every id of the mask is one that may be taken, and no other. A few at random, where all would
 * take long. */
static void
expect_mask(Walk *w, const uint64_t *mask, const char *name)
{
    for (int32_t id = 0; id < size_of(w->words); id++) {
        const bool in_mask = mask[id / 64] >> (id % 64) & 1;
        if (id < 256 && draw(w, 8) != 0)
            continue;
        cr_assert_eq(in_mask, may_take(w, id), "%s: id %d after %d ids is %s the mask", name,
                     (int)id, w->ntaken, in_mask ? "in" : "not in");
    }
}

static int32_t
choose(Walk *w, const uint64_t *mask)
{
    int32_t chosen = -1;
    uint64_t seen = 0;
    for (int32_t id = 0; id < size_of(w->words); id++)
        if (mask[id / 64] >> (id % 64) & 1 &&
            draw(w, seen += id < 256 ? 1 : 3) < (id < 256 ? 1 : 3))
            chosen = id;
    return chosen;
}

static void
walk(Walk *w, const char *name)
{
    uint64_t *mask = calloc((size_t)size_of(w->words) / 64 + 1, sizeof *mask);
    GrammarMatch *match = grammar_match_new(w->grammar, w->vocab);
    bool end = false;
    for (w->ntaken = 0; w->ntaken < 30; w->ntaken++) {
        if (!grammar_match_mask(match, mask, &end))
            cr_assert_fail("%s: stuck", name);
        expect_mask(w, mask, name);
        const int32_t id = choose(w, mask);
        cr_assert(id >= 0 || end);
        if (id < 0)
            break;
        cr_assert(grammar_match_take(match, id));
        w->taken[w->ntaken] = id;
    }
    grammar_match_free(match);
    free(mask);
}

static const char *const walked_grammars[] = {
    "root ::= \"a\"{0,30} \"b\"?",
    "root ::= (\"a\"{25,28} \" \")* \"b\"",
    "root ::= e\ne ::= t ([-+ ]+ t)*\nt ::= \"(\" e \")\" | [0-9]+ | [a-z]+",
    "root ::= \"a\" root \"b\" | s \"a\" | s\ns ::= (\"aa\" | \" \")*",
    "root ::= [^\\x00-\\x7F]* | .{2,5} \"\\\"\"",
    "root ::= (w \" \")* w \"c\\n\"\nw ::= \"a\" x | \"a\" y\nx ::= \"b\" w? \"b\"\ny ::= \"b\" w?",
};

static const char *const walked_schemas[] = {
    "true",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":\"number\","
    "\"maximum\":12345}},\"abc\":{\"type\":\"string\",\"maxLength\":24},\"ab ab\":true},"
    "\"additionalProperties\":{\"type\":\"null\"}}",
    "{\"type\":\"string\",\"minLength\":30,\"maxLength\":50}",
    "{\"type\":\"string\",\"pattern\":\"^(a{2,}b?|[^a-z]c)*$\"}",
};

static void
walk_all(const char *const *texts, size_t count, bool schema)
{
    Words words = {.words = mixed_words, .count = COUNT_OF(mixed_words)};
    GrammarVocab *vocab = vocab_of(&words);
    for (size_t i = 0; i < count; i++) {
        Grammar *grammar = grammar_of(texts[i], schema);
        Walk w = {&words, grammar, vocab, .random = 0x9E3779B97F4A7C15u + i};
        for (int times = 0; times < 4; times++)
            walk(&w, texts[i]);
        grammar_free(grammar);
    }
    grammar_vocab_free(vocab);
}

Test(grammar, masks_are_what_can_be_taken)
{
    walk_all(walked_grammars, COUNT_OF(walked_grammars), false);
    walk_all(walked_schemas, COUNT_OF(walked_schemas), true);
}

Test(grammar, a_refused_id_leaves_the_match_as_it_was)
{
    Words words = {.words = mixed_words, .count = COUNT_OF(mixed_words)};
    GrammarVocab *vocab = vocab_of(&words);
    Grammar *grammar = grammar_of("root ::= \"ab\" \"c\"", false);
    GrammarMatch *match = grammar_match_new(grammar, vocab);
    cr_expect(grammar_match_take(match, 'a'));
    cr_expect(!grammar_match_take(match, 'a'));
    cr_expect(!grammar_match_take(match, 258), "too many bytes at once");
    cr_expect(!grammar_match_take(match, -1));
    cr_expect(!grammar_match_take(match, size_of(&words)));
    cr_expect(!grammar_match_take(match, size_of(&words) - 1), "a padding row");
    cr_expect(grammar_match_take(match, 'b'));
    cr_expect(grammar_match_take(match, 'c'));
    grammar_match_free(match);
    grammar_free(grammar);
    grammar_vocab_free(vocab);
}

static const char *
letters(void *user, int32_t id, size_t *len)
{
    *len = 1;
    return (const char *)user + id;
}

Test(grammar, a_vocabulary_without_the_wanted_bytes_is_told)
{
    char abc[] = "abc";
    GrammarVocab *vocab = grammar_vocab_new(3, letters, abc);
    Grammar *grammar = grammar_of("root ::= \"a\" (\"x\" | \"b\" \"y\"?)", false);
    GrammarMatch *match = grammar_match_new(grammar, vocab);
    uint64_t mask = 0;
    bool end = true;
    cr_expect(grammar_match_mask(match, &mask, &end));
    cr_expect_eq(mask, 1);
    cr_expect(!end);
    cr_expect(grammar_match_take(match, 0));
    cr_expect(grammar_match_mask(match, &mask, &end));
    cr_expect_eq(mask, 2);
    cr_expect(grammar_match_take(match, 1));
    cr_expect(grammar_match_mask(match, &mask, &end), "it may end");
    cr_expect(end && mask == 0);
    grammar_match_free(match);
    grammar_free(grammar);
    grammar = grammar_of("root ::= \"x\"", false);
    match = grammar_match_new(grammar, vocab);
    cr_expect(!grammar_match_mask(match, &mask, &end));
    grammar_match_free(match);
    grammar_free(grammar);
    grammar_vocab_free(vocab);
}

/* What is remembered of one vocabulary is nothing to another that lies where it lay. */
Test(grammar, another_vocabulary_has_masks_of_its_own)
{
    Grammar *grammar = grammar_of("root ::= [ab]", false);
    static char first[] = "axx", second[] = "xxb";
    char *const texts[] = {first, second, first};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        GrammarVocab *vocab = grammar_vocab_new(3, letters, texts[i]);
        GrammarMatch *match = grammar_match_new(grammar, vocab);
        uint64_t mask = 0;
        bool end = false;
        cr_expect(grammar_match_mask(match, &mask, &end));
        cr_expect_eq(mask, texts[i] == first ? 1 : 4);
        grammar_match_free(match);
        grammar_vocab_free(vocab);
    }
    grammar_free(grammar);
}

/* ---- messages ------------------------------------------------------------------------------- */

static const struct {
    const char *text, *says;
} gbnf_faults[] = {
    {"",                                                  "grammar:1:1: error: there is no rule `root`"                             },
    {"a ::= \"x\"",                                       "grammar:1:1: error: there is no rule `root`"                             },
    {"root ::= a b",                                      "grammar:1:10: error: rule `a` is not defined\nroot ::= a b\n         ^\n"
                     "grammar:1:12: error: rule `b` is not defined\nroot ::= a b\n           ^\n"               },
    {"root ::= \"x\"\nroot ::= \"y\"",                    "grammar:2:1: error: rule `root` is defined twice"                        },
    {"root ::= \"x\nb ::= \"y\"",                         "grammar:1:10: error: this text has no end: a \" is missing"              },
    {"root ::= [a-z",                                     "grammar:1:10: error: this class has no end: a ] is missing"              },
    {"root ::= (\"a\" \"b\"",                             "grammar:1:10: error: this group has no end: a ) is missing"              },
    {"root ::= \"a\")",                                   "grammar:1:13: error: expected an item, | or the end of the line"         },
    {"root ::= *",                                        "grammar:1:10: error: there is nothing before this that could be repeated"},
    {"root ::= \"a\" | +",                                "grammar:1:16: error: there is nothing before this that could be"         },
    {"root ::= \"a\"{3,2}",                               "grammar:1:13: error: the least number of repetitions is above"           },
    {"root ::= \"a\"{}",                                  "grammar:1:13: error: a repetition is {m}, {m,}, {m,n} or {,n}"           },
    {"root ::= \"a\"{100001}",                            "grammar:1:13: error: more than 100000 repetitions"                       },
    {"root ::= ((\"abc\"{1000}){1000}){1000}",            "error: the grammar is too large"                                         },
    {"root ::= [z-a]",                                    "grammar:1:11: error: this range ends before it begins"                   },
    {"root ::= []",                                       "grammar:1:10: error: a class of no characters"                           },
    {"root ::= \"\\q\"",                                  "grammar:1:11: error: unknown escape"                                     },
    {"root ::= \"\\x4\"",                                 "grammar:1:11: error: \\x is followed by 2 hexadecimal digits"            },
    {"root ::= \"\\ud800\"",                              "grammar:1:11: error: this is no character of Unicode"                    },
    {"root ::= <think>",                                  "grammar:1:10: error: tokens of a vocabulary"                             },
    {"root ::= !<[7]>",                                   "grammar:1:10: error: tokens of a vocabulary"                             },
    {"root = \"a\"",                                      "grammar:1:6: error: expected ::= behind the name of a rule"              },
    {"root ::= \"a\"\n_x ::= \"b\"",                      "grammar:2:1: error: expected a rule"                                     },
    {"root ::= \"\xFF\"",                                 "grammar:1:11: error: this byte is not UTF-8"                             },
    {"root ::= root \"a\" | \"a\"",
     "grammar:1:10: error: left recursion: root -> root, with no text"                                                              },
    {"root ::= a\na ::= \"x\"? b\nb ::= a \"y\" | \"z\"",
     "grammar:3:7: error: left recursion: a -> b -> a, with no text"                                                                },
    {"root ::= \"a\" root",                               "grammar:1:1: error: no text of rule `root` ever ends"                    },
    {"root ::= [ab]* \"a\" [ab]{40}",                     "too many of its alternatives begin alike for long"                       },
};

Test(grammar, a_fault_of_a_grammar_is_told_with_its_place)
{
    for (size_t i = 0; i < COUNT_OF(gbnf_faults); i++) {
        const char *text = gbnf_faults[i].text;
        char *why = NULL;
        Grammar *grammar = grammar_from_gbnf(text, strlen(text), &why);
        cr_expect(!grammar && why && strstr(why, gbnf_faults[i].says), "%s\nsays: %s\nexpected: %s",
                  text, why, gbnf_faults[i].says);
        free(why);
        grammar_free(grammar);
    }
}

static const struct {
    const char *text, *says;
} schema_faults[] = {
    {"{\"type\":",                                                 "s.json:1:9: error: this is not JSON"                           },
    {"{} {}",                                                      "s.json:1:4: error: this is not JSON"                           },
    {"7",                                                          "s.json: error: #: expected a schema"                           },
    {"{\"type\":\"strong\"}",                                      "#/type: \"strong\" is no type"                                 },
    {"{\"properties\":{\"a\":{\"uniqueItems\":true}}}",
     "#/properties/a/uniqueItems: this keyword is not supported"                                                                   },
    {"{\"not\":{}}",                                               "#/not: this keyword is not supported"                          },
    {"{\"properties\":{\"a/b\":{\"if\":{}}}}",                     "#/properties/a~1b/if: this keyword is not"                     },
    {"{\"patternProperties\":{}}",                                 "#/patternProperties: this keyword is not supported"            },
    {"{\"multipleOf\":2}",                                         "#/multipleOf: this keyword is not supported"                   },
    {"{\"format\":\"email\"}",                                     "#/format: \"email\" is not supported; there are date, time"    },
    {"{\"$ref\":\"other.json\"}",                                  "#/$ref: \"other.json\": what is referred to must be in"        },
    {"{\"$ref\":\"#/$defs/x\"}",                                   "#/$ref: there is no schema at \"#/$defs/x\""                   },
    {"{\"$ref\":\"#\"}",                                           "left recursion: # -> #, with no"                               },
    {"{\"minLength\":-1}",                                         "#/minLength: expected a number, 0 or more, not -1"             },
    {"{\"minLength\":1.5}",                                        "#/minLength: expected a number, 0 or more, not 1.5"            },
    {"{\"maxLength\":200000}",                                     "#/maxLength: 200000 is more than is supported, 100000"         },
    {"{\"minLength\":3,\"maxLength\":2}",                          "#/minLength: no text has at least 3 characters"                },
    {"{\"minItems\":3,\"maxItems\":2}",                            "#/minItems: no array has at least 3 items"                     },
    {"{\"pattern\":\"a\",\"maxLength\":2}",                        "#/pattern: not supported beside minLength"                     },
    {"{\"pattern\":\"(?=a)\"}",                                    "#/pattern: groups that look around or have a name are not"     },
    {"{\"pattern\":\"\\\\bx\"}",                                   "#/pattern: this escape is not supported, at byte 1"            },
    {"{\"pattern\":\"(a)\\\\1\"}",                                 "#/pattern: this escape is not supported, at byte 4"            },
    {"{\"pattern\":\"a**\"}",                                      "#/pattern: a repetition of a repetition, at byte 3"            },
    {"{\"pattern\":\"(a\"}",                                       "#/pattern: a group without an end, at byte 1"                  },
    {"{\"pattern\":\"a)\"}",                                       "#/pattern: a ) without its (, at byte 2"                       },
    {"{\"pattern\":\"a^b\"}",                                      "#/pattern: ^ and $ are supported at the ends"                  },
    {"{\"minimum\":1e40}",                                         "#/minimum: 1e40 is not supported: numbers have up to 18 digits"},
    {"{\"minimum\":\"1\"}",                                        "#/minimum: expected a number, not \"1\""                       },
    {"{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}",         "#: no value fits this schema"                                  },
    {"{\"enum\":[]}",                                              "#: no value fits this schema"                                  },
    {"{\"enum\":3}",                                               "#/enum: expected a list of values"                             },
    {"{\"enum\":[1],\"minimum\":0}",                               "#/minimum: not supported beside enum"                          },
    {"{\"anyOf\":[]}",                                             "#/anyOf: expected a list of schemas"                           },
    {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}",
     "#/oneOf/1: a value might be of this and of number 0, which oneOf forbids"                                                    },
    {"{\"allOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}", "no value is of both types"                                     },
    {"{\"allOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}",      "say different things here"                                     },
    {"{\"items\":[true]}",                                         "#/items: a list of schemas is called prefixItems"              },
    {"{\"required\":[1]}",                                         "#/required: expected a list of names"                          },
    {"{\"properties\":[]}",                                        "#/properties: expected an object of schemas"                   },
    {"{\"properties\":{\"a\":{\"$id\":\"x\"}}}",                   "#/properties/a/$id: supported for the whole"                   },
};

Test(grammar, a_fault_of_a_schema_is_told_with_its_place)
{
    for (size_t i = 0; i < COUNT_OF(schema_faults); i++) {
        const char *text = schema_faults[i].text;
        char *why = NULL;
        Grammar *grammar = grammar_read_schema("s.json", text, strlen(text), &why);
        cr_expect(!grammar && why && strstr(why, schema_faults[i].says),
                  "%s\nsays: %s\nexpected: %s", text, why, schema_faults[i].says);
        free(why);
        grammar_free(grammar);
    }
}

/* What would take time or memory without end is refused, soon. */
Test(grammar, hostile_sizes_are_refused)
{
    StrBuf deep = {0}, chain = {0}, wide = {0};
    for (int i = 0; i < 100000; i++)
        sb_puts(&deep, i ? "(" : "root ::= ");
    sb_puts(&chain, "root ::= r0\n");
    for (int i = 0; i < 17000; i++)
        sb_printf(&chain, "r%d ::= r%d\n", i, i + 1);
    sb_puts(&wide, "root ::= \"a\"");
    for (int i = 0; i < 300; i++)
        sb_puts(&wide, "{2}");
    const StrBuf *const texts[] = {&deep, &chain, &wide};
    static const char *const says[] = {"nested too deeply", "more than 16384 rules",
                                       "nested too deeply"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char *why = NULL;
        Grammar *grammar = grammar_from_gbnf(sb_text(texts[i]), texts[i]->len, &why);
        cr_expect(!grammar && why && strstr(why, says[i]), "%.300s", why ? why : "");
        free(why);
        grammar_free(grammar);
    }
    sb_free(&deep);
    sb_free(&chain);
    sb_free(&wide);
}
