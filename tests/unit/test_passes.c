/* tests/unit/test_passes.c -- the pass manager, the checker and what the passes promise of a whole
 * model: kernels in order, a memory plan without overlaps, numbers that stay, panels all entries
 * share. The rules and rewrites one by one are in tests/passes. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "passes/internal.h"

/* ---- a model ---------------------------------------------------------------------------- */

typedef struct {
    Arena *arena;
    Diag *diag;
    StrBuf text, out, explain;
    Source source;
    Graph *graph;
    PassCtx cx;
    PassOptions options;
    Machine machine;
    WeightSource weights;
} Bench;

/* Uniform in [-0.5, 0.5), from a name and an index: the same in every run. */
static float
element(const char *name, int64_t i)
{
    const uint64_t bits = hash_bytes(&i, sizeof i, hash_bytes(name, strlen(name), 7));
    return (float)((double)(bits >> 11) * 0x1p-53 - 0.5);
}

static const void *
open_weight(void *user, const Value *weight)
{
    Bench *b = user;
    int64_t count = 0;
    cr_assert(type_count(&weight->type, 0, 0, &count));
    float *data = arena_array(b->arena, (size_t)count, sizeof *data);
    for (int64_t i = 0; i < count; i++)
        data[i] = element(weight->name, i);
    return data;
}

/* Mamba-2 layers: D = 16, H = 4, P = 8, N = 12, G = 2; inner 32, conv width 32 + 2*24 = 80. */
static void
put_layer_weights(StrBuf *sb, int i)
{
    sb_printf(sb, "weight l%d.norm.weight: f32[16]\n", i);
    sb_printf(sb, "weight l%d.in_proj.weight: f32[116,16]\n", i);
    sb_printf(sb, "weight l%d.conv1d.weight: f32[80,1,4]\nweight l%d.conv1d.bias: f32[80]\n", i, i);
    sb_printf(sb, "weight l%d.dt_bias: f32[4]\nweight l%d.A_log: f32[4]\n", i, i);
    sb_printf(sb, "weight l%d.D: f32[4]\nweight l%d.gate.weight: f32[32]\n", i, i);
    sb_printf(sb, "weight l%d.out_proj.weight: f32[16,32]\n", i);
    sb_printf(sb, "state l%d.conv: f32[3,80]\nstate l%d.ssd: f32[4,12,8]\n", i, i);
}

static void
put_layer(StrBuf *sb, int i, const char *ssd_attrs)
{
    sb_printf(sb, "u%d = rmsnorm(h%d, l%d.norm.weight) {eps=1e-05}\n", i, i, i);
    sb_printf(sb, "p%d = linear(u%d, l%d.in_proj.weight)\n", i, i, i);
    sb_printf(sb, "z%d, xbc%d, dt%d = split(p%d) {sizes=[32, 80, 4]}\n", i, i, i, i);
    sb_printf(sb, "c%d = conv1d(xbc%d, l%d.conv1d.weight, l%d.conv1d.bias, l%d.conv)\n", i, i, i, i,
              i);
    sb_printf(sb, "g%d = silu(c%d)\n", i, i);
    sb_printf(sb, "x%d, B%d, C%d = split(g%d) {sizes=[32, 24, 24]}\n", i, i, i, i);
    sb_printf(sb, "b%d = add(dt%d, l%d.dt_bias)\n", i, i, i);
    sb_printf(sb, "d%d = softplus(b%d)\n", i, i);
    sb_printf(sb, "e%d = clamp(d%d) {range=[0, inf]}\n", i, i);
    sb_printf(sb, "y%d = ssd(x%d, e%d, l%d.A_log, B%d, C%d, l%d.D, l%d.ssd) ", i, i, i, i, i, i, i,
              i);
    sb_printf(sb, "{heads=4, head_dim=8, groups=2, state=12%s}\n", ssd_attrs);
    sb_printf(sb, "s%d = silu(z%d)\n", i, i);
    sb_printf(sb, "m%d = mul(y%d, s%d)\n", i, i, i);
    sb_printf(sb, "n%d = rmsnorm(m%d, l%d.gate.weight) {eps=1e-05, groups=2}\n", i, i, i);
    sb_printf(sb, "o%d = linear(n%d, l%d.out_proj.weight)\n", i, i, i);
    sb_printf(sb, "h%d = add(h%d, o%d)\n", i + 1, i, i);
}

static void
put_model(StrBuf *sb, int layers, const char *ssd_attrs)
{
    sb_puts(sb,
            "graph \"test\" model {\nblock 40\nrows 4\ninput ids: i32[T]\ninput pick: i32[R]\n");
    sb_puts(sb, "weight embedding.weight: f32[24,16]\nweight norm_f.weight: f32[16]\n");
    for (int i = 0; i < layers; i++)
        put_layer_weights(sb, i);
    sb_puts(sb, "h0 = embed(ids, embedding.weight)\n");
    for (int i = 0; i < layers; i++)
        put_layer(sb, i, ssd_attrs);
    sb_printf(sb, "last = take(h%d, pick)\nf = rmsnorm(last, norm_f.weight) {eps=1e-05}\n", layers);
    sb_puts(sb, "logits = linear(f, embedding.weight)\noutput logits\n}\n");
}

static void
parse(Bench *b)
{
    b->source = (Source){"test.ir", sb_text(&b->text), b->text.len};
    b->graph = graph_parse(b->arena, &b->source, b->diag);
    if (b->graph)
        return;
    StrBuf faults = {0};
    diag_print(b->diag, &faults);
    cr_assert(false, "%s", sb_text(&faults));
}

static void
bench_open(Bench *b)
{
    memset(b, 0, sizeof *b);
    b->arena = arena_new();
    b->diag = diag_new();
    b->weights = (WeightSource){b, open_weight};
    cr_assert(machine_named("x86-64-v4", &b->machine));
    b->cx = (PassCtx){
        .machine = &b->machine,
        .format = FORMAT_f32,
        .chunk = CHUNK_AUTO,
        .arena = b->arena,
        .diag = b->diag,
        .explain = &b->explain,
    };
    b->options = (PassOptions){.stop_after = -1, .weights = &b->weights, .out = &b->out};
}

static void
bench_close(Bench *b)
{
    sb_free(&b->text);
    sb_free(&b->out);
    sb_free(&b->explain);
    diag_free(b->diag);
    arena_free(b->arena);
}

static void
bench_model(Bench *b, int layers)
{
    bench_open(b);
    put_model(&b->text, layers, "");
    parse(b);
}

static void
expect_run(Bench *b)
{
    const bool ok = pass_run_pipeline(b->graph, &b->cx, &b->options);
    StrBuf faults = {0};
    diag_print(b->diag, &faults);
    cr_assert(ok, "%s%s", sb_text(&b->out), sb_text(&faults));
    sb_free(&faults);
}

static int
count_text(const char *text, const char *what)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        count++;
    return count;
}

/* ---- numbers ---------------------------------------------------------------------------- */

static void
expect_checked(EntryId entry, int64_t chunk, const char *form, Format format)
{
    Bench b;
    bench_model(&b, 2);
    b.graph->entry = &entry_info[entry];
    b.cx.chunk = chunk;
    b.cx.form = form;
    b.cx.format = format;
    b.options.check_each = b.options.verify_each = true;
    expect_run(&b);
    cr_assert(count_text(sb_text(&b.out), "check ") >= 6, "%s", sb_text(&b.out));
    bench_close(&b);
}

Test(passes, every_pass_keeps_the_numbers_in_every_form)
{
    expect_checked(ENTRY_decode, CHUNK_AUTO, "auto", FORMAT_f32);
    expect_checked(ENTRY_prefill, CHUNK_AUTO, "auto", FORMAT_f32);
    expect_checked(ENTRY_prefill, CHUNK_AUTO, "recurrent", FORMAT_f32);
    expect_checked(ENTRY_prefill, CHUNK_AUTO, "quadratic", FORMAT_f32);
    expect_checked(ENTRY_prefill, 1, NULL, FORMAT_f32);
    expect_checked(ENTRY_prefill, 7, NULL, FORMAT_f32);
    expect_checked(ENTRY_prefill, 1000, NULL, FORMAT_f32);
}

Test(passes, bf16_projections_are_within_the_rounding_check_each_allows)
{
    expect_checked(ENTRY_prefill, 16, NULL, FORMAT_bf16);
}

Test(passes, whole_numbers_are_within_the_rounding_check_each_allows)
{
    expect_checked(ENTRY_prefill, 16, NULL, FORMAT_f16);
    expect_checked(ENTRY_prefill, 16, NULL, FORMAT_int8);
    expect_checked(ENTRY_decode, 16, NULL, FORMAT_int8);
    expect_checked(ENTRY_prefill, 16, NULL, FORMAT_int4);
}

Test(passes, check_each_names_the_pass_that_changes_the_numbers)
{
    Bench b;
    bench_model(&b, 1);
    Checker *checker = checker_new(b.graph, &b.cx, &b.weights);
    cr_assert_not_null(checker);
    cr_assert(checker_after(checker, b.graph, PASS_canon, &b.out));
    for (Node *n = b.graph->first; n; n = n->next)
        if (attrs_find(&n->attrs, ATTR_eps))
            graph_set_attr(b.graph, n, (Attr){.id = ATTR_eps, .num = 0.1});
    cr_assert_not(checker_after(checker, b.graph, PASS_fold_params, &b.out));
    StrBuf faults = {0};
    diag_print(b.diag, &faults);
    cr_assert_not_null(strstr(sb_text(&faults), "pass fold_params changes the numbers"), "%s",
                       sb_text(&faults));
    sb_free(&faults);
    checker_free(checker);
    bench_close(&b);
}

/* ---- the manager ------------------------------------------------------------------------ */

Test(passes, text_after_every_pass_reads_back_as_itself)
{
    for (int id = 0; id < PASS_COUNT; id++) {
        Bench b;
        bench_model(&b, 2);
        b.options.stop_after = id;
        expect_run(&b);
        StrBuf once = {0}, twice = {0};
        graph_print(&once, b.graph);
        const Source source = {"again.ir", sb_text(&once), once.len};
        Graph *again = graph_parse(b.arena, &source, b.diag);
        cr_assert_not_null(again, "after %s", pass_info[id].name);
        graph_print(&twice, again);
        cr_assert_str_eq(sb_text(&once), sb_text(&twice), "after %s", pass_info[id].name);
        sb_free(&once);
        sb_free(&twice);
        bench_close(&b);
    }
}

Test(passes, dumps_and_times_are_named_by_the_pass)
{
    Bench b;
    bench_model(&b, 1);
    b.options.time_passes = true;
    b.options.print_after[PASS_lower_ssd] = true;
    b.options.stop_after = PASS_lower_ssd;
    expect_run(&b);
    const char *text = sb_text(&b.out);
    cr_assert_eq(count_text(text, "time "), 4, "%s", text);
    cr_assert_eq(count_text(text, "; after lower_ssd\ngraph \"test\" lowered {"), 1, "%s", text);
    bench_close(&b);
}

Test(passes, a_pass_that_later_ones_need_cannot_be_left_out)
{
    Bench b;
    bench_model(&b, 1);
    b.options.off[PASS_fuse] = true;
    cr_assert_not(pass_run_pipeline(b.graph, &b.cx, &b.options));
    cr_assert_eq(diag_errors(b.diag), 1);
    bench_close(&b);
}

Test(passes, an_optional_pass_can_be_left_out)
{
    const PassId optional[] = {PASS_fold_params,   PASS_canon,  PASS_choose_form, PASS_quantise,
                               PASS_choose_matmul, PASS_layout, PASS_partition,   PASS_memplan};
    for (size_t i = 0; i < COUNT_OF(optional); i++) {
        Bench b;
        bench_model(&b, 1);
        b.options.off[optional[i]] = true;
        b.options.check_each = true;
        expect_run(&b);
        bench_close(&b);
    }
}

Test(passes, a_planned_graph_goes_through_unchanged)
{
    Bench b;
    bench_model(&b, 2);
    expect_run(&b);
    StrBuf once = {0}, twice = {0};
    graph_print(&once, b.graph);
    expect_run(&b);
    graph_print(&twice, b.graph);
    cr_assert_str_eq(sb_text(&once), sb_text(&twice));
    sb_free(&once);
    sb_free(&twice);
    bench_close(&b);
}

/* ---- choices ---------------------------------------------------------------------------- */

static const Node *
first_of(const Graph *g, Op op)
{
    const Node *n = g->first;
    while (n && n->op != op)
        n = n->next;
    return n;
}

static void
expect_form(const char *attrs, int64_t chunk, const char *form, const char *want_form,
            int64_t want_chunk)
{
    Bench b;
    bench_open(&b);
    put_model(&b.text, 1, attrs);
    parse(&b);
    b.cx.chunk = chunk;
    b.cx.form = form;
    b.options.stop_after = PASS_choose_form;
    expect_run(&b);
    const Node *ssd = first_of(b.graph, OP_ssd);
    cr_assert_str_eq(node_word(ssd, ATTR_form, ""), want_form);
    cr_assert_eq(node_int(ssd, ATTR_chunk, -9), want_chunk);
    bench_close(&b);
}

Test(choose_form, option_wins_over_attribute_and_attribute_over_table)
{
    expect_form("", CHUNK_AUTO, NULL, "recurrent", -9);
    expect_form(", form=auto, chunk=auto", CHUNK_AUTO, "auto", "recurrent", -9);
    expect_form(", chunk=48", CHUNK_AUTO, NULL, "chunked", 48);
    expect_form(", chunk=all", CHUNK_AUTO, NULL, "quadratic", CHUNK_ALL);
    expect_form(", form=recurrent", CHUNK_AUTO, NULL, "recurrent", -9);
    expect_form(", form=recurrent", 16, NULL, "chunked", 16);
    expect_form(", chunk=48", 16, NULL, "chunked", 16);
    expect_form(", chunk=48", CHUNK_AUTO, "chunked", "chunked", 48);
    expect_form(", chunk=48", CHUNK_AUTO, "recurrent", "recurrent", -9);
    expect_form(", form=quadratic", CHUNK_AUTO, "chunked", "chunked", 24);
    expect_form(", chunk=48", CHUNK_ALL, NULL, "quadratic", CHUNK_ALL);
    expect_form("", CHUNK_ALL, "chunked", "quadratic", CHUNK_ALL);
}

Test(choose_form, explains_once_for_equal_layers)
{
    Bench b;
    bench_model(&b, 5);
    expect_run(&b);
    cr_assert_eq(count_text(sb_text(&b.explain), "ssd H=4 P=8 N=12 G=2, dot f32: recurrent"), 1,
                 "%s", sb_text(&b.explain));
    bench_close(&b);
}

/* Text of the expressions that make parameters. */
static void
put_params(StrBuf *sb, const Graph *g)
{
    for (const Node *n = g->first; n; n = n->next)
        if (n->out[0]->is_param) {
            type_print(sb, &n->out[0]->type);
            sb_printf(sb, " %s", op_info[n->op].name);
            attrs_print(sb, &n->attrs);
            sb_puts(sb, "\n");
        }
}

Test(layout, all_entries_pack_a_weight_alike)
{
    StrBuf params[ENTRY_COUNT] = {0};
    for (int entry = 0; entry < ENTRY_COUNT; entry++) {
        Bench b;
        bench_model(&b, 2);
        b.graph->entry = &entry_info[entry];
        expect_run(&b);
        put_params(&params[entry], b.graph);
        bench_close(&b);
    }
    cr_assert_not_null(strstr(sb_text(&params[0]), "pack {panel="));
    for (int entry = 1; entry < ENTRY_COUNT; entry++) {
        cr_expect_str_eq(sb_text(&params[entry]), sb_text(&params[0]));
        sb_free(&params[entry]);
    }
    sb_free(&params[0]);
}

/* Weights of a checkpoint in bf16, as --dtype f32 finds them. */
static void
expect_widened(const char *matmul, Op reader)
{
    Bench b;
    bench_open(&b);
    sb_puts(&b.text, "graph \"t\" model {\nblock 8\nrows 2\ninput ids: i32[T]\ninput pick: i32[R]\n"
                     "weight e: bf16[16,8]\nweight w: bf16[6,8]\n"
                     "h = embed(ids, e)\nx = take(h, pick)\ny = linear(x, w)\noutput y\n}\n");
    parse(&b);
    b.cx.matmul = matmul;
    b.options.stop_after = PASS_layout;
    expect_run(&b);
    const Node *cast = first_of(b.graph, OP_cast);
    cr_assert(cast && cast->in[0]->kind == VALUE_WEIGHT);
    cr_assert_eq(cast->out[0]->type.dtype, DTYPE_f32);
    cr_assert_eq(cast->next->op, reader);
    cr_assert(cast->next->in[0] == cast->out[0] || cast->next->in[1] == cast->out[0]);
    bench_close(&b);
}

Test(layout, a_weight_stored_as_bf16_is_widened_for_an_f32_product)
{
    expect_widened("emitted", OP_pack);
    expect_widened("blas", OP_linear);
}

/* Every machine of the table, every width of a weight: a panel that holds, a tile that fits. */
Test(layout, tiles_fit_in_the_registers)
{
    const int machines[][2] = {
        {64, 32},
        {32, 16},
        {32, 32},
        {16, 32},
        {16, 16}
    };
    const Dtype dtypes[] = {DTYPE_f32, DTYPE_bf16};
    for (size_t i = 0; i < COUNT_OF(machines); i++)
        for (int64_t columns = 1; columns < 300; columns++) {
            const Machine m = {.vector_bytes = machines[i][0], .vector_registers = machines[i][1]};
            const PanelWeight w = {dtypes[columns % 2], 64, columns, 0, false};
            const Panel p = panel_for(&m, &w);
            cr_assert(p.vectors >= 1 && p.rows >= 1);
            cr_assert_leq(p.rows * p.vectors + p.vectors + 1, machines[i][1]);
            cr_assert_eq(panel_rows(&m, &w, p.vectors), p.rows);
        }
}

/* ---- fuse ------------------------------------------------------------------------------- */

static void
expect_kernels(const Graph *g)
{
    bool *done = arena_array(g->arena, (size_t)g->nvalue_ids, sizeof *done);
    bool *closed = arena_array(g->arena, (size_t)g->nkernels, sizeof *closed);
    const Kernel *open = NULL;
    for (const Node *n = g->first; n; n = n->next) {
        const bool view = op_info[n->op].cls == CLASS_VIEW;
        cr_assert_eq(n->kernel == NULL, view, "%s", n->out[0]->name);
        if (n->kernel != open && open)
            closed[open->id] = true;
        open = n->kernel;
        cr_assert(!open || !closed[open->id], "kernel %s is in two pieces", open ? open->name : "");
        for (int i = 0; i < n->nin; i++)
            cr_assert(!n->in[i] || !n->in[i]->def || done[n->in[i]->id], "%s is read too early",
                      n->in[i] ? n->in[i]->name : "");
        for (int i = 0; i < n->nout; i++)
            done[n->out[i]->id] = true;
    }
}

static int
kernels_with_prefix(const Graph *g, const char *name)
{
    int count = 0;
    for (int i = 0; i < g->nkernels; i++)
        count += strcmp(g->kernels[i]->name, name) == 0;
    return count;
}

Test(fuse, a_mamba2_layer_is_seven_kernels)
{
    Bench b;
    bench_model(&b, 3);
    expect_run(&b);
    expect_kernels(b.graph);
    const char *names[] = {"norm", "in_proj", "conv1d", "e", "ssd", "gate_norm", "out_proj"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const int head = strcmp(names[i], "norm") == 0; /* the final norm */
        const char *name = strcmp(names[i], "e") == 0 ? "d" : names[i];
        cr_assert_eq(kernels_with_prefix(b.graph, name), 3 + head, "%s", name);
    }
    cr_assert_eq(kernels_with_prefix(b.graph, "lm_head"), 1);
    cr_assert_eq(kernels_with_prefix(b.graph, "embed"), 1);
    bench_close(&b);
}

/* ---- memplan ---------------------------------------------------------------------------- */

typedef struct {
    const Value *value;
    int64_t from, to; /* bytes */
    int first, last;  /* kernels */
} Life;

static int
reader_of(const Graph *g, const Value *v)
{
    int last = -1;
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->nin; i++) {
            if (n->in[i] != v || n->kernel == v->def->kernel)
                continue;
            int reader = n->kernel ? n->kernel->id : -1;
            for (int o = 0; !n->kernel && o < n->nout; o++) {
                const int through = reader_of(g, n->out[o]);
                reader = through > reader ? through : reader;
            }
            last = reader > last ? reader : last;
        }
    return last;
}

static int
slab_lives(const Graph *g, Life *lives)
{
    int count = 0;
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->nout; i++) {
            const Value *v = n->out[i];
            if (v->place.space != SPACE_SLAB || !n->kernel)
                continue;
            int64_t elements = 0;
            cr_assert(type_count(&v->type, g->block, g->rows, &elements));
            const int64_t bytes = elements * dtype_info[v->type.dtype].bytes;
            lives[count++] =
                (Life){v, v->place.offset, v->place.offset + bytes, n->kernel->id, reader_of(g, v)};
        }
    return count;
}

static void
expect_no_overlap(const Graph *g)
{
    Life *lives = arena_array(g->arena, (size_t)g->nvalue_ids, sizeof *lives);
    const int count = slab_lives(g, lives);
    cr_assert(count > 10);
    for (int i = 0; i < count; i++) {
        cr_assert(lives[i].from >= 0 && lives[i].to <= g->slab_bytes && lives[i].from % 64 == 0);
        for (int k = 0; k < i; k++) {
            const Life *a = &lives[i], *c = &lives[k];
            const bool together = a->first <= c->last && c->first <= a->last;
            const bool overlap = a->from < c->to && c->from < a->to;
            cr_assert_not(together && overlap, "%s and %s", a->value->name, c->value->name);
        }
    }
}

Test(memplan, values_alive_together_never_overlap)
{
    for (int entry = 0; entry < ENTRY_COUNT; entry++) {
        Bench b;
        bench_model(&b, 6);
        b.graph->entry = &entry_info[entry];
        expect_run(&b);
        expect_no_overlap(b.graph);
        bench_close(&b);
    }
}

Test(memplan, the_slab_does_not_grow_with_layers)
{
    int64_t slab[2];
    for (int i = 0; i < 2; i++) {
        Bench b;
        bench_model(&b, i ? 64 : 2);
        expect_run(&b);
        slab[i] = b.graph->slab_bytes;
        cr_assert_eq(b.graph->output_bytes, 4 * 24 * 4); /* rows * vocab */
        bench_close(&b);
    }
    cr_assert_eq(slab[0], slab[1]);
}

Test(memplan, places_of_a_split_lie_in_what_is_split)
{
    Bench b;
    bench_model(&b, 1);
    expect_run(&b);
    const Node *split = first_of(b.graph, OP_split);
    const Place whole = split->in[0]->place;
    cr_assert_eq(whole.space, SPACE_SLAB);
    cr_assert_eq(whole.stride, 116);
    cr_assert_eq(split->out[1]->place.offset, whole.offset + 32 * 4);
    cr_assert_eq(split->out[2]->place.offset, whole.offset + 112 * 4);
    cr_assert_eq(split->out[2]->place.stride, 116);
    bench_close(&b);
}

Test(memplan, a_plan_too_large_for_an_address_is_an_error)
{
    Bench b;
    bench_model(&b, 1);
    b.graph->block = INT64_MAX / 32;
    cr_assert_not(pass_run_pipeline(b.graph, &b.cx, &b.options));
    cr_assert(diag_errors(b.diag) > 0);
    bench_close(&b);
}
