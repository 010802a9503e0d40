/* driver/cmd_tune.c -- ssmc tune: measures what this machine's kernels take, so that the compiler
 * chooses forms and chunk lengths by it. */
#include <stdio.h>

#include "bench/tune.h"
#include "driver/driver.h"

/* The user's cache folder is where what was measured goes. False: the fault has been printed. */
static bool
preset_out(Options *o, const Machine *machine)
{
    const char *why = NULL, *path = machine->gpu.kind == GPU_none ? costs_path(o->arena, machine)
                                                                  : tiles_path(o->arena, machine);
    o->value[OPT_out].text = path;
    if (!path)
        fault(EXIT_BAD_INPUT, "neither XDG_CACHE_HOME nor HOME is an absolute path; say with -o "
                              "where the results go");
    else if (costs_folder(o->arena, path, &why))
        return true;
    else
        fault(EXIT_BAD_INPUT, "%s; say with -o where the results go", why);
    return false;
}

/* Prints how well the constants predict what they were fitted to; the medians go into the source of
 * the constants, as a row of costs.def says it. */
static void
put_errors(Tune *t)
{
    StrBuf source = {0};
    double *errors = arena_array(t->arena, (size_t)t->count, sizeof *errors);
    for (int k = 0; k < COST_KINDS; k++) {
        const int n = tune_errors(t, (CostKind)k, errors);
        if (n == 0)
            continue;
        const BenchQuantiles q = bench_quantiles(errors, n);
        printf("%-13s %4d times; predictions miss them by %.1f %% (median), %.1f %% (nine of "
               "ten), %.1f %% (most)\n",
               cost_kind_name((CostKind)k), n, 100 * q.median, 100 * q.ninth, 100 * q.most);
        sb_printf(&source, "%s %s by %.1f %%", k ? "," : " missed", cost_kind_name((CostKind)k),
                  100 * q.median);
    }
    t->machine.costs.source =
        arena_printf(t->arena, "%s, threads %d, by ssmc tune: %d times,%s (median)", t->machine.cpu,
                     t->threads, t->count, sb_text(&source));
    sb_free(&source);
}

/* Every point: what it was, microseconds measured and predicted, and its counts. */
static void
print_points(const Tune *t, StrBuf *out)
{
    sb_puts(out, "form,dot,unit,heads,head_dim,state,groups,chunk,tokens,measured_us,predicted_us");
    for (int k = 0; k < COST_TERMS; k++)
        sb_printf(out, ",%s", cost_term_name((CostTerm)k));
    for (int i = 0; i < t->count; i++) {
        const TunePoint *p = &t->points[i];
        char chunk[24] = "auto";
        if (p->cost.chunk > 0)
            snprintf(chunk, sizeof chunk, "%lld", (long long)p->cost.chunk);
        sb_printf(out, "\n%s,%s,%s,%lld,%lld,%lld,%lld,%s,%lld,%.3f,%.3f", form_name[p->cost.form],
                  p->cost.bf16 ? "bf16" : "f32",
                  p->kind == COST_chunked_matrix ? "matrix" : "vectors", (long long)p->size.heads,
                  (long long)p->size.head_dim, (long long)p->size.state, (long long)p->size.groups,
                  chunk, (long long)p->tokens, 1e6 * p->seconds, 1e6 * tune_predicted(t, p));
        for (int k = 0; k < COST_TERMS; k++)
            sb_printf(out, ",%.9g", p->count[k]);
    }
    sb_puts(out, "\n");
}

static int
write_results(const Options *o, const Tune *t)
{
    const char *why = NULL;
    StrBuf out = {0};
    bool ok = true;
    if (opt_given(o, OPT_points)) {
        print_points(t, &out);
        ok = file_write(o->arena, opt_text(o, OPT_points), sb_text(&out), out.len, &why);
        sb_free(&out);
    }
    if (!ok || !costs_write(o->arena, opt_text(o, OPT_out), &t->machine, &why))
        return fault(EXIT_BAD_INPUT, "%s", why);
    printf("%s\n", opt_text(o, OPT_out));
    return EXIT_DONE;
}

/* ---- a GPU --------------------------------------------------------------------------------- */

static void
put_tiles(const TuneTiles *t)
{
    puts("projections of many rows, least microseconds by tile; *: the fastest");
    for (int i = 0; i < t->count; i++) {
        const TilePoint *p = &t->points[i], *best = p;
        bool before = false;
        for (int j = 0; j < t->count; j++) {
            before = before || (j < i && tile_points_alike(p, &t->points[j]));
            if (tile_points_alike(p, &t->points[j]) && t->points[j].seconds < best->seconds)
                best = &t->points[j];
        }
        if (before)
            continue;
        printf("  %-4s %5lld -> %5lld, %5lld rows:", dtype_info[p->type].name, (long long)p->inputs,
               (long long)p->outputs, (long long)p->rows);
        for (int j = i; j < t->count; j++)
            if (tile_points_alike(p, &t->points[j]))
                printf("  %s %.1f%s", t->points[j].tile->name, 1e6 * t->points[j].seconds,
                       &t->points[j] == best ? "*" : "");
        putchar('\n');
    }
}

static void
put_choices(const TuneTiles *t)
{
    puts("by measurement: the tiles of these products");
    for (int i = 0; i < t->nchosen; i++) {
        const ProductRule *r = &t->chosen[i];
        const ProductChoice rule =
            product_for(&t->machine.gpu, PRODUCT_MANY, r->type, product_rule_inputs(r), r->outputs);
        const Product *small = rule.small ? rule.small : rule.product;
        const bool same = rule.product == r->product && small == r->small;
        printf("  %s, %s%lld outputs and more: %s, of few rows %s (products.def: %s%s%s)\n",
               dtype_info[r->type].name,
               r->inputs ? arena_printf(t->arena, "to %lld inputs, ", (long long)r->inputs) : "",
               (long long)r->outputs, r->product->name, r->small->name,
               same ? "the same" : rule.product->name, same ? "" : ", ", same ? "" : small->name);
    }
    printf("by rule: chunks of SSDs, %lld tokens, and of a pass %lld (gpus.def; --tune exhaustive "
           "measures the chunks of a model); products of few rows and of experts (products.def)\n",
           (long long)t->machine.gpu.chunk, (long long)t->machine.gpu.block);
}

static void
print_tile_points(const TuneTiles *t, StrBuf *out)
{
    sb_puts(out, "type,inputs,outputs,rows,tile,microseconds\n");
    for (int i = 0; i < t->count; i++) {
        const TilePoint *p = &t->points[i];
        sb_printf(out, "%s,%lld,%lld,%lld,%s,%.3f\n", dtype_info[p->type].name,
                  (long long)p->inputs, (long long)p->outputs, (long long)p->rows, p->tile->name,
                  1e6 * p->seconds);
    }
}

static int
write_tiles(const Options *o, TuneTiles *t, const char *on)
{
    const char *why = NULL;
    bool ok = true;
    if (opt_given(o, OPT_points)) {
        StrBuf out = {0};
        print_tile_points(t, &out);
        ok = file_write(o->arena, opt_text(o, OPT_points), sb_text(&out), out.len, &why);
        sb_free(&out);
    }
    t->machine.gpu.measured = t->chosen;
    t->machine.gpu.nmeasured = t->nchosen;
    if (!ok || !tiles_write(o->arena, opt_text(o, OPT_out), &t->machine, on, &why))
        return fault(EXIT_BAD_INPUT, "%s", why);
    printf("%s\n", opt_text(o, OPT_out));
    return EXIT_DONE;
}

static int
tune_gpu(const Options *o, const Machine *machine, const Listener *listener)
{
    TuneTiles t = {
        .arena = o->arena, .listener = listener, .machine = *machine, .rows = tune_tile_rows};
    const char *on = bench_device_name(o->arena, machine);
    if (opt_given(o, OPT_row))
        return option_fault(o, OPT_row, "--row is of the constants of a CPU");
    const int status = tune_tiles(&t, tune_tile_dims, TUNE_TILE_DIMS);
    if (status != EXIT_DONE)
        return status;
    puts(on);
    put_tiles(&t);
    put_choices(&t);
    return write_tiles(o, &t, on);
}

/* ---- the command --------------------------------------------------------------------------- */

/* A model of a GPU has no times of one. */
static bool
tunable(const Options *o, const Machine *machine)
{
    if (!machine->gpu.model)
        return true;
    option_fault(o, OPT_device, "tune measures a GPU that is here: --device cuda");
    return false;
}

int
cmd_tune(Options *o)
{
    Tune t;
    Machine machine;
    int threads = 0;
    const Listener *listener = console(o->arena);
    if (o->model)
        return fault(EXIT_BAD_INPUT, "tune takes no argument, but found '%s'", o->model);
    if (!machine_from(o, &machine) || threads_from(o, &threads) != EXIT_DONE ||
        !tunable(o, &machine) || !output_possible(o, OPT_points) ||
        (!opt_given(o, OPT_out) && !preset_out(o, &machine)) || !output_possible(o, OPT_out))
        return EXIT_BAD_INPUT;
    if (machine.gpu.kind != GPU_none)
        return tune_gpu(o, &machine, listener);
    tune_begin(&t, o->arena, &machine, threads, listener);
    int status = tune_ssd(&t, tune_sizes, tune_size_count);
    if (status == EXIT_DONE)
        status = tune_layers(&t, TUNE_LAYERS);
    tell_progress(listener, "measuring", 0, 0);
    if (status != EXIT_DONE)
        return status;
    printf("%s, %d thread%s\n", t.machine.cpu, t.threads, t.threads > 1 ? "s" : "");
    put_errors(&t);
    if (opt_given(o, OPT_row)) {
        StrBuf row = {0};
        costs_print_row(&row, &t.machine);
        fputs(sb_text(&row), stdout);
        sb_free(&row);
    }
    return write_results(o, &t);
}
