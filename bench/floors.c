/* bench/floors.c -- what a model takes at least on a GPU, from its graphs alone: each kernel's
 * bytes and operations at the rates of the device. */
#include <string.h>

#include "bench/bench.h"

/* Equal kernels of a pass. */
typedef struct {
    const char *name;
    int count;
    double seconds, memory; /* memory: of those that it binds */
} FloorRow;

typedef struct {
    FloorRow *rows; /* arena */
    int count;
    double seconds;
    int launches;
} Floors;

static FloorRow *
row_of(Floors *f, const char *name)
{
    int i = 0;
    while (i < f->count && strcmp(f->rows[i].name, name) != 0)
        i++;
    if (i == f->count)
        f->rows[f->count++] = (FloorRow){.name = name};
    return &f->rows[i];
}

/* One pass over the layers, or the head, adds up. */
static void
add_pass(Floors *f, const Machine *m, const BenchCeilings *c, const Graph *g, bool head,
         int64_t rows, int batch, double past)
{
    for (int i = 0; i < g->nkernels && rows > 0; i++) {
        const Kernel *k = g->kernels[i];
        if (kernel_is_init(g, k) || kernel_is_head(g, k) != head)
            continue;
        const BenchWork work = bench_kernel_work(g, k, rows, batch, past);
        const BenchFloor floor = bench_kernel_floor(m, c, k, &work);
        FloorRow *row = row_of(f, k->name);
        row->count++;
        row->seconds += floor.seconds;
        row->memory += floor.bytes ? floor.seconds : 0;
        f->seconds += floor.seconds;
        f->launches++;
    }
}

static Floors
prefill_floors(Arena *arena, const Machine *m, const BenchCeilings *c, const Graph *g,
               int64_t tokens)
{
    Floors f = {.rows = arena_array(arena, (size_t)g->nkernels + 1, sizeof *f.rows)};
    for (int64_t done = 0; done < tokens; done += g->block) {
        const int64_t left = tokens - done;
        add_pass(&f, m, c, g, false, left < g->block ? left : g->block, 1, (double)done);
    }
    add_pass(&f, m, c, g, true, 1, 1, 0);
    return f;
}

static Floors
decode_floors(Arena *arena, const Machine *m, const BenchCeilings *c, const Graph *g, int batch)
{
    Floors f = {.rows = arena_array(arena, (size_t)g->nkernels + 1, sizeof *f.rows)};
    add_pass(&f, m, c, g, false, batch, batch, 0);
    add_pass(&f, m, c, g, true, batch, batch, 0);
    return f;
}

static void
put_rows(StrBuf *out, const Floors *f)
{
    for (int i = 0; i < f->count; i++) {
        const FloorRow *r = &f->rows[i];
        sb_printf(out, "    %-20s x%-4d %10.2f us %5.1f %%   %s\n", r->name, r->count,
                  1e6 * r->seconds, 100 * r->seconds / f->seconds,
                  2 * r->memory >= r->seconds ? "memory" : "products");
    }
}

void
bench_put_floors(StrBuf *out, const Machine *m, const Graph *const graph[ENTRY_COUNT])
{
    static const int64_t lengths[] = {512, 2048, 8192, 65536};
    static const int batches[] = {1, 16, 128};
    const BenchCeilings c = bench_stated(m);
    Arena *arena = arena_new();
    Floors prefill = {0}, decode = {0};
    sb_printf(out,
              "at least, by bytes and operations at the rates that gpus.def states of %s (%.0f "
              "GFLOP/s f32, %.0f GFLOP/s bf16, %.0f GB/s):\n",
              m->gpu.name, c.f32.best, c.matrix_bf16.best, c.update.best);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        prefill = prefill_floors(arena, m, &c, graph[ENTRY_prefill], lengths[i]);
        sb_printf(out, "  prefill of %6lld tokens %10.4g ms, %.4g tokens/s, %d launches\n",
                  (long long)lengths[i], 1e3 * prefill.seconds,
                  (double)lengths[i] / prefill.seconds, prefill.launches);
    }
    put_rows(out, &prefill);
    for (size_t i = COUNT_OF(batches); i-- > 0;) { /* the table is of one sequence */
        decode = decode_floors(arena, m, &c, graph[ENTRY_decode], batches[i]);
        sb_printf(out, "  decode, batch %5d     %10.4g ms, %.4g tokens/s, %d launches\n",
                  batches[i], 1e3 * decode.seconds, batches[i] / decode.seconds, decode.launches);
    }
    put_rows(out, &decode);
    arena_free(arena);
}
