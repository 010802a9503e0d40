/* tests/unit/test_ir_text.c -- the text form: print and parse, faults of texts, statements of
 * blocks. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"

static const char model_text[] =
    "graph \"a \\\"b\\\" \\\\ c\" model {\n"
    "  weights \"/w/model.safetensors\"\n"
    "  tokenizer \"tok.json\"\n"
    "  eos [3, 0]\n"
    "  seed -7\n"
    "  block 512\n"
    "  rows 32\n"
    "  input ids: i32[T]\n  input pick: i32[R]\n"
    "  weight table: bf16[100,8] tensor=\"backbone.embedding.weight\" init=normal\n"
    "  weight l.0.norm: f32[8] tensor=\"l.0\" init=\"uniform(0, 1)\"\n"
    "  weight conv.w: f16[10,1,4]\n"
    "  weight A_log: f32[2]\n"
    "  weight D: f32[2]\n"
    "  state s.conv: f32[3,10]\n"
    "  state s.ssd: f32[2,3,2]\n"
    "  h: f32[T,8] = embed(ids, table)\n"
    "  u: f32[T,8] = rmsnorm(h, l.0.norm) {eps=1e-05, groups=2}\n"
    "  n: f32[T,8] = layernorm(u, _, l.0.norm) {eps=0.001}\n"
    "  g: f32[T,8] = gelu_erf(n)\n"
    "  a: f32[T,8] = add(u, g)\n"
    "  wide: f32[T,100] = linear(a, table)\n"
    "  xbc: f32[T,10], dt: f32[T,2], rest: f32[T,88] = split(wide) {sizes=[10, 2, 88]}\n"
    "  c: f32[T,10] = conv1d(xbc, conv.w, _, s.conv)\n"
    "  x: f32[T,4], B: f32[T,3], C: f32[T,3] = split(c) {sizes=[4, 3, 3]}\n"
    "  d2: f32[T,2] = clamp(dt) {range=[-0.5, inf]}\n"
    "  y: f32[T,4] = ssd(x, d2, A_log, B, C, D, s.ssd)"
    " {groups=1, heads=2, head_dim=2, state=3, form=auto, chunk=auto}\n"
    "  z: f32[T,4] = mul(y, -2.5)\n"
    "  picked: f32[R,4] = take(z, pick)\n"
    "  output picked\n"
    "}\n";

static const char kernel_text[] =
    "graph \"k\" kernel {\n"
    "  block 16\n"
    "  rows 4\n"
    "  entry prefill\n"
    "  slab_bytes 4096\n"
    "  param_bytes 640\n"
    "  output_bytes 112\n"
    "  input ids: i32[T] @input+0/1\n  input pick: i32[R] @input+0/1\n"
    "  weight table: f32[100,8] @weight+0/8\n"
    "  weight one: f32[100,1]\n"
    "  weight w: f32[7,4]\n"
    "  weight A_log: f32[4]\n"
    "  state s: f32[4,1,1]\n"
    "  kernel pack {part=rows} {\n"
    "    p: f32[2,4,4] @param+0/0 = pack(w) {panel=4}\n"
    "  }\n"
    "  kernel A {\n"
    "    e: f32[4] = exp(A_log)\n"
    "    A: f32[4] @param+256/1 = neg(e)\n"
    "  }\n"
    "  kernel embed {\n"
    "    h: f32[T,8] @slab+0/8 = embed(ids, table)\n"
    "  }\n"
    "  x: f32[T,4] @slab+0/8, dt: f32[T,4] @slab+16/8 = split(h) {sizes=[4, 4]}\n"
    "  kernel \"2nd embed\" {\n"
    "    b: f32[T,1] @slab+512/1 = embed(ids, one)\n"
    "  }\n"
    "  kernel ssd {part=heads} {\n"
    "    a: f32[T,4] = chunk_decay(dt, A) {chunk=8}\n"
    "    cb: f32[T,1,Q8] = chunk_cb(b, b) {groups=1, state=1, chunk=8}\n"
    "    add: f32[ceil(T/8),4,1,1] = chunk_state(b, x, dt, a)"
    " {groups=1, heads=4, head_dim=1, state=1, chunk=8}\n"
    "    in: f32[ceil(T/8),4,1,1] = state_pass(add, a, s) {chunk=8}\n"
    "    y: f32[T,4] @slab+1024/4 = chunk_out(cb, a, dt, x, b, in)"
    " {groups=1, heads=4, head_dim=1, state=1, chunk=8}\n"
    "  }\n"
    "  kernel take {\n"
    "    r: f32[R,4] = take(y, pick)\n"
    "    r2: f32[R,4] @slab+2304/4 = silu(r)\n"
    "  }\n"
    "  kernel head {tile=8, part=cols} {\n"
    "    logits: f32[R,7] @output+0/7 = linear(r2, p) {out=7, matmul=emitted}\n"
    "  }\n"
    "  output logits\n"
    "}\n";

/* Parses; on faults NULL, with their text in *faults (free it). */
static Graph *
parse(Arena *arena, const char *text, size_t len, char **faults)
{
    Source *source = arena_alloc(arena, sizeof *source);
    *source = (Source){"t.ir", arena_strndup(arena, text, len), len};
    Diag *diag = diag_new();
    StrBuf out = {0};
    Graph *g = graph_parse(arena, source, diag);
    cr_assert_eq(g == NULL, diag_errors(diag) > 0);
    diag_print(diag, &out);
    diag_free(diag);
    *faults = out.text;
    return g;
}

static void
expect_round_trip(const char *text)
{
    Arena *arena = arena_new();
    char *faults;
    const Graph *g = parse(arena, text, strlen(text), &faults);
    cr_assert(g, "%s", faults);
    StrBuf once = {0}, copied = {0};
    graph_print(&once, g);
    cr_expect_str_eq(once.text, text);
    graph_print(&copied, graph_copy(arena, g));
    cr_expect_str_eq(copied.text, text, "the copy prints the same");
    sb_free(&once);
    sb_free(&copied);
    free(faults);
    arena_free(arena);
}

Test(text, model_graphs_print_as_they_were_read)
{
    expect_round_trip(model_text);
}

Test(text, kernel_graphs_with_places_print_as_they_were_read)
{
    expect_round_trip(kernel_text);
}

Test(text, values_of_six_dimensions_print_as_they_were_read)
{
    expect_round_trip("graph \"six\" model {\n"
                      "  input ids: i32[T]\n  input pick: i32[R]\n"
                      "  weight table: f32[100,8]\n"
                      "  weight w: bf16[2,1,3,4,5] tensor=\"experts.weight\"\n"
                      "  weight v: f32[6,5,4,3,2,1]\n"
                      "  e: f32[6,5,4,3,2,1] = exp(v)\n"
                      "  f: f32[6,5,4,3,2,1] = mul(e, v)\n"
                      "  g: f32[2,1,3,4,5] = neg(w)\n"
                      "  h: f32[T,8] = embed(ids, table)\n"
                      "  r: f32[R,8] = take(h, pick)\n"
                      "  output r\n"
                      "}\n");
}

/* ---- hand-written texts ------------------------------------------------------------------- */

/* A graph whose middle is `lines`, over h [T,8] and o [T,1]. */
static char *
around(Arena *arena, const char *lines)
{
    return arena_printf(arena,
                        "graph g lowered {\n"
                        "input ids: i32[T] input pick: i32[R]\n"
                        "weight table: f32[9,8]\n"
                        "weight one: f32[9,1]\n"
                        "weight w: f32[5,8]\n"
                        "weight b: f32[5]\n"
                        "h = embed(ids, table)\n"
                        "o = embed(ids, one)\n"
                        "%s\n}\n",
                        lines);
}

static void
expect_printed(const char *lines, const char *expected)
{
    Arena *arena = arena_new();
    const char *text = around(arena, lines);
    char *faults;
    const Graph *g = parse(arena, text, strlen(text), &faults);
    cr_assert(g, "%s", faults);
    StrBuf out = {0};
    graph_print(&out, g);
    cr_expect(strstr(out.text, expected), "expected %s in %s", expected, out.text);
    sb_free(&out);
    free(faults);
    arena_free(arena);
}

Test(text, infix_and_nested_calls_become_nodes)
{
    expect_printed("y = silu(h) * o + h * 2 - -1.5*2 # comment\noutput y ; another",
                   "  t1: f32[T,8] = silu(h)\n"
                   "  t2: f32[T,8] = mul(t1, o)\n"
                   "  t3: f32[T,8] = mul(h, 2)\n"
                   "  t4: f32[T,8] = add(t2, t3)\n"
                   "  y: f32[T,8] = sub(t4, -3)\n");
    expect_printed("y = -(h - o) * (2 + 3)\noutput y", "  t1: f32[T,8] = sub(h, o)\n"
                                                       "  t2: f32[T,8] = neg(t1)\n"
                                                       "  y: f32[T,8] = mul(t2, 5)\n");
}

Test(text, values_of_nested_calls_give_way_to_names_of_the_text)
{
    expect_printed("a = neg(exp(h))\nt1 = neg(a)\nt2 = neg(t1)\noutput t2",
                   "  t3: f32[T,8] = exp(h)\n"
                   "  a: f32[T,8] = neg(t3)\n"
                   "  t1: f32[T,8] = neg(a)\n"
                   "  t2: f32[T,8] = neg(t1)\n");
}

Test(text, keywords_can_be_names)
{
    expect_printed("kernel = neg(h)\nstate: f32[T,8] = neg(kernel)\noutput state",
                   "  state: f32[T,8] = neg(kernel)\n");
}

/* ---- faults ------------------------------------------------------------------------------- */

static void
expect_fault(const char *text, const char *expected)
{
    Arena *arena = arena_new();
    char *faults;
    const Graph *g = parse(arena, text, strlen(text), &faults);
    cr_expect(!g && strstr(faults, expected), "expected %s\nin %s\nfor %s", expected,
              faults ? faults : "no fault", text);
    free(faults);
    arena_free(arena);
}

typedef struct {
    const char *lines, *fault;
} FaultCase;

static void
expect_faults(const FaultCase *cases, size_t count)
{
    Arena *arena = arena_new();
    for (size_t i = 0; i < count; i++)
        expect_fault(around(arena, cases[i].lines), cases[i].fault);
    arena_free(arena);
}

Test(text, faults_name_what_was_found_and_the_nearest_known)
{
    static const FaultCase cases[] = {
        {"y = rmsnrom(h) {eps=1}",
         "t.ir:9:5: error: unknown op `rmsnrom`; did you mean `rmsnorm`?"                                                                        },
        {"weight v: f32[1,1,1,1,1,1,1]",                                          "a type has at most 6 dimensions"                              },
        {"y = linear(h, tabel)",                                                  "t.ir:9:15: error: unknown name `tabel`; did you mean `table`?"},
        {"y = rmsnorm(h) {esp=1}",
         "9:17: error: `rmsnorm` has no attribute `esp`; it takes eps, groups; "
         "did you mean `eps`?"                                                                                                                   },
        {"y = rmsnorm(h) {eps=1, eps=2}",                                         "attribute `eps` is given twice"                               },
        {"y = rmsnorm(h) {groups=2}",                                             "attribute `eps` is missing: added to the mean square"         },
        {"y = rmsnorm(h) {eps=-1}",                                               "{eps=-1}, expected a number that is not negative"             },
        {"y = rmsnorm(h) {eps}",                                                  "expected `=` and a value, found `}`"                          },
        {"y = rmsnorm(h) {eps=x}",                                                "expected a number, found `x`"                                 },
        {"y = rmsnorm(h) {eps=1, groups=1.5}",                                    "this is 1.5, expected a whole number"                         },
        {"y = linear(h, w) {matmul=mkl}",                                         "expected one of: auto emitted blas"                           },
        {"y, z = split(h) {sizes=4}",                                             "expected a list such as [1, 2], found `4`"                    },
        {"y = clamp(h) {range=[2, 1]}",                                           "expected two numbers, the lower one first"                    },
        {"y = cast(h) {to=f64}",                                                  "expected one of: f32 f16 bf16"                                },
        {"y: f31[T,8] = neg(h)",                                                  "9:4: error: unknown element type `f31`; did you mean `f32`?"  },
        {"y: f32[T,9] = neg(h)",                                                  "`y` is declared f32[T,9], but its op makes f32[T,8]"          },
        {"y: f32[T,0] = neg(h)",                                                  "expected a size from 1 to 2^40, found `0`"                    },
        {"y: f32[t] = neg(h)",                                                    "expected a dimension: a size, T, R"                           },
        {"y: f32[T,8] @slub+0/8 = neg(h)",                                        "unknown space `slub`; did you mean `slab`?"                   },
        {"y, z = neg(h)",                                                         "2 names for 1 result"                                         },
        {"y = split(h) {sizes=[4, 4]}",                                           "1 name for 2 results"                                         },
        {"y = neg(split(h) {sizes=[4, 4]})",                                      "`split` makes 2 results, expected one here"                   },
        {"y = h",                                                                 "`y` would only be another name"                               },
        {"h = neg(h)",                                                            "`h` is defined twice"                                         },
        {"_ = neg(h)",                                                            "`_` cannot be a name"                                         },
        {"y = add(h, _)",                                                         "operand 2 is missing, expected an activation or a weight"     },
        {"y = neg(h, h)",                                                         "9:12: error: `neg`: it has more than 1 operands"              },
        {"y = rmsnorm(h, h) {eps=1}",                                             "operand 2, `h`, is an activation, expected a weight"          },
        {"y = neg(h",                                                             "expected `)` after the operands"                              },
        {"y = \"h",                                                               "this string has no closing quote"                             },
        {"y = 1%2",                                                               "this character has no meaning here"                           },
        {"y = 1e999999999999999999999999999999999999999999999999999999999999999",
         "too many digits"                                                                                                                       },
        {"weigth q: f32[3]",                                                      "did you mean `weight`?"                                       },
        {"weight q: f32[3] tensr=\"a\"",
         "unknown option `tensr` of a weight; did you mean `tensor`?"                                                                            },
        {"eos 3",                                                                 "expected `[` before the ids that end a text, found `3`"       },
        {"eos []",                                                                "expected a token id, found `]`"                               },
        {"eos [3, x]",                                                            "expected a token id, found `x`"                               },
        {"eos [3 4]",                                                             "expected `]` behind the ids that end a text, found `4`"       },
        {"eos [-1]",                                                              "expected a token id, found `-`"                               },
        {"eos [99999999999]",                                                     "the id 99999999999 is beyond every vocabulary"                },
        {"entry warmup",                                                          "unknown entry `warmup`, expected prefill or decode"           },
        {"output ids",                                                            "only a result can be an output, not `ids`"                    },
    };
    expect_faults(cases, COUNT_OF(cases));
}

Test(text, shape_faults_say_the_numbers_and_where_they_come_from)
{
    static const FaultCase cases[] = {
        {"y = linear(o, w)",
         "operand 2, `w`, is f32[5,8], expected [O,1]: operand 1, `o`, has 1 columns"                                                                                           },
        {"y = linear(h, w, w)",
         "operand 3, `w`, is f32[5,8], expected [5]: one bias for each output"                                                                                                  },
        {"y = linear(h, w) {out=6}",                                                            "expected [6,K]: that many are said by `out`"                                   },
        {"p = pack(w) {panel=4}\ny = linear(h, p) {out=9}",
         "is f32[2,8,4], expected f32[3,8,4]: out=9"                                                                                                                            },
        {"y = linear(h, b)",                                                                    "operand 2, `b`, is f32[5], expected [O,K]"                                     },
        {"y = linear(cast(h) {to=bf16}, w)",                                                    "is bf16[T,8], expected f32: the weight is f32"                                 },
        {"y = rmsnorm(h) {eps=1, groups=3}",                                                    "8 columns do not divide into groups=3"                                         },
        {"y = rmsnorm(h, b) {eps=1}",                                                           "is f32[5], expected [8]"                                                       },
        {"y = layernorm(h, _, b) {eps=1}",
         "operand 3, `b`, is f32[5], expected [8]: one number to add for each column of operand 1"                                                                              },
        {"y, z = split(h) {sizes=[4, 3]}",                                                      "sizes add up to 7, but operand 1, `h`, has 8 columns"                          },
        {"y = add(h, b)",                                                                       "operands are f32[T,8] and f32[5]: neither repeats over the other"              },
        {"y = add(ids, 1)",                                                                     "operand 1, `ids`, is i32[T], expected real numbers"                            },
        {"y = take(h)",                                                                         "operand 2 is missing, expected the input `pick: i32[R]`"                       },
        {"y = take(h, ids)",                                                                    "operand 2, `ids`, is an input, expected the input `pick: i32[R]`"              },
        {"y = exp(4)",                                                                          "write its value instead"                                                       },
        {"y = take(take(h, pick), pick)",                                                       "expected rows T: this op goes over every token"                                },
        {"y = embed(h, w)",                                                                     "expected the input `ids: i32[T]`"                                              },
        {"state s: f32[2,8]\nweight c: f32[8,1,4]\ny = conv1d(h, c, _, s)",
         "operand 4, `s`, is f32[2,8], expected f32[3,8]: the state holds the last K-1 inputs"                                                                                  },
        {"state s: f32[3,8]\nweight c: f32[8,1,1]\ny = conv1d(h, c, _, s)",
         "expected K of at least 2"                                                                                                                                             },
        {"state s: f32[2,3,4]\nweight A: f32[2]\n"
         "y = ssd_scan(h, o, A, o, o, _, s) {heads=2, head_dim=4, groups=1, state=3}", "operand 2, `o`, is f32[T,1], expected f32[T,2]: one column for each of heads=2"},
        {"state s: f32[2,3,4]\nweight A: f32[2]\n"
         "y = ssd_scan(h, h, A, o, o, _, s) {heads=2, head_dim=3, groups=1, state=3}", "operand 1, `h`, is f32[T,8], expected f32[T,6]: heads*head_dim = 2*3 = 6"      },
        {"y = chunk_cb(h, h) {groups=1, state=8, chunk=auto}",                                  "expected a length or all"                                                      },
        {"y = chunk_cb(h, h) {groups=1099511627776, state=1099511627776, chunk=8}",
         "above the largest size"                                                                                                                                               },
    };
    expect_faults(cases, COUNT_OF(cases));
}

Test(text, faults_of_whole_graphs)
{
    expect_fault("", "expected `graph`, found the end of the text");
    expect_fault("graf \"a\" model {}", "expected `graph`, found `graf`");
    expect_fault("graph a modle {}", "unknown stage `modle`");
    expect_fault("graph a model {\n", "expected `}` at the end of the graph");
    expect_fault("graph a model {} x", "expected nothing after the graph, found `x`");
    expect_fault("graph a model {}", "the graph has no output");
    expect_fault("graph a kernel { kernel k {tile=8, chunk=4} { } }",
                 "`kernel` has no attribute `chunk`");
}

Test(text, several_faults_are_reported_and_none_follows_from_another)
{
    Arena *arena = arena_new();
    const char *text = around(arena, "a = foo(h)\nb = neg(a)\nc = add(b, q)\nd: f3[T] = neg(c)\n"
                                     "e = neg(d)\np, h = split(h) {sizes=[4, 4]}\nr = neg(p)\n"
                                     "output e");
    char *faults;
    cr_expect_null(parse(arena, text, strlen(text), &faults));
    int count = 0;
    for (const char *p = faults; (p = strstr(p, "error:")); p++)
        count++;
    cr_expect_eq(count, 4, "%s", faults);
    free(faults);
    arena_free(arena);
}

/* ---- hostile texts ------------------------------------------------------------------------ */

Test(text, deep_nesting_is_refused)
{
    static const char *const openings[] = {"(", "-", "neg(", "-(-", "add(h,"};
    for (size_t i = 0; i < COUNT_OF(openings); i++) {
        StrBuf sb = {0};
        Arena *arena = arena_new();
        sb_puts(&sb, "y = ");
        for (int depth = 0; depth < 100000; depth++)
            sb_puts(&sb, openings[i]);
        expect_fault(around(arena, sb.text),
                     "more than 64 calls and parentheses inside each other");
        sb_free(&sb);
        arena_free(arena);
    }
}

/* Whatever happens to a text, it is read or refused, and what is read prints to something that is
 * read. */
static void
survive(const char *text, size_t len)
{
    Arena *arena = arena_new();
    char *faults, *again;
    const Graph *g = parse(arena, text, len, &faults);
    if (g) {
        StrBuf out = {0}, twice = {0};
        graph_print(&out, g);
        const Graph *back = parse(arena, out.text, out.len, &again);
        cr_assert(back, "%s\n%s", again, out.text);
        graph_print(&twice, back);
        cr_assert_str_eq(out.text, twice.text);
        sb_free(&out);
        sb_free(&twice);
        free(again);
    }
    free(faults);
    arena_free(arena);
}

Test(text, every_beginning_of_a_text_is_survived)
{
    for (size_t len = 0; len < sizeof model_text; len += 3)
        survive(model_text, len);
    for (size_t len = 0; len < sizeof kernel_text; len += 3)
        survive(kernel_text, len);
}

Test(text, changed_texts_are_survived)
{
    static const char bytes[] = "{}[]()=:,@+-*/#\"\\ \n\0\x80_.a0T1";
    uint64_t random = 1;
    for (int round = 0; round < 3000; round++) {
        const bool kernels = round % 2;
        const size_t len = kernels ? sizeof kernel_text - 1 : sizeof model_text - 1;
        char text[sizeof kernel_text + sizeof model_text];
        memcpy(text, kernels ? kernel_text : model_text, len);
        for (int change = round % 3; change >= 0; change--) {
            random = hash_bytes(&random, sizeof random, (uint64_t)round);
            text[random % len] = bytes[(random >> 32) % (sizeof bytes - 1)];
        }
        survive(text, len);
    }
}

/* ---- statements of blocks ----------------------------------------------------------------- */

typedef struct {
    Value *bound[16]; /* names in the scope, by their rebinding */
    const char *names[16];
    int count;
    int states;
} Scope;

static Value *
scope_lookup(ParseScope *scope, const char *name, SrcLoc loc, bool *absent)
{
    const Scope *s = scope->user;
    (void)loc;
    *absent = !strcmp(name, "bias");
    for (int i = s->count - 1; i >= 0; i--)
        if (!strcmp(s->names[i], name))
            return s->bound[i];
    return NULL;
}

static void
scope_define(ParseScope *scope, const char *name, Value *value, SrcLoc loc)
{
    Scope *s = scope->user;
    (void)loc;
    cr_assert_lt(s->count, 16);
    s->names[s->count] = arena_strdup(scope->graph->arena, name);
    s->bound[s->count++] = value;
}

static bool
scope_number(ParseScope *scope, const char *expr, size_t len, SrcLoc loc, double *out)
{
    (void)scope, (void)loc;
    if (len == 3 && !strncmp(expr, "eps", len))
        *out = 0.25;
    else if (len == 9 && !strncmp(expr, "dim / two", len))
        *out = 4;
    else
        return false;
    return true;
}

static bool
scope_param(ParseScope *scope, const char *name, Attr *inout)
{
    (void)scope;
    static const double limit[] = {0, 1};
    if (strcmp(name, "limit"))
        return false;
    inout->count = 2;
    inout->nums = limit;
    return true;
}

static Value *
scope_state(ParseScope *scope, Op op, const Type *type, SrcLoc loc)
{
    Scope *s = scope->user;
    s->states++;
    return graph_state(scope->graph, op_info[op].name, *type, loc);
}

Test(text, statements_of_blocks_use_their_scope)
{
    static const char *const lines[] = {
        "h = rmsnorm(h, _) {eps}",
        "h = conv1d(h, c, bias)",
        "a, h = split(h) {sizes=[dim / two, 4]}",
        "h = clamp(h + 1) {range=limit}",
    };
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Scope user = {0};
    ParseScope scope = {
        .graph = graph_new(arena, "g"),
        .diag = diag,
        .user = &user,
        .lookup = scope_lookup,
        .define = scope_define,
        .number = scope_number,
        .param = scope_param,
        .state = scope_state,
    };
    Graph *g = scope.graph;
    Type ids = {
        .dtype = DTYPE_i32, .shape = {1, {{DIM_TOKENS, 0}}}
    };
    Value *in[] = {
        graph_input(g, "ids", ids, (SrcLoc){0}),
        graph_weight(g, "w", type_const(DTYPE_f32, 2, (int64_t[]){9, 8}), NULL, NULL, (SrcLoc){0})};
    const Type conv = type_const(DTYPE_f32, 3, (int64_t[]){8, 1, 4});
    scope_define(&scope, "c", graph_weight(g, "c", conv, NULL, NULL, (SrcLoc){0}), (SrcLoc){0});
    scope_define(&scope, "h", graph_build(g, NULL, OP_embed, 2, in, NULL, "h", (SrcLoc){0}),
                 (SrcLoc){0});
    StrBuf out = {0};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        const Source source = {"b.yaml", lines[i], strlen(lines[i])};
        const bool ok = statement_parse(&scope, &source, 1, 1, lines[i], strlen(lines[i]));
        diag_print(diag, &out);
        cr_assert(ok, "%s", sb_text(&out));
    }
    graph_output(g, scope_lookup(&scope, "h", (SrcLoc){0}, &(bool){false}));
    cr_expect(graph_verify(g, diag));
    diag_print(diag, &out);
    graph_print(&out, g);
    cr_expect_eq(user.states, 1);
    cr_expect_str_eq(sb_text(&out), "graph \"g\" model {\n"
                                    "  input ids: i32[T]\n"
                                    "  weight w: f32[9,8]\n"
                                    "  weight c: f32[8,1,4]\n"
                                    "  state conv1d: f32[3,8]\n"
                                    "  h: f32[T,8] = embed(ids, w)\n"
                                    "  h.2: f32[T,8] = rmsnorm(h) {eps=0.25}\n"
                                    "  h.3: f32[T,8] = conv1d(h.2, c, _, conv1d)\n"
                                    "  a: f32[T,4], h.4: f32[T,4] = split(h.3) {sizes=[4, 4]}\n"
                                    "  t1: f32[T,4] = add(h.4, 1)\n"
                                    "  h.5: f32[T,4] = clamp(t1) {range=[0, 1]}\n"
                                    "  output h.5\n"
                                    "}\n");
    sb_free(&out);
    diag_free(diag);
    arena_free(arena);
}
