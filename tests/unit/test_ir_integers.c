/* tests/unit/test_ir_integers.c -- the text form, the shape rules and the verifier on whole
 * numbers: quantised and packed weights, products over them, kernels with joined anchors. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"

/* ---- text ------------------------------------------------------------------------------------ */

static const char lowered_text[] =
    "graph \"q\" lowered {\n"
    "  input ids: i32[T]\n"
    "  weight table: f16[9,24]\n"
    "  weight w: bf16[10,24]\n"
    "  weight b: f32[10]\n"
    "  h: f32[T,24] = embed(ids, table)\n"
    "  q: i8[T,24], s: f32[T,1] = quantise(h)\n"
    "  w8: i8[7,24], s8: f32[7,1] = quantise_i8(w) {rows=7}\n"
    "  a: f32[T,7] = linear_i8(q, s, w8, s8, b)\n"
    "  w4: u4[3,24], s4: bf16[3,2], m4: bf16[3,2] = quantise_u4(w) {first=7, rows=3, group=16}\n"
    "  p4: u4x2[1,4,4,4] = pack(w4) {group=16, panel=4}\n"
    "  ps: bf16[1,1,4,2] = pack(s4) {panel=4}\n"
    "  pm: bf16[1,1,4,2] = pack(m4) {panel=4}\n"
    "  c: f32[T,3] = linear_u4(q, s, p4, ps, pm, b) {out=3, first=7, group=16}\n"
    "  g8: i8[10,24], gs: bf16[10,3] = quantise_i8(w) {group=8}\n"
    "  p8: u8[3,8,4,4] = pack(g8) {group=8, panel=4}\n"
    "  pg: bf16[3,2,4,2] = pack(gs) {panel=4}\n"
    "  d: f32[T,10] = linear_i8(q, s, p8, pg) {out=10, group=8}\n"
    "  half: f16[10,24] = cast(w) {to=f16}\n"
    "  ph: f16[1,24,4] = pack(half) {first=7, rows=3, panel=4}\n"
    "  e: f32[T,3] = linear(h, ph, b) {out=3, first=7, rows=3, matmul=emitted}\n"
    "  f: f32[T,10] = linear(h, w) {precise=3}\n"
    "  output a\n"
    "  output c\n"
    "  output d\n"
    "  output e\n"
    "  output f\n"
    "}\n";

static const char kernel_text[] =
    "graph \"k\" kernel {\n"
    "  block 16\n"
    "  rows 4\n"
    "  slab_bytes 2048\n"
    "  param_bytes 256\n"
    "  output_bytes 64\n"
    "  input ids: i32[T] @input+0/1\n  input pick: i32[R] @input+0/1\n"
    "  weight table: f32[9,8] @weight+0/8\n"
    "  weight w: f32[4,8] @weight+0/8\n"
    "  kernel pack_w {part=rows} {\n"
    "    w8: i8[4,8], s8: f32[4,1] = quantise_i8(w)\n"
    "    p8: u8[1,2,4,4] @param+0/0 = pack(w8) {panel=4}\n"
    "    ps: f32[1,1,4] @param+128/0 = pack(s8) {panel=4}\n"
    "  }\n"
    "  kernel embed {part=rows} {\n"
    "    h: f32[T,8] @slab+0/8 = embed(ids, table)\n"
    "  }\n"
    "  kernel norm {part=rows} {\n"
    "    u: f32[T,8] = rmsnorm(h) {eps=1e-05}\n"
    "    q: i8[T,8] @slab+512/8, s: f32[T,1] @slab+640/1 = quantise(u)\n"
    "  }\n"
    "  kernel w {tile=6, part=cols} {\n"
    "    y: f32[T,4] @slab+1024/4 = linear_i8(q, s, p8, ps) {out=4}\n"
    "  }\n"
    "  kernel take {part=rows} {\n"
    "    out: f32[R,4] @output+0/4 = take(y, pick)\n"
    "  }\n"
    "  output out\n"
    "}\n";

/* The print of what a text parses to, or the faults found in it; owns. */
static char *
parsed(const char *text, bool *ok)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    const Source source = {"t.ir", text, strlen(text)};
    StrBuf out = {0};
    const Graph *g = graph_parse(arena, &source, diag);
    *ok = g && graph_verify(g, diag);
    if (*ok)
        graph_print(&out, g);
    else
        diag_print(diag, &out);
    char *copy = strdup(sb_text(&out));
    sb_free(&out);
    diag_free(diag);
    arena_free(arena);
    return copy;
}

static void
expect_round_trip(const char *text)
{
    bool ok = false;
    char *out = parsed(text, &ok);
    cr_expect_str_eq(out, text);
    cr_expect(ok);
    free(out);
}

Test(integers_text, graphs_print_as_they_were_read)
{
    expect_round_trip(lowered_text);
    expect_round_trip(kernel_text);
}

/* ---- shape rules ----------------------------------------------------------------------------- */

typedef struct {
    const char *lines, *fault; /* fault "": there is none */
} Case;

/* Lines over h [T,8], q and s its quantised rows, w [5,8] with its integers, and b [5]. */
static void
expect_case(const Case *c)
{
    StrBuf sb = {0};
    sb_printf(&sb,
              "graph g lowered {\ninput ids: i32[T]\ninput pick: i32[R]\nweight table: "
              "f32[9,8]\nweight w: f32[5,8]\n"
              "weight b: f32[5]\nh = embed(ids, table)\nq, s = quantise(h)\n"
              "w8, s8 = quantise_i8(w)\nw4, s4, m4 = quantise_u4(w) {group=8}\n%s\n%s}\n",
              c->lines, *c->fault ? "" : "output y\n");
    bool ok = false;
    char *out = parsed(sb_text(&sb), &ok);
    if (*c->fault)
        cr_expect(!ok && strstr(out, c->fault), "expected %s\nin %s\nfor %s", c->fault, out,
                  c->lines);
    else
        cr_expect(ok, "%s\nfor %s", out, c->lines);
    free(out);
    sb_free(&sb);
}

static void
expect_cases(const Case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_case(&cases[i]);
}

Test(integers_text, rows_of_a_weight_and_the_bias_beside_them)
{
    static const Case cases[] = {
        {"y = linear(h, w, b) {first=2, rows=3}",                      ""                                      },
        {"y = linear(h, w, b) {first=4}",                              ""                                      },
        {"y = linear(h, w) {first=2, rows=4}",
         "operand 2, `w`, has 5 rows; first and rows ask for more"                                             },
        {"y = linear(h, w) {first=5}",                                 "operand 2, `w`, has 5 rows"            },
        {"y = linear(h, w) {rows=6}",                                  "operand 2, `w`, has 5 rows"            },
        {"y = linear(h, w) {first=1099511627776, rows=1099511627776}",
         "operand 2, `w`, has 5 rows"                                                                          },
        {"p = pack(w) {first=3, rows=3, panel=4}",                     "operand 1, `w`, has 5 rows"            },
        {"p, z = quantise_i8(w) {first=5}",                            "operand 1, `w`, has 5 rows"            },
        {"p, z, n = quantise_u4(w) {rows=6, group=8}",                 "operand 1, `w`, has 5 rows"            },
        {"weight c: f32[4]\ny = linear(h, w, c) {first=2, rows=3}",
         "operand 3, `c`, is f32[4], expected [5] or longer: one bias for each row of the weight"              },
        {"weight c: f32[4]\ny = linear_i8(q, s, w8, s8, c)",
         "operand 5, `c`, is f32[4], expected [5] or longer: one bias for each row of the weight"              },
        {"y = linear_u4(q, s, w4, s4, m4, b) {first=1, group=8}",
         "operand 6, `b`, is f32[5], expected [6] or longer"                                                   },
        {"y = linear(h, w) {first=0}",                                 "expected a whole number from 1 to 2^40"},
        {"y = linear(h, w) {precise=0}",                               "expected a whole number from 1 to 2^40"},
        {"p = pack(w) {first=1, rows=2, panel=4}\n"
         "y = linear(h, p, b) {out=2, first=1, rows=2}",      ""                                      },
    };
    expect_cases(cases, COUNT_OF(cases));
}

Test(integers_text, packed_reals)
{
    static const Case cases[] = {
        {"weight p: bf16[2,8,4]\ny = linear(h, p) {out=5}",
         "operand 2, `p`, is bf16[2,8,4], expected f32 or f16 of rank 3, or bf16 of rank 4: these "
         "are "
         "the packed forms"                                                                             },
        {"weight p: f32[2,4,4,2]\ny = linear(h, p) {out=5}",                         "or bf16 of rank 4"},
        {"weight p: bf16[2,4,4,2]\ny = linear(h, p) {out=5}",
         "operand 1, `h`, is f32[T,8], expected bf16: the weight is packed in pairs of bf16"            },
        {"p = pack(w) {panel=4}\ny = linear(h, p)",
         "operand 2, `p`, is f32[2,8,4], expected [O,K]: only `out` makes a weight packed"              },
        {"c = cast(w) {to=f16}\np = pack(c) {panel=4}\ny = linear(h, p, b) {out=5}", ""                 },
        {"y = linear(h, cast(w) {to=f16})",                                          ""                 },
        {"c = cast(h) {to=f16}\ny = linear(c, w)",
         "operand 1, `c`, is f16[T,8], expected f32: the weight is f32"                                 },
    };
    expect_cases(cases, COUNT_OF(cases));
}

/* K = 8 goes up to 32: 32 pairs, of 16 high parts and of 16 low ones. */
Test(integers_text, reals_as_sums_of_two_bf16)
{
    static const Case cases[] = {
        {"y = linear(h, w, b) {dot=bf16x3}",                                                   ""                                             },
        {"y = linear(h, w, b) {dot=f32}",                                                      ""                                             },
        {"p = pack(w) {panel=4, dot=bf16x3}\n"
         "y = linear(h, p, b) {out=5, dot=bf16x3}",                                   ""                                             },
        {"weight p: bf16[2,32,4,2]\ny = linear(h, p) {out=5, dot=bf16x3}",                     ""                                             },
        {"weight v: f32[5,33]\np: bf16[2,64,4,2] = pack(v) {panel=4, dot=bf16x3}\n"
         "y = linear(h, w)",                                                          ""                                             },
        {"y = linear(h, w) {dot=bf16}",                                                        "dot=bf16, but the op takes one of: f32 bf16x3"},
        {"y = linear(h, w) {dot=auto}",                                                        "dot=auto, but the op takes one of: f32 bf16x3"},
        {"y = linear(cast(h) {to=bf16}, cast(w) {to=bf16}) {dot=bf16x3}",
         "expected f32: dot=bf16x3 makes two bf16 of each number of it"                                                                       },
        {"c = cast(w) {to=bf16}\np = pack(c) {panel=4, dot=bf16x3}",
         "operand 1, `c`, is bf16[5,8], expected f32: dot=bf16x3 makes"                                                                       },
        {"p = pack(w8) {panel=4, dot=bf16x3}",                                                 "operand 1, `w8`, is i8[5,8], expected f32"    },
        {"p = pack(w) {panel=4, dot=bf16x3}\ny = linear(h, p) {out=5}",
         "operand 2, `p`, is bf16[2,32,4,2], expected bf16[2,4,4,2]"                                                                          },
        {"weight p: bf16[2,4,4,2]\ny = linear(h, p) {out=5, dot=bf16x3}",
         "operand 2, `p`, is bf16[2,4,4,2], expected bf16[2,32,4,2]"                                                                          },
        {"p = pack(w) {panel=4}\ny = linear(h, p) {out=5, dot=bf16x3}",
         "expected bf16 of rank 4: that is how dot=bf16x3 is packed"                                                                          },
        {"x = embed(ids, table)\ny = chunk_cb(x, x) {groups=1, state=8, chunk=4, dot=bf16x3}",
         "dot=bf16x3, but the op takes one of: auto f32 bf16"                                                                                 },
    };
    expect_cases(cases, COUNT_OF(cases));
}

Test(integers_text, quantised_rows_and_weights)
{
    static const Case cases[] = {
        {"y = quantise(h)",                        "2 results"                                                 },
        {"a, c = quantise(q)",                     "operand 1, `q`, is i8[T,8], expected a matrix f32[T,width]"},
        {"a, c = quantise(b)",                     "operand 1, `b`, is a weight"                               },
        {"a, c = quantise_i8(h)",                  "operand 1, `h`, is an activation"                          },
        {"a, c = quantise_i8(b)",
         "operand 1, `b`, is f32[5], expected [O,K] or [E,O,K]: it is the weight of a projection"              },
        {"a, c = quantise_i8(w8)",                 "operand 1, `w8`, is i8[5,8], expected [O,K]"               },
        {"a, c = quantise_i8(w) {group=7}",        "group=7, expected a multiple of 8"                         },
        {"a, c, d = quantise_u4(w) {group=12}",    "group=12, expected a multiple of 8"                        },
        {"a, c, d = quantise_u4(w)",               "attribute `group` is missing: inputs that share a scale"   },
        {"a, c = quantise_i8(w) {group=0}",        "expected a whole number from 1 to 2^40"                    },
        {"p = pack(w8) {group=7, panel=4}",        "group=7, expected a multiple of 8"                         },
        {"p = pack(w) {group=8, panel=4}",
         "only whole numbers are packed in groups; `w` is f32[5,8]"                                            },
        {"p = pack(pack(w8) {panel=4}) {panel=4}",
         "is u8[2,2,4,4], expected [O,K] or [E,O,K]: it is the weight of a projection"                         },
        {"p = pack(b) {panel=4}",                  "is f32[5], expected [O,K]"                                 },
    };
    expect_cases(cases, COUNT_OF(cases));
}

Test(integers_text, products_of_whole_numbers)
{
    static const Case cases[] = {
        {"y = linear_i8(q, s, w8, s8, b)",                                                       ""                                                        },
        {"y = linear_u4(q, s, w4, s4, m4, b) {group=8}",                                         ""                                                        },
        {"p = pack(w8) {panel=4}\nz = pack(s8) {panel=4}\ny = linear_i8(q, s, p, z, b) {out=5}",
         ""                                                                                                                                                },
        {"y = linear_i8(h, s, w8, s8)",
         "operand 1, `h`, is f32[T,8], expected i8[T,K]: it is one quantised row per token"                                                                },
        {"y = linear_i8(q, h, w8, s8)",
         "operand 2, `h`, is f32[T,8], expected f32[T,1]: one scale for each row of operand 1"                                                             },
        {"r, z = quantise(take(h, pick))\ny = linear_i8(r, s, w8, s8)",
         "is f32[T,1], expected f32[R,1]"                                                                                                                  },
        {"y = linear_i8(q, s, b, s8)",
         "operand 3, `b`, is f32[5], expected [O,K]: it is the weight; `out` makes it packed"                                                              },
        {"p = pack(w8) {panel=4}\ny = linear_i8(q, s, p, s8)",                                   "`out` makes it packed"                                   },
        {"y = linear_i8(q, s, w, s8)",
         "operand 3, `w`, is f32[5,8], expected i8[5,8]: as x, out and group say"                                                                          },
        {"y = linear_i8(q, s, w4, s4) {group=8}",                                                "is u4[5,8], expected i8[5,8]"                            },
        {"y = linear_u4(q, s, w8, s4, m4) {group=8}",                                            "is i8[5,8], expected u4[5,8]"                            },
        {"y = linear_i8(q, s, w8, b)",
         "operand 4, `b`, is f32[5], expected f32[5,1]: one for each group of each output column"                                                          },
        {"y = linear_u4(q, s, w4, s4, b) {group=8}",
         "operand 5, `b`, is f32[5], expected f32[5,1]: one for each group"                                                                                },
        {"v, vs = quantise_i8(w, b) {group=8}\ny = linear_i8(q, s, v, vs) {group=8}",
         "operand 2, `b`, is f32[5], expected f32[5,1]: one for each group of each row"                                                                    },
        {"v, vs = quantise_i8(w, s8)\ny = linear_i8(q, s, v, vs)",
         "given scales are of whole groups of a row"                                                                                                       },
        {"v, vs, vm = quantise_u4(w, s8) {group=8}\ny = linear_u4(q, s, v, vs, vm) {group=8}",
         "scales and minima are given together"                                                                                                            },
        {"y = linear_u4(q, s, w4, s4, m4)",                                                      "attribute `group` is missing"                            },
        {"y = linear_u4(q, s, w4, s4, m4) {group=9}",                                            "group=9, expected a multiple of 8"                       },
        {"p = pack(w8) {panel=4}\nz = pack(s8) {panel=8}\ny = linear_i8(q, s, p, z) {out=5}",
         "operand 4, `z`, is f32[1,1,8], expected f32[2,1,4]"                                                                                              },
        {"p = pack(w8) {panel=4}\nz = pack(s8) {panel=4}\ny = linear_i8(q, s, p, z) {out=9}",
         "operand 3, `p`, is u8[2,2,4,4], expected u8[3,2,4,4]: as x, out and group say"                                                                   },
        {"p = pack(w4) {panel=4}\nz = pack(s4) {panel=4}\nn = pack(m4) {panel=4}\n"
         "y = linear_u4(q, s, p, z, n) {out=5, group=8}",                               "operand 3, `p`, is u4x2[2,1,4,4], expected u4x2[2,2,4,4]"},
    };
    expect_cases(cases, COUNT_OF(cases));
}

Test(integers_text, whole_numbers_go_nowhere_else)
{
    static const Case cases[] = {
        {"y = linear(q, w)",                    "expected a matrix f32[T,width]"   },
        {"y = neg(q)",                          "is i8[T,8], expected real numbers"},
        {"y = cast(q) {to=f32}",                "is i8[T,8]"                       },
        {"y, z = split(q) {sizes=[4, 4]}",      "is i8[T,8]"                       },
        {"y = take(q, pick)",                   "is i8[T,8]"                       },
        {"y = rmsnorm(q) {eps=0}",              "is i8[T,8]"                       },
        {"y = mul(h, s8)",                      "f32[5,1]"                         },
        {"y = embed(ids, w8)",                  "is i8[5,8]"                       },
        {"output q",                            "`q`"                              },
        {"weight x: i8[5,8]\ny = linear(h, x)", "`x`"                              },
        {"state x: u4[5,8]",                    "`x`"                              },
    };
    expect_cases(cases, COUNT_OF(cases));
}

/* ---- kernels with joined anchors ------------------------------------------------------------- */

/* more: lines before the kernels. */
static void
expect_kernels(const Case *c, const char *more)
{
    StrBuf sb = {0};
    sb_printf(
        &sb,
        "graph g kernel {\ninput ids: i32[T]\ninput pick: i32[R]\nweight table: f32[9,8]\nweight "
        "w: f32[8,8]\n%s"
        "kernel h { h = embed(ids, table) }\n%s\nkernel t { t = take(h, pick) }\noutput t\n}\n",
        more, c->lines);
    bool ok = false;
    char *out = parsed(sb_text(&sb), &ok);
    cr_expect(ok == !*c->fault && strstr(out, c->fault), "expected %s\nin %s\nfor %s", c->fault,
              out, c->lines);
    free(out);
    sb_free(&sb);
}

Test(integers_text, kernels_join_what_follows_in_their_class)
{
    static const Case cases[] = {
        {"kernel k { u = rmsnorm(h) {eps=0}\nq, s = quantise(u) }",                          ""              },
        {"kernel k { g = silu(h)\nu = rmsnorm(g) {eps=0}\nc = cast(u) {to=bf16}\n"
         "q, s = quantise(u) }",                                                    ""              },
        {"kernel k { q, s = quantise_i8(w)\np = pack(q) {panel=4}\nz = pack(s) {panel=4} }", ""              },
        {"kernel k { q, s = quantise(h)\nu = rmsnorm(h) {eps=0} }",
         "kernel `k` has 2 ops that are not pointwise, expected at most one"                                 },
        {"kernel k { u = rmsnorm(h) {eps=0}\nv = rmsnorm(u) {eps=0} }",                      "has 2 ops that"},
        {"kernel k { e = embed(ids, table)\nq, s = quantise(e) }",                           "has 2 ops that"},
        {"kernel k { u = rmsnorm(h) {eps=0}\nv = rmsnorm(u) {eps=0}\nq, s = quantise(v) }",
         "has 2 ops that"                                                                                    },
        {"kernel k { y = linear(h, w)\nq, s = quantise(y) }",                                "has 2 ops that"},
        {"kernel k { q, s = quantise_i8(w)\nq2, s2 = quantise_i8(w) }",                      "has 2 ops that"},
        {"kernel k { p = pack(w) {panel=4}\nq, s = quantise_i8(w) }",                        "has 2 ops that"},
        {"kernel k { p = pack(w) {panel=4}\nx, z = quantise(h) }",
         "makes parameters, run once, as well as activations"                                                },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_kernels(&cases[i], "");
}

Test(integers_text, a_convolution_may_run_in_an_epilogue)
{
    static const Case cases[] = {
        {"kernel k { y = linear(h, w)\nz = conv1d(y, taps, _, s) }",                            ""              },
        {"kernel k { y = linear(h, w)\nz = conv1d(y, taps, _, s)\na = silu(z) }",               ""              },
        {"kernel k { y = linear(h, w)\nz = conv1d(h, taps, _, s) }",                            "has 2 ops that"},
        {"kernel k { y = linear(h, w)\na = silu(y)\nz = conv1d(a, taps, _, s) }",               "has 2 ops that"},
        {"kernel k { y = linear(h, w)\nz = conv1d(y, taps, _, s)\nv = conv1d(y, taps, _, s) }",
         "kernel `k` has a second op in its epilogue: `conv1d`"                                                 },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_kernels(&cases[i], "weight taps: f32[4,8]\nstate s: f32[3,8]\n");
}
