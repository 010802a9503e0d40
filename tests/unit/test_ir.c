/* tests/unit/test_ir.c -- the op table, building and rewriting graphs, the verifier. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"

/* ---- tables ------------------------------------------------------------------------------- */

/* Every word of an op's attribute column names an attribute. */
static bool
attrs_known(Op op)
{
    int words = 0, known = 0;
    for (const char *p = op_info[op].attrs; *p; p++)
        words += *p != ' ' && (p[1] == ' ' || !p[1]);
    for (int id = 0; id < ATTR_COUNT; id++) {
        bool required;
        known += op_takes_attr(op, (AttrId)id, &required);
    }
    return words == known;
}

Test(ops, rows_follow_the_legend)
{
    for (int i = 0; i < OP_COUNT; i++) {
        const Op op = (Op)i;
        const OpInfo *info = &op_info[op];
        const size_t operands = strlen(info->operands);
        cr_expect_eq(strspn(info->operands, "xaeifvsWFMBP?*"), operands, "%s", info->name);
        cr_expect_eq(strspn(info->stages, "MLK"), strlen(info->stages), "%s", info->name);
        cr_expect_eq(strspn(info->flags, "CLSPJREADTV"), strlen(info->flags), "%s", info->name);
        cr_expect(strlen(info->results) == 1 && strchr("123*", info->results[0]), "%s", info->name);
        cr_expect(info->shape && info->work && info->ref && *info->doc, "%s", info->name);
        cr_expect(attrs_known(op), "%s takes an unknown attribute", info->name);
        const char *state = strchr(info->operands, 's');
        const bool last = !state || state == info->operands + operands - 1;
        cr_expect(last || !op_in_stage(op, STAGE_MODEL), "%s: in blocks the state comes last",
                  info->name);
        cr_expect_eq(op_info[info->kernel].kernel, info->kernel, "%s", info->name);
        Op found;
        cr_expect(op_by_name(info->name, strlen(info->name), &found) && found == op);
    }
}

Test(ops, operand_slots_are_counted_from_their_letters)
{
    char kind;
    bool optional;
    cr_expect(op_operand(OP_ssd, 5, &kind, &optional) && kind == 'P' && optional);
    cr_expect(op_operand(OP_ssd, 6, &kind, &optional) && kind == 's' && !optional);
    cr_expect(!op_operand(OP_ssd, 7, &kind, &optional));
    cr_expect(!op_operand(OP_ssd, -1, &kind, &optional));
    bool required;
    cr_expect(op_takes_attr(OP_rmsnorm, ATTR_eps, &required) && required);
    cr_expect(op_takes_attr(OP_rmsnorm, ATTR_groups, &required) && !required);
    cr_expect(!op_takes_attr(OP_rmsnorm, ATTR_heads, &required));
    cr_expect(op_in_stage(OP_ssd, STAGE_MODEL) && !op_in_stage(OP_ssd, STAGE_LOWERED));
}

Test(ops, operands_are_found_by_what_they_are)
{
    cr_expect_eq(op_slot(OP_linear, 'W'), 1);
    cr_expect_eq(op_slot(OP_linear_i8, 'W'), 2);
    cr_expect_eq(op_slot(OP_linear_u4, 'f'), 1);
    cr_expect_eq(op_slot(OP_linear_u4, 'F'), 3);
    cr_expect_eq(op_slot(OP_linear_u4, 'M'), 4);
    cr_expect_eq(op_slot(OP_linear_u4, 'B'), 5);
    cr_expect_eq(op_slot(OP_chunk_out, 'x'), 3);
    cr_expect_eq(op_slot(OP_linear_i8, 'M'), -1);
    cr_expect_eq(op_slot(OP_rmsnorm, 'B'), -1);
    cr_expect_eq(op_slot(OP_layernorm, 'B'), 2);
    cr_expect(op_has_state(OP_conv1d) && !op_has_state(OP_chunk_out));
    cr_expect(op_has_forms(OP_ssd) && op_has_forms(OP_delta) && !op_has_forms(OP_ssd_scan) &&
              !op_has_forms(OP_selective_scan));
}

/* Multiply-adds by hand: 3 channels and 4 taps; 5 inputs and 7 outputs, from a weight of either
 * layout; 2 states of 3 channels; 6 heads of 4 with 8 states in 2 groups, chunks of 5 or of all 9
 * tokens. */
Test(ops, work_is_counted_by_row)
{
#define CHUNKS "heads=6, head_dim=4, groups=2, state=8, chunk=5"
    static const struct {
        double macs, exps;
        const char *statement;
    } cases[] = {
        {0,               5,     "y = silu(x5)"                                                  },
        {3 * 4,           0,     "state c: f32[3,3]\ny = conv1d(x3, taps, _, c)"                 },
        {5 * 7,           0,     "y = linear(x5, w)"                                             },
        {5 * 7,           0,     "y = linear(x5, packed) {out=7}"                                },
        {2 * 2 * 3,       2 * 3, "state h: f32[2,3]\ny = selective_scan(x3, x3, A, x2, x2, _, h)"},
        {2 * 6 * 4 * 8,   0,
         "state s: f32[6,8,4]\ny = ssd_scan(x24, x6, a6, x16, x16, _, s) {" CHUNKS "}"           },
        {16 * 3,          0,     "y = chunk_cb(x16, x16) {groups=2, state=8, chunk=5}"           },
        {16 * 5,          0,     "y = chunk_cb(x16, x16) {groups=2, state=8, chunk=all}"         },
        {0,               6,     "y = silu(x6)"                                                  },
        {6 * 4 * 8,       0,     "y = chunk_state(x16, x24, x6, x6) {" CHUNKS "}"                },
        {6 * 4 * (3 + 8), 0,
         "state s: f32[6,8,4]\ny = chunk_out(chunk_cb(x16, x16) {groups=2, state=8, chunk=5}, x6, "
         "x6, x24, x16, state_pass(chunk_state(x16, x24, x6, x6) {" CHUNKS
         "}, x6, s) {chunk=5}, _) "
         "{" CHUNKS "}"                                                                          },
    };
#undef CHUNKS
    static const char head[] =
        "graph g lowered {\nblock 9\ninput ids: i32[T]\nweight e2: f32[9,2]\nweight e3: f32[9,3]\n"
        "weight e5: f32[9,5]\nweight e6: f32[9,6]\nweight e16: f32[9,16]\nweight e24: f32[9,24]\n"
        "weight taps: f32[3,1,4]\nweight w: f32[7,5]\nweight packed: f32[1,5,16]\n"
        "weight A: f32[2,3]\nweight a6: f32[6]\n"
        "x2 = embed(ids, e2)\nx3 = embed(ids, e3)\nx5 = embed(ids, e5)\n"
        "x6 = embed(ids, e6)\nx16 = embed(ids, e16)\nx24 = embed(ids, e24)\n";
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Arena *arena = arena_new();
        Diag *diag = diag_new();
        const char *text = arena_printf(arena, "%s%s\noutput x2\n}\n", head, cases[i].statement);
        const Source source = {"work.ir", text, strlen(text)};
        const Graph *g = graph_parse(arena, &source, diag);
        StrBuf why = {0};
        diag_print(diag, &why);
        cr_assert_not_null(g, "%s: %s", cases[i].statement, sb_text(&why));
        sb_free(&why);
        const OpWork work = op_info[g->last->op].work(g->last, g->block);
        cr_expect_eq(work.macs, cases[i].macs, "%s: %g", cases[i].statement, work.macs);
        cr_expect_eq(work.exps, cases[i].exps, "%s: %g", cases[i].statement, work.exps);
        diag_free(diag);
        arena_free(arena);
    }
}

Test(types, counts_follow_tokens_and_chunks)
{
    Type type = {.dtype = DTYPE_f32, .shape.rank = 2};
    int64_t count;
    type.shape.dim[0] = (Dim){DIM_CHUNKS, 64};
    type.shape.dim[1] = (Dim){DIM_CHUNK, CHUNK_ALL};
    cr_expect(type_count(&type, 65, 1, &count) && count == 2 * 65);
    type.shape.dim[0].n = CHUNK_ALL;
    type.shape.dim[1].n = 7;
    cr_expect(type_count(&type, 65, 1, &count) && count == 7);
    cr_expect(type_count(&type, 0, 1, &count) && count == 0);
    type = type_rows(DTYPE_f32, DIM_TOKENS, INT64_MAX / 2);
    cr_expect(!type_count(&type, 3, 1, &count), "the product overflows");
}

/* ---- building ----------------------------------------------------------------------------- */

typedef struct {
    Arena *arena;
    Graph *g;
    Value *ids, *pick, *table, *h; /* i32[T]; i32[R]; f32[9,8]; f32[T,8] = embed(ids, table) */
} Small;

static Small
small_new(void)
{
    Arena *arena = arena_new();
    Small s = {.arena = arena, .g = graph_new(arena, "g")};
    s.ids = graph_input(s.g, "ids", input_info[INPUT_ids].type, (SrcLoc){0});
    s.pick = graph_input(s.g, "pick", input_info[INPUT_pick].type, (SrcLoc){0});
    const int64_t dims[] = {9, 8};
    s.table = graph_weight(s.g, "table", type_const(DTYPE_f32, 2, dims), NULL, NULL, (SrcLoc){0});
    Value *in[] = {s.ids, s.table};
    s.h = graph_build(s.g, NULL, OP_embed, 2, in, NULL, "h", (SrcLoc){0});
    return s;
}

static Value *
unary(Small *s, Op op, Value *x, const char *name)
{
    return graph_build(s->g, NULL, op, 1, &x, NULL, name, (SrcLoc){0});
}

/* Checks and frees. */
static void
expect_nodes(Small *s, const char *expected)
{
    StrBuf out = {0};
    for (const Node *n = s->g->first; n; n = n->next) {
        node_print(&out, n);
        sb_puts(&out, "\n");
    }
    cr_expect_str_eq(sb_text(&out), expected);
    sb_free(&out);
    Diag *diag = diag_new();
    cr_expect(graph_verify(s->g, diag));
    diag_print(diag, &out);
    cr_expect_str_eq(sb_text(&out), "");
    sb_free(&out);
    diag_free(diag);
    arena_free(s->arena);
}

static void
finish(Small *s, Value *v)
{
    Value *in[] = {v, s->pick};
    graph_output(s->g, graph_build(s->g, NULL, OP_take, 2, in, NULL, "y", (SrcLoc){0}));
}

Test(graph, replacing_moves_uses_and_the_chosen_name)
{
    Small s = small_new();
    Value *a = unary(&s, OP_silu, s.h, "a");
    Value *b = unary(&s, OP_neg, a, NULL);
    finish(&s, a);
    graph_replace(s.g, a, b); /* the node that makes b keeps its operand */
    cr_expect_eq(a->uses, 1);
    cr_expect_eq(b->uses, 1);
    cr_expect_eq(graph_find(s.g, "a"), b);
    expect_nodes(&s, "h: f32[T,8] = embed(ids, table)\nt1: f32[T,8] = silu(h)\n"
                     "a: f32[T,8] = neg(t1)\ny: f32[R,8] = take(a, pick)\n");
}

Test(graph, taken_names_get_a_suffix)
{
    Small s = small_new();
    cr_expect_str_eq(unary(&s, OP_neg, s.h, "h")->name, "h.2");
    cr_expect_str_eq(unary(&s, OP_neg, s.h, "h")->name, "h.3");
    cr_expect_str_eq(unary(&s, OP_neg, s.h, NULL)->name, "t1");
    Value *v = graph_find(s.g, "h.2");
    graph_rename(s.g, v, "renamed");
    cr_expect_null(graph_find(s.g, "h.2"));
    cr_expect_eq(graph_find(s.g, "renamed"), v);
    arena_free(s.arena);
}

Test(graph, dead_nodes_and_weights_go_but_states_stay)
{
    Small s = small_new();
    const int64_t conv[] = {8, 1, 4}, state[] = {3, 8};
    Value *w = graph_weight(s.g, "w", type_const(DTYPE_f32, 3, conv), NULL, NULL, (SrcLoc){0});
    Value *st = graph_state(s.g, "s", type_const(DTYPE_f32, 2, state), (SrcLoc){0});
    graph_weight(s.g, "unused", type_const(DTYPE_f32, 2, state), NULL, NULL, (SrcLoc){0});
    Value *in[] = {s.h, w, NULL, st};
    graph_build(s.g, NULL, OP_conv1d, 4, in, NULL, "c", (SrcLoc){0});
    unary(&s, OP_exp, unary(&s, OP_neg, s.h, NULL), NULL);
    finish(&s, s.h);
    cr_expect_eq(graph_remove_dead(s.g), 3);
    cr_expect_eq(graph_remove_dead(s.g), 0);
    cr_expect_null(graph_find(s.g, "unused"));
    expect_nodes(&s, "h: f32[T,8] = embed(ids, table)\nc: f32[T,8] = conv1d(h, w, _, s)\n"
                     "y: f32[R,8] = take(h, pick)\n");
}

Test(graph, nodes_move_and_are_inserted_before_others)
{
    Small s = small_new();
    Value *a = unary(&s, OP_silu, s.h, "a"), *b = unary(&s, OP_relu, s.h, "b");
    finish(&s, a);
    graph_move_before(s.g, b->def, a->def);
    graph_build(s.g, a->def, OP_neg, 1, &b, NULL, "n", (SrcLoc){0});
    graph_move_before(s.g, a->def, s.g->last);
    expect_nodes(&s, "h: f32[T,8] = embed(ids, table)\nb: f32[T,8] = relu(h)\n"
                     "n: f32[T,8] = neg(b)\na: f32[T,8] = silu(h)\ny: f32[R,8] = take(a, pick)\n");
}

Test(graph, a_broken_rule_adds_nothing)
{
    Small s = small_new();
    Value *in[] = {s.h, s.ids};
    ShapeResult why;
    cr_expect_null(graph_append(s.g, NULL, OP_linear, 2, in, NULL, NULL, (SrcLoc){0}, &why));
    cr_expect_eq(why.operand, 1);
    cr_expect(strstr(why.why, "`ids`, is an input, expected a weight"), "%s", why.why);
    cr_expect_eq(s.ids->uses, 1);
    cr_expect_eq(graph_node_count(s.g), 1);
    arena_free(s.arena);
}

Test(graph, results_of_weights_are_parameters)
{
    Small s = small_new();
    Value *e = unary(&s, OP_exp, s.table, "e");
    cr_expect(e->is_param && s.table->is_param && !s.h->is_param);
    Value *in[] = {e, graph_number(s.g, 2)};
    cr_expect(graph_build(s.g, NULL, OP_mul, 2, in, NULL, NULL, (SrcLoc){0})->is_param);
    arena_free(s.arena);
}

/* ---- the verifier on graphs a pass has broken
 * ----------------------------------------------------- */

static void
expect_fault(Small *s, const char *expected)
{
    Diag *diag = diag_new();
    StrBuf out = {0};
    cr_expect(!graph_verify(s->g, diag));
    diag_print(diag, &out);
    cr_expect(strstr(sb_text(&out), expected), "expected %s in %s", expected, sb_text(&out));
    sb_free(&out);
    diag_free(diag);
    arena_free(s->arena);
}

static Small
broken_new(void)
{
    Small s = small_new();
    finish(&s, unary(&s, OP_silu, s.h, "a"));
    return s;
}

Test(verify, wrong_use_counts)
{
    Small s = broken_new();
    s.h->uses++;
    expect_fault(&s, "`h` counts 2 uses, but has 1");
}

Test(verify, wrong_types)
{
    Small s = broken_new();
    s.h->type.shape.dim[1].n = 7;
    expect_fault(&s,
                 "`h` does not have the type its op makes, f32[T,8]\n  in h: f32[T,7] = embed(");
}

Test(verify, use_before_definition)
{
    Small s = broken_new();
    graph_move_before(s.g, s.h->def, NULL);
    expect_fault(&s, "`h` is used before it is made");
}

Test(verify, equal_names)
{
    Small s = broken_new();
    graph_find(s.g, "a")->name = "h";
    expect_fault(&s, "two values are called `h`");
}

Test(verify, equal_ids)
{
    Small s = broken_new();
    graph_find(s.g, "a")->id = s.h->id;
    expect_fault(&s, "values `h` and `a` have the same id");
}

Test(verify, operands_from_outside)
{
    Small s = broken_new(), other = small_new();
    graph_set_operand(s.g, graph_find(s.g, "a")->def, 0, other.h);
    expect_fault(&s, "operand 1, `h`, is not part of the graph");
    arena_free(other.arena);
}

Test(verify, wrong_parameter_marks)
{
    Small s = broken_new();
    graph_find(s.g, "a")->is_param = true;
    expect_fault(&s, "`a` is marked as made from weights only");
}

Test(verify, an_end_of_text_outside_the_vocabulary)
{
    static const int32_t ids[] = {0, 4096};
    Small s = broken_new();
    s.g->eos = ids;
    s.g->neos = 2;
    expect_fault(&s, "eos has the id 4096, expected 0 to ");
}

Test(verify, stages)
{
    Small s = broken_new();
    graph_find(s.g, "a")->def->kernel = graph_kernel(s.g, "k");
    expect_fault(&s, "`silu`: it is in a kernel before stage kernel");
}

/* ---- the verifier on kernels
 * ---------------------------------------------------------------------- */

/* A kernel-stage graph with these kernels over h [T,8]. */
static void
expect_kernel_fault(const char *header, const char *kernels, const char *expected)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    const char *text =
        arena_printf(arena,
                     "graph g kernel {\n%s\n"
                     "input ids: i32[T]\ninput pick: i32[R]\nweight table: f32[9,8]\n"
                     "weight w: f32[8,8]\nweight f: f32[8]\n%s\n}\n",
                     header, kernels);
    const Source source = {"k.ir", text, strlen(text)};
    StrBuf out = {0};
    const Graph *g = graph_parse(arena, &source, diag);
    diag_print(diag, &out);
    cr_expect(!g == (*expected != '\0') && strstr(sb_text(&out), expected), "expected %s in %s",
              expected, sb_text(&out));
    sb_free(&out);
    diag_free(diag);
    arena_free(arena);
}

Test(verify, kernels)
{
    static const struct {
        const char *kernels, *fault;
    } cases[] = {
        {"kernel a { h = embed(ids, table)\nt = take(h, pick) }\noutput t",
         "kernel `a` has 2 ops that are not pointwise"                                                                                                   },
        {"kernel a { h = embed(ids, table) }\nt = take(h, pick)\noutput t",
         "`take`: it is in no kernel"                                                                                                                    },
        {"kernel a { h = embed(ids, table) }\nkernel t { t = take(h, pick) }\nkernel e { }\noutput "
         "t",                                                                               "kernel `e` has no nodes"                           },
        {"kernel a { h = embed(ids, table) }\nkernel t { x, y = split(h) {sizes=[4, 4]}\n"
         "t = take(x, pick) }\noutput t",                                                   "a view makes no code, but it is in a kernel"       },
        {"kernel a { h = embed(ids, table)\ne = exp(f)\nn = mul(h, e) }\nkernel t { t = take(n, "
         "pick) }\n"
         "output t",                                                                        "makes parameters, run once, as well as activations"},
        {"kernel a {tile=0} { h = embed(ids, table) }",                                              "{tile=0}, expected a whole number"                 },
        {"kernel a {pieces=65} { h = embed(ids, table) }",                                           "a whole number from 1 to 64"                       },
        {"kernel a {part=all} { h = embed(ids, table) }",                                            "one of: rows cols grid heads none"                 },
        {"kernel a { kernel b { h = embed(ids, table) } }",                                          "a kernel inside kernel `a`"                        },
        {"kernel a { h = embed(ids, table)\nn = neg(h) }\nkernel t { t = take(n, pick) }\noutput t",
         ""                                                                                                                                              },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_kernel_fault("", cases[i].kernels, cases[i].fault);
}

Test(verify, kernels_that_are_torn_apart)
{
    Small s = small_new();
    Value *a = unary(&s, OP_silu, s.h, "a");
    finish(&s, a);
    s.g->stage = STAGE_KERNEL;
    Kernel *k = graph_kernel(s.g, "k"), *other = graph_kernel(s.g, "other");
    s.h->def->kernel = s.g->last->kernel = k;
    a->def->kernel = other;
    expect_fault(&s, "kernel `k` is not one run of consecutive nodes");
}

Test(verify, places)
{
    static const char header[] = "block 16\nrows 2\nslab_bytes 512\noutput_bytes 64\n";
    static const struct {
        const char *kernels, *fault;
    } cases[] = {
        {"kernel a { h: f32[T,8] @slab+0/8 = embed(ids, table) }\n"
         "kernel t { t: f32[R,8] @output+0/8 = take(h, pick) }\noutput t", ""                                               },
        {"kernel a { h: f32[T,8] = embed(ids, table) }\n"
         "kernel t { t: f32[R,8] @output+0/8 = take(h, pick) }\noutput t", "`h` leaves its kernel, but has no place"        },
        {"kernel a { h: f32[T,8] @slab+4/8 = embed(ids, table) }\n"
         "kernel t { t: f32[R,8] @output+0/8 = take(h, pick) }\noutput t", "`h` reaches beyond the 512 bytes of space slab" },
        {"kernel a { h: f32[T,8] @slab+0/7 = embed(ids, table) }\n"
         "kernel t { t: f32[R,8] @output+0/8 = take(h, pick) }\noutput t", "or its rows overlap"                            },
        {"kernel a { h: f32[T,8] @slab+2/8 = embed(ids, table) }\n"
         "kernel t { t: f32[R,8] @output+0/8 = take(h, pick) }\noutput t", "`h` is placed at byte 2"                        },
        {"kernel a { h: f32[T,8] @param+0/8 = embed(ids, table) }\n"
         "kernel t { t: f32[R,8] @output+0/8 = take(h, pick) }\noutput t", "`h` is in space param, but is not a parameter"  },
        {"kernel a { h: f32[T,8] @output+0/8 = embed(ids, table) }\n"
         "kernel t { t: f32[R,8] @output+0/8 = take(h, pick) }\noutput t", "`h` reaches beyond the 64 bytes of space output"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_kernel_fault(header, cases[i].kernels, cases[i].fault);
    expect_kernel_fault("", cases[0].kernels,
                        "values have places, but the graph is in stage kernel");
}

/* Places of 128 bytes: T is 4, and a row has 8 floats. */
Test(verify, values_that_are_needed_together_do_not_overlap)
{
    static const char header[] = "block 4\nrows 4\nslab_bytes 512\noutput_bytes 256\n";
#define LOAD(place) "kernel a { h: f32[T,8] @slab+" place "/8 = embed(ids, table) }\n"
#define ACT(to, from, place)                                                                       \
    "kernel " to " { " to ": f32[T,8] @slab+" place "/8 = silu(" from ") }\n"
#define TAKE(of) "kernel t { t: f32[R,8] @output+0/8 = take(" of ", pick) }\noutput t"
    static const struct {
        const char *kernels, *fault;
    } cases[] = {
        {LOAD("0") ACT("b", "h", "128") TAKE("b"), ""},
        {LOAD("0") ACT("b", "h", "0") TAKE("b"), "`b` is placed over `h`"},
        {LOAD("0") ACT("b", "h", "64") TAKE("b"), "bytes 64 to 192 and 0 to 128"},
        {LOAD("64") ACT("b", "h", "0") TAKE("b"), "`h` is made by"},
        {LOAD("0") ACT("b", "h", "128") ACT("c", "b", "0") TAKE("c"), ""},
        {LOAD("0") ACT("b", "h", "128") ACT("c", "h", "256") ACT("d", "c", "0") TAKE("d"), ""},
        {LOAD("0") ACT("b", "h", "128") ACT("c", "b", "0") ACT("d", "h", "256") TAKE("d"),
         "`c` is placed over `h`"},
        {LOAD("0") "kernel b { b: f32[T,8] @slab+128/8 = silu(h)\nc: f32[T,8] @slab+192/8 = neg(b) "
                   "}\n"
                   "kernel d { d: f32[T,8] @slab+384/8 = add(b, c) }\n" TAKE("d"),
         "`c` is placed over `b`"},
        {LOAD("0") "x: f32[T,4] @slab+0/8, y: f32[T,4] @slab+16/8 = split(h) {sizes=[4, 4]}\n" ACT(
             "b", "h", "128") "kernel c { c: f32[T,4] @slab+0/4 = silu(y) }\n"
                              "kernel t { t: f32[R,4] @output+0/4 = take(c, pick) }\noutput t", "`c` is placed over `h`"},
        {LOAD("0") "x: f32[T,4] @slab+0/8, y: f32[T,4] @slab+16/8 = split(h) {sizes=[4, 4]}\n"
                   "kernel c { c: f32[T,4] @slab+128/4 = silu(y) }\n"
                   "kernel t { t: f32[R,4] @output+0/4 = take(c, pick) }\noutput t", ""},
        {LOAD("0") "x: f32[T,4] @slab+0/8, y: f32[T,4] @slab+32/8 = split(h) {sizes=[4, 4]}\n"
                   "kernel c { c: f32[T,4] @slab+128/4 = silu(y) }\n"
                   "kernel t { t: f32[R,4] @output+0/4 = take(c, pick) }\noutput t", "`y` is a piece of `h`: expected @slab+16/8"},
        {LOAD("0") "kernel t { t: f32[R,8] @output+0/8 = take(h, pick) }\n"
                   "kernel u { u: f32[R,8] @output+64/8 = take(h, pick) }\noutput t\noutput u", "`u` is placed over `t`"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_kernel_fault(header, cases[i].kernels, cases[i].fault);
}

Test(verify, states_have_one_user)
{
    expect_kernel_fault(
        "state s: f32[3,8]",
        "kernel a { h = embed(ids, table) }\nkernel t { t = take(h, pick) }\noutput t",
        "state `s` is used by 0 ops, expected exactly one");
}
