/* bench/report.c -- measurements as text for people and as JSON for programs. */
#include <stdio.h>

#include "bench/bench.h"
#include "bench/json.h"

const char *
bench_device_name(Arena *arena, const Machine *m)
{
    RtGpu gpu;
    if (m->gpu.kind == GPU_none)
        return m->cpu;
    if (m->gpu.model)
        return arena_printf(arena, "the model of a GPU, as %s", m->gpu.name);
    return rt_gpu_look(&gpu) ? arena_printf(arena, "%s, code of %s", gpu.name, m->gpu.name)
                             : m->gpu.name;
}

/* ---- text ---------------------------------------------------------------------------------- */

static void
put_rate(StrBuf *out, const char *label, const BenchSample *s, const char *unit)
{
    if (s->median > 0)
        sb_printf(out, "  %-22s %8.1f %-8s best %.1f, spread %.1f %%\n", label, s->median, unit,
                  s->best, 100 * s->spread);
}

static void
put_matrix(StrBuf *out, const BenchProbes *probes, const char *type, const BenchSample *s,
           const char *unit)
{
    char label[32];
    if (s->median > 0) {
        snprintf(label, sizeof label, "%s %s", bench_probe_matrix(probes), type);
        put_rate(out, label, s, unit);
    }
}

void
bench_put_ceilings(StrBuf *out, const BenchProbes *probes, const BenchCeilings *c)
{
    const char *what = bench_probe_what(probes);
    if (what)
        sb_printf(out, "ceilings of %s:\n", what);
    else
        sb_printf(out, "ceilings, %d thread%s:\n", c->threads, c->threads > 1 ? "s" : "");
    put_rate(out, "f32 multiply-add", &c->f32, "GFLOP/s");
    put_rate(out, "bf16 dot", &c->bf16, "GFLOP/s");
    put_rate(out, "int8 dot", &c->i8, "GOP/s");
    put_matrix(out, probes, "bf16", &c->matrix_bf16, "GFLOP/s");
    put_matrix(out, probes, "int8", &c->matrix_i8, "GOP/s");
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
    const bool prefill = item->entry == ENTRY_prefill;
    sb_printf(out, "%-8s %6lld", entry_info[item->entry].name, (long long)item->tokens);
    sb_printf(out, " %6d %7d %10.1f %6.1f %%", item->batch, run->threads[item->threads],
              bench_tokens_per_s(item), 100 * item->seconds.spread);
    const double gigas = bench_item_work(run, item) / item->seconds.median * 1e-9;
    const char *unit = prefill ? "Gop/s" : "GB/s read";
    sb_printf(out, "   %5.1f %% of %.*f %s\n", 100 * bench_share(run, item), prefill ? 0 : 1,
              gigas / bench_share(run, item), unit);
}

void
bench_put_text(StrBuf *out, const BenchRun *run)
{
    sb_printf(out, "%s, ssmc %s\n", bench_device_name(run->graph[0]->arena, run->machine),
              run->version);
    for (int t = 0; t < run->nthreads; t++)
        bench_put_ceilings(out, run->probes, &run->ceilings[t]);
    enum { FAR = 1000 };
    const double attention = bench_attention_flops(run->graph[ENTRY_prefill], FAR, 1);
    sb_printf(
        out, "%s, %s: %.1f M parameters; a token: %.1f MFLOP in projections, %.1f in recurrences; ",
        run->name, format_info[run->format].name, run->parameters * 1e-6, run->flops.linear * 1e-6,
        run->flops.recurrent * 1e-6);
    if (attention > 0)
        sb_printf(out, "after %d others %.1f in attention; ", FAR, attention * 1e-6);
    sb_printf(out, "decoded: %.1f MB\n",
              bench_decode_bytes(run->graph[ENTRY_decode], run->program, 1, (double)run->past) *
                  1e-6);
    sb_puts(out,
            "           tokens  batch threads   tokens/s   spread   of the ceiling beside it\n");
    for (int i = 0; i < run->nitems; i++)
        put_item(out, run, &run->items[i]);
    sb_puts(out,
            "prefill: to the id after the prompt; decode: greedy, each id that is chosen is fed "
            "next\n");
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static Json *
peak_json(const BenchCeilings *c)
{
    Json *peak = json_object_new_object();
    json_put(peak, "f32_gflops", json_number(c->f32.best));
    json_put(peak, "bf16_gflops", json_number(c->bf16.best));
    json_put(peak, "int8_gops", json_number(c->i8.best));
    json_put(peak, "matrix_bf16_gflops", json_number(c->matrix_bf16.best));
    json_put(peak, "matrix_int8_gops", json_number(c->matrix_i8.best));
    json_put(peak, "read_gbs", json_number(c->read.median));
    json_put(peak, "read_spread", json_number(c->read.spread));
    json_put(peak, "read_best_gbs", json_number(c->read.best));
    json_put(peak, "update_gbs", json_number(c->update.median));
    json_put(peak, "l1_read_gbs", json_number(c->l1.median));
    json_put(peak, "l2_read_gbs", json_number(c->l2.median));
    json_put(peak, "l3_read_gbs", json_number(c->l3.median));
    return peak;
}

/* peak: of the greatest number of threads; peaks: of each. */
static Json *
machine_json(const BenchRun *run)
{
    Json *machine = json_object_new_object(), *peaks = json_object_new_array();
    int most = 0;
    for (int t = 0; t < run->nthreads; t++) {
        Json *peak = peak_json(&run->ceilings[t]);
        json_put(peak, "threads", json_object_new_int(run->threads[t]));
        json_object_array_add(peaks, peak);
        most = run->threads[t] > run->threads[most] ? t : most;
    }
    json_put_text(machine, "cpu", run->machine->cpu);
    if (run->machine->gpu.kind != GPU_none)
        json_put_text(machine, "gpu", run->machine->gpu.name);
    json_put(machine, "threads", json_object_new_int(run->threads[most]));
    json_put(machine, "peak", peak_json(&run->ceilings[most]));
    json_put(machine, "peaks", peaks);
    return machine;
}

static Json *
item_json(const BenchRun *run, const BenchItem *item)
{
    const bool prefill = item->entry == ENTRY_prefill;
    Json *r = json_object_new_object();
    json_put_text(r, "kind", entry_info[item->entry].name);
    json_put(r, "tokens", json_object_new_int64(item->tokens));
    json_put(r, "batch", json_object_new_int(item->batch));
    json_put(r, "threads", json_object_new_int(run->threads[item->threads]));
    json_put_text(r, "dtype", format_info[run->format].name);
    json_put(r, "tokens_per_s", json_number(bench_tokens_per_s(item)));
    json_put(r, "spread", json_number(item->seconds.spread));
    json_put(r, prefill ? "share_of_peak" : "share_of_bandwidth",
             json_number(bench_share(run, item)));
    json_put(r, prefill ? "peak_gops" : "read_gbs",
             json_number(prefill ? item->ceiling.best : item->ceiling.median));
    json_put(r, prefill ? "flops" : "bytes", json_number(bench_item_work(run, item)));
    json_put(r, "seconds", json_number(item->seconds.median));
    json_put(r, "best_seconds", json_number(item->seconds.best));
    return r;
}

void
bench_put_json(StrBuf *out, const BenchRun *run)
{
    Json *root = json_object_new_object(), *results = json_object_new_array();
    for (int i = 0; i < run->nitems; i++)
        json_object_array_add(results, item_json(run, &run->items[i]));
    json_put_text(root, "version", run->version);
    json_put_text(root, "model", run->name);
    json_put(root, "parameters", json_number(run->parameters));
    json_put(root, "machine", machine_json(run));
    json_put(root, "results", results);
    json_write(out, root, true);
    sb_puts(out, "\n");
}
