/* bench/trace.c -- when each thread ran each kernel, as Chrome's trace format has it: an event an
 * object, one lane a thread. */
#include <json-c/json.h>

#include "bench/bench.h"

/* Steps that a call of the item runs on one thread, at most: every pass runs the layers, and the
 * head comes after. */
static int64_t
steps_of(const BenchRun *run, const BenchItem *item)
{
    const bool prefill = item->kind == BENCH_PREFILL;
    const AbiPhase *phase = &run->program->phase[prefill ? ABI_PREFILL : ABI_DECODE];
    const int64_t passes =
        prefill ? (item->tokens + phase->block - 1) / phase->block : item->tokens;
    return passes * (phase->layers.count + phase->head.count);
}

static RtLane *
lanes_new(Arena *arena, int threads, int64_t most)
{
    RtLane *lanes = arena_array(arena, (size_t)threads, sizeof *lanes);
    for (int t = 0; t < threads; t++) {
        lanes[t].events = arena_array(arena, (size_t)most, sizeof *lanes[t].events);
        lanes[t].most = most;
    }
    return lanes;
}

static void
put_string(StrBuf *out, const char *text)
{
    struct json_object *string = json_object_new_string(text);
    sb_puts(out, json_object_to_json_string_ext(string, JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(string);
}

static void
put_lane(StrBuf *out, const BenchRun *run, const char *phase, const RtLane *lane, int thread,
         double start)
{
    for (int64_t i = 0; i < lane->count; i++) {
        const RtEvent *e = &lane->events[i];
        sb_puts(out, ",\n{\"name\":");
        put_string(out, run->program->steps[e->step].name);
        sb_printf(out,
                  ",\"cat\":\"%s\",\"ph\":\"X\",\"ts\":%.3f,\"dur\":%.3f,"
                  "\"pid\":1,\"tid\":%d,\"args\":{\"step\":%d}}",
                  phase, 1e6 * (e->from - start), 1e6 * (e->to - e->from), thread, (int)e->step);
    }
}

static void
put_names(StrBuf *out, int threads)
{
    sb_puts(out, "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":{\"name\":\"ssmc\"}}");
    for (int t = 0; t < threads; t++)
        sb_printf(out,
                  ",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%d,"
                  "\"args\":{\"name\":\"thread %d\"}}",
                  t, t);
}

static ssmc_status
trace_item(StrBuf *out, BenchRun *run, const BenchItem *item, double start)
{
    const bool prefill = item->kind == BENCH_PREFILL;
    const int threads = run->threads[item->threads];
    ssmc_session *session = run->session[item->threads];
    Arena *arena = arena_new();
    RtLane *lanes = lanes_new(arena, threads, steps_of(run, item));
    double seconds = 0;
    rt_session_trace(session, lanes);
    const ssmc_status status = bench_item_once(run, item, &seconds);
    rt_session_trace(session, NULL);
    for (int t = 0; t < threads; t++)
        put_lane(out, run, prefill ? "prefill" : "decode", &lanes[t], t, start);
    arena_free(arena);
    return status;
}

ssmc_status
bench_put_trace(StrBuf *out, BenchRun *run, const BenchItem *const *items, int count)
{
    const double start = rt_now();
    ssmc_status status = SSMC_OK;
    int threads = 1;
    for (int i = 0; i < count; i++)
        threads =
            run->threads[items[i]->threads] > threads ? run->threads[items[i]->threads] : threads;
    sb_puts(out, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    put_names(out, threads);
    for (int i = 0; i < count && status == SSMC_OK; i++)
        status = trace_item(out, run, items[i], start);
    sb_puts(out, "\n]}\n");
    return status;
}
