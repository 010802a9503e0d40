/* tests/unit/test_frontend.c -- what the .t files of tests/frontend cannot see: the same graph by
 * two ways, paths, the arithmetic of blocks, positions in JSON, YAML that is read back. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/expr.h"
#include "frontend/frontend.h"
#include "tests/harness.h"

static Arena *arena;
static Diag *diag;

static void
set_up(void)
{
    arena = arena_new();
    diag = diag_new();
}

static void
tear_down(void)
{
    diag_free(diag);
    arena_free(arena);
}

TestSuite(frontend, .init = set_up, .fini = tear_down);

/* What was reported, as text of the arena. */
static const char *
reported(void)
{
    StrBuf sb = {0};
    diag_print(diag, &sb);
    const char *text = arena_strdup(arena, sb_text(&sb));
    sb_free(&sb);
    return text;
}

static const char *
graph_text(const Graph *g)
{
    StrBuf sb = {0};
    graph_print(&sb, g);
    const char *text = arena_strdup(arena, sb_text(&sb));
    sb_free(&sb);
    return text;
}

static const Source *
source_of(const char *text)
{
    Source *s = arena_alloc(arena, sizeof *s);
    *s = (Source){"text", text, strlen(text)};
    return s;
}

static FeModel
load(const char *path)
{
    FeModel m;
    cr_assert(fe_model_load(arena, path, NULL, 0, diag, &m), "%s: %s", path, reported());
    return m;
}

/* ---- models --------------------------------------------------------------------------------- */

static const char *const checkpoints[] = {
    "examples/storyteller",        "tests/goldens/mamba2-base",     "tests/goldens/mamba2-bias",
    "tests/goldens/mamba2-groups", "tests/goldens/mamba2-oddstate",
};

Test(frontend, imported_yaml_is_the_same_model)
{
    for (size_t i = 0; i < COUNT_OF(checkpoints); i++) {
        const char *dir = arena_printf(arena, "%s/%s", SSMC_ROOT, checkpoints[i]);
        StrBuf yaml = {0};
        FeModel again, imported;
        cr_assert(fe_import(arena, dir, NULL, diag, &yaml, &imported), "%s", reported());
        cr_assert(
            fe_model_parse(arena, yaml.text, yaml.len, "/elsewhere/x.yaml", NULL, 0, diag, &again),
            "%s", reported());
        const FeModel direct = load(dir);
        cr_expect_str_eq(graph_text(direct.graph), graph_text(again.graph));
        cr_expect_eq(direct.nignored, again.nignored);
        sb_free(&yaml);
    }
}

Test(frontend, examples_load_and_print_what_parses)
{
    static const char *const names[] = {"storyteller",  "mamba2-130m", "mamba2-2.7b",
                                        "custom-block", "hybrid",      "retnet"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const FeModel m = load(arena_printf(arena, "%s/examples/%s.yaml", SSMC_ROOT, names[i]));
        cr_expect_str_eq(m.graph->name, names[i]);
        const char *text = graph_text(m.graph);
        const Graph *again = graph_parse(arena, source_of(text), diag);
        cr_assert(again, "%s", reported());
        cr_expect_str_eq(graph_text(again), text);
    }
}

Test(frontend, paths_are_relative_to_the_file)
{
    const FeModel m = load(SSMC_ROOT "/tests/../examples/storyteller.yaml");
    cr_expect_str_eq(m.graph->weights_path, SSMC_ROOT "/examples/storyteller/model.safetensors");
    cr_expect_str_eq(m.graph->tokenizer_path, SSMC_ROOT "/examples/storyteller/tokenizer.json");
    cr_expect(m.graph->neos == 1 && m.graph->eos[0] == 0);
    cr_expect(m.complete);
}

Test(frontend, published_parameter_counts)
{
    static const struct {
        const char *name;
        int64_t parameters; /* of the published checkpoint, the tied head counted once */
    } known[] = {
        {"mamba2-130m", 128989632 },
        {"mamba2-2.7b", 2702599680}
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        const FeModel m =
            load(arena_printf(arena, "%s/examples/%s.yaml", SSMC_ROOT, known[i].name));
        int64_t total = 0;
        for (int k = 0; k < m.graph->nweights; k++) {
            int64_t n = 0;
            cr_assert(type_count(&m.graph->weights[k]->type, 0, 0, &n));
            total += n;
        }
        cr_expect_eq(total, known[i].parameters, "%s: %lld", known[i].name, (long long)total);
    }
}

Test(frontend, spellings_of_tensors)
{
    const Graph *g = load(SSMC_ROOT "/examples/storyteller.yaml").graph;
    cr_expect_str_eq(graph_find(g, "embedding.weight")->tensor,
                     "backbone.embeddings.weight|backbone.embedding.weight|"
                     "model.backbone.embedding.weight");
    cr_expect_str_eq(graph_find(g, "layers.7.mixer.D")->tensor,
                     "backbone.layers.7.mixer.D|model.backbone.layers.7.mixer.D");
    /* Without a family the model's own name comes first. */
    g = load(SSMC_ROOT "/examples/mamba2-130m.yaml").graph;
    const char *tensor = graph_find(g, "norm.weight")->tensor, *known = "|backbone.norm_f.weight|";
    cr_expect(strncmp(tensor, "norm.weight|", 12) == 0 && strstr(tensor, known), "%s", tensor);
    /* A spelling that several families have stands there once. */
    cr_expect_null(strstr(strstr(tensor, known) + 1, known), "%s", tensor);
}

Test(frontend, compile_keys_alone)
{
    const char *const good[] = {"compile.chunk=64", "compile.dtype=bf16"};
    const char *const bad[] = {"vocab=3"};
    FeCompile c = {0};
    cr_assert(fe_compile_load(arena, good, 2, diag, &c), "%s", reported());
    cr_expect_eq(c.chunk, 64);
    cr_expect_eq(c.format, FORMAT_bf16);
    cr_expect_eq(c.block, 0, "the machine decides");
    cr_expect_str_eq(c.cpu, "native");
    cr_assert(!fe_compile_load(arena, bad, 1, diag, &c));
    cr_expect(strstr(reported(), "only compile.* keys are open"), "%s", reported());
}

Test(frontend, help_names_every_key)
{
    StrBuf sb = {0};
    fe_help_keys(&sb);
    for (int i = 0; i < KEY_COUNT; i++)
        cr_expect(strstr(sb_text(&sb), key_spec[i].name), "%s", key_spec[i].name);
    cr_expect(strstr(sb_text(&sb), "block mamba2:"));
    sb_free(&sb);
}

/* ---- arithmetic ----------------------------------------------------------------------------- */

static Expr
evaluate(const char *text, bool *ok)
{
    static const struct {
        const char *name;
        int64_t value;
    } names[] = {
        {"dim",   768      },
        {"heads", 24       },
        {"big",   INT64_MAX},
        {"none",  0        }
    };
    Scope *scope = arena_alloc(arena, sizeof *scope);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const FeValue v = {.kind = SPEC_INT, .i = names[i].value, .num = (double)names[i].value};
        scope_bind(arena, scope, names[i].name, v, NULL);
    }
    Expr e = {.arena = arena, .scope = scope};
    *ok = expr_eval(&e, text, strlen(text));
    return e;
}

Test(frontend, expressions)
{
    static const struct {
        const char *text;
        double value;
    } good[] = {
        {"2 * dim + 2 * (3 + 1)",         1544 },
        {"dim / heads",                   32   },
        {"1 - 2 - 3",                     -4   },
        {"-2 * -3",                       6    },
        {"round_up(50277, 16)",           50288},
        {"7 / 2.0",                       3.5  },
        {"1e-5 * 2",                      2e-5 },
        {"heads * 32 == dim",             1    },
        {"not none",                      1    },
        {"dim > 1 and heads < 2 or true", 1    },
        {"24 <= heads",                   1    },
        {"dim != 768",                    0    },
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        bool ok;
        const Expr e = evaluate(good[i].text, &ok);
        cr_assert(ok, "%s: %s", good[i].text, e.why);
        cr_expect_float_eq(e.value.num, good[i].value, 1e-12, "%s", good[i].text);
    }
}

Test(frontend, expressions_at_fault)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"dim / 7",           "dim = 768, which is not a multiple of 7"               },
        {"(dim + 1) / heads", "(dim + 1) = 769, which is not a multiple of heads = 24"},
        {"dim / none",        "division by zero: none = 0"                            },
        {"big * 2",           "big * 2 is too large for a size"                       },
        {"big + 1",           "big + 1 is too large for a size"                       },
        {"-big - 2",          "-big - 2 is too large for a size"                      },
        {"round_up(big, 16)", "round_up(big, 16) is too large for a size"             },
        {"round_up(3, 0)",    "round_up wants a size and a multiple of at least 1"    },
        {"head * 2",          "unknown name 'head'"                                   },
        {"2 *",               "the expression ends too early"                         },
        {"2 3",               "the expression should end here"                        },
        {"(2",                "expected ')' here"                                     },
        {"1.2.3",             "'1.2.3' is no number"                                  },
        {"",                  "the expression ends too early"                         },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        bool ok;
        const Expr e = evaluate(bad[i].text, &ok);
        cr_assert(!ok, "%s", bad[i].text);
        cr_expect_str_eq(e.why, bad[i].why);
    }
}

Test(frontend, expressions_nest_only_so_deep)
{
    char text[2000];
    bool ok;
    memset(text, '(', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const Expr e = evaluate(text, &ok);
    cr_assert(!ok);
    cr_expect_str_eq(e.why, "the expression is nested too deep");
}

/* ---- trees ---------------------------------------------------------------------------------- */

Test(frontend, json_keeps_positions)
{
    const Tree *t =
        json_parse(arena,
                   source_of("{\"a\": {\"b\": [1, 2], \"c\\n\": \"b\"},\n  \"b\" : -3.5,\n"
                             "\"inf\": {\"__float__\": \"-Infinity\"}, \"n\": null}"),
                   diag);
    double num = 0;
    cr_assert(t, "%s", reported());
    const Tree *b = tree_find(t, "a.b");
    cr_expect_eq(b->loc.line, 1);
    cr_expect_eq(b->loc.column, 13);
    cr_expect_eq(b->key_loc.column, 8);
    b = tree_get(t, "b");
    cr_expect_eq(b->loc.line, 2);
    cr_expect_eq(b->loc.column, 9);
    cr_expect_eq(b->key_loc.column, 3);
    cr_expect(tree_num(b, &num) && num <= -3.5 && num >= -3.5);
    cr_expect(tree_num(tree_get(t, "inf"), &num) && isinf(num) && num < 0);
    cr_expect_eq(tree_get(t, "n")->kind, TREE_NULL);
    cr_expect(tree_get(t, "a")->items[1]->quoted);
}

Test(frontend, json_at_fault)
{
    static const char *const bad[] = {
        "", "{", "[1,", "{\"a\": 1} x", "\"\xff\"", "{\"a\": NaN}", "nul", "{'a' 1}"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const int before = diag_errors(diag);
        cr_expect_null(json_parse(arena, source_of(bad[i]), diag), "%s", bad[i]);
        cr_expect_eq(diag_errors(diag), before + 1, "%s", bad[i]);
    }
}

Test(frontend, yaml_columns_count_bytes)
{
    const Tree *t =
        yaml_parse(arena, source_of("n\xc3\xa4me: \"a b\"\nx: [\xe2\x82\xac, y]\n"), diag);
    cr_assert(t, "%s", reported());
    cr_expect_eq(t->items[0]->loc.column, 9); /* behind the quote */
    cr_expect_eq(t->items[0]->loc.span, 3);
    cr_expect_eq(t->items[1]->items[1]->loc.line, 2);
    cr_expect_eq(t->items[1]->items[1]->loc.column, 10);
}

Test(frontend, printed_yaml_reads_back)
{
    static const char text[] = "{a: [1, -2.5e-3, .inf, true, \"true\", \"1\", null], \"b c\": "
                               "\"x\\ty\\\"\\\\ \\u00e4\", l: [{p: q, r: {s: []}}, {}], e: \"\", "
                               "\"~\": \"- z\", f: \"#no\", g: \"a: b\"}";
    const Tree *t = yaml_parse(arena, source_of(text), diag);
    StrBuf once = {0}, twice = {0};
    cr_assert(t, "%s", reported());
    tree_print(&once, t);
    const Tree *again = yaml_parse(arena, source_of(sb_text(&once)), diag);
    cr_assert(again, "%s\n%s", sb_text(&once), reported());
    tree_print(&twice, again);
    cr_expect_str_eq(sb_text(&once), sb_text(&twice));
    cr_expect_str_eq(tree_get(again, "b c")->text, "x\ty\"\\ \xc3\xa4");
    cr_expect(tree_get(again, "a")->items[4]->quoted);
    cr_expect_eq(tree_get(again, "a")->items[6]->kind, TREE_NULL);
    sb_free(&once);
    sb_free(&twice);
}

Test(frontend, numbers_are_only_what_yaml_calls_so)
{
    static const char *const no[] = {"0x10",  "nan", ".nan", "1_000", "infinity", " 1",
                                     "1e999", "--1", "1e",   "+",     ""};
    double num;
    int64_t i;
    for (size_t k = 0; k < COUNT_OF(no); k++) {
        const Tree t = {.kind = TREE_SCALAR, .text = no[k]};
        cr_expect(!tree_num(&t, &num), "%s", no[k]);
        cr_expect(!tree_int(&t, &i), "%s", no[k]);
    }
    const Tree large = {.kind = TREE_SCALAR, .text = "9223372036854775808"};
    cr_expect(!tree_int(&large, &i));
    cr_expect(tree_num(&large, &num));
}
