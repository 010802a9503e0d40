/* bench/report.c -- measurements as text for people and as JSON for programs. */
#include <json-c/json.h>

#include "bench/bench.h"

/* ---- text ---------------------------------------------------------------------------------- */

static void
put_rate(StrBuf *out, const char *label, const BenchSample *s, const char *unit)
{
    if (s->median > 0)
        sb_printf(out, "  %-22s %8.1f %-8s best %.1f, spread %.1f %%\n", label, s->median, unit,
                  s->best, 100 * s->spread);
}

void
bench_put_ceilings(StrBuf *out, const BenchProbes *probes, const BenchCeilings *c)
{
    sb_printf(out, "ceilings, %d thread%s:\n", c->threads, c->threads > 1 ? "s" : "");
    put_rate(out, "f32 multiply-add", &c->f32, "GFLOP/s");
    put_rate(out, "bf16 dot", &c->bf16, "GFLOP/s");
    put_rate(out, "int8 dot", &c->i8, "GOP/s");
    put_rate(out, "L1 read", &c->l1, "GB/s");
    put_rate(out, "L2 read", &c->l2, "GB/s");
    put_rate(out, "L3 read", &c->l3, "GB/s");
    put_rate(out, "memory read", &c->read, "GB/s");
    put_rate(out, "memory read + write", &c->update, "GB/s");
    sb_printf(out, "  (memory read: %s)\n", bench_probe_doc(probes, c->read_by));
}

static void
put_item(StrBuf *out, const BenchRun *run, const BenchItem *item)
{
    const bool prefill = item->kind == BENCH_PREFILL;
    sb_printf(out, "%-8s %6lld", prefill ? "prefill" : "decode", (long long)item->tokens);
    sb_printf(out, " %6d %7d %10.1f %6.1f %%", item->batch, run->threads[item->threads],
              bench_tokens_per_s(item), 100 * item->seconds.spread);
    const double gigas = bench_item_work(run, item) / item->seconds.median * 1e-9;
    sb_printf(out, "   %5.1f %% of %.*f %s", 100 * bench_share(run, item), prefill ? 0 : 1,
              gigas / bench_share(run, item), prefill ? "Gop/s" : "GB/s read");
    sb_puts(out, "\n");
}

void
bench_put_text(StrBuf *out, const BenchRun *run)
{
    sb_printf(out, "%s, ssmc %s\n", run->machine->cpu, run->version);
    for (int t = 0; t < run->nthreads; t++)
        bench_put_ceilings(out, run->probes, &run->ceilings[t]);
    sb_printf(out, "%s, %s: %.1f M parameters; a token: %.1f MFLOP in projections, %.1f in SSD; ",
              run->name, format_info[run->format].name, run->parameters * 1e-6,
              run->flops.linear * 1e-6, run->flops.ssd * 1e-6);
    sb_printf(out, "decoded: %.1f MB\n", bench_decode_bytes(run->graph[1], run->program, 1) * 1e-6);
    sb_puts(out,
            "           tokens  batch threads   tokens/s   spread   of the ceiling beside it\n");
    for (int i = 0; i < run->nitems; i++)
        put_item(out, run, &run->items[i]);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

typedef struct json_object Json;

static void
put(Json *object, const char *key, Json *value)
{
    json_object_object_add(object, key, value);
}

/* Six digits: more than is measured. */
static void
put_number(Arena *arena, Json *object, const char *key, double x)
{
    put(object, key, json_object_new_double_s(x, arena_printf(arena, "%.6g", x)));
}

static Json *
peak_json(Arena *arena, const BenchCeilings *c)
{
    Json *peak = json_object_new_object();
    put_number(arena, peak, "f32_gflops", c->f32.best);
    put_number(arena, peak, "bf16_gflops", c->bf16.best);
    put_number(arena, peak, "int8_gops", c->i8.best);
    put_number(arena, peak, "read_gbs", c->read.median);
    put_number(arena, peak, "read_spread", c->read.spread);
    put_number(arena, peak, "read_best_gbs", c->read.best);
    put_number(arena, peak, "update_gbs", c->update.median);
    put_number(arena, peak, "l1_read_gbs", c->l1.median);
    put_number(arena, peak, "l2_read_gbs", c->l2.median);
    put_number(arena, peak, "l3_read_gbs", c->l3.median);
    return peak;
}

/* peak: of the greatest number of threads; peaks: of each. */
static Json *
machine_json(Arena *arena, const BenchRun *run)
{
    Json *machine = json_object_new_object(), *peaks = json_object_new_array();
    int most = 0;
    for (int t = 0; t < run->nthreads; t++) {
        Json *peak = peak_json(arena, &run->ceilings[t]);
        put(peak, "threads", json_object_new_int(run->threads[t]));
        json_object_array_add(peaks, peak);
        most = run->threads[t] > run->threads[most] ? t : most;
    }
    put(machine, "cpu", json_object_new_string(run->machine->cpu));
    put(machine, "threads", json_object_new_int(run->threads[most]));
    put(machine, "peak", peak_json(arena, &run->ceilings[most]));
    put(machine, "peaks", peaks);
    return machine;
}

static Json *
item_json(Arena *arena, const BenchRun *run, const BenchItem *item)
{
    const bool prefill = item->kind == BENCH_PREFILL;
    Json *r = json_object_new_object();
    put(r, "kind", json_object_new_string(prefill ? "prefill" : "decode"));
    put(r, "tokens", json_object_new_int64(item->tokens));
    put(r, "batch", json_object_new_int(item->batch));
    put(r, "threads", json_object_new_int(run->threads[item->threads]));
    put(r, "dtype", json_object_new_string(format_info[run->format].name));
    put_number(arena, r, "tokens_per_s", bench_tokens_per_s(item));
    put_number(arena, r, "spread", item->seconds.spread);
    put_number(arena, r, prefill ? "share_of_peak" : "share_of_bandwidth", bench_share(run, item));
    put_number(arena, r, prefill ? "peak_gops" : "read_gbs",
               prefill ? item->ceiling.best : item->ceiling.median);
    put_number(arena, r, prefill ? "flops" : "bytes", bench_item_work(run, item));
    put_number(arena, r, "seconds", item->seconds.median);
    put_number(arena, r, "best_seconds", item->seconds.best);
    return r;
}

void
bench_put_json(StrBuf *out, const BenchRun *run)
{
    Arena *arena = arena_new();
    Json *root = json_object_new_object(), *results = json_object_new_array();
    for (int i = 0; i < run->nitems; i++)
        json_object_array_add(results, item_json(arena, run, &run->items[i]));
    put(root, "version", json_object_new_string(run->version));
    put(root, "model", json_object_new_string(run->name));
    put_number(arena, root, "parameters", run->parameters);
    put(root, "machine", machine_json(arena, run));
    put(root, "results", results);
    sb_puts(out, json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
                                                          JSON_C_TO_STRING_NOSLASHESCAPE));
    sb_puts(out, "\n");
    json_object_put(root);
    arena_free(arena);
}
