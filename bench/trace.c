/* bench/trace.c -- when each thread ran each kernel, as Chrome's trace format has it: an event an
 * object, one lane a thread. */
#include <stdio.h>

#include "bench/bench.h"
#include "bench/json.h"

/* Steps that a call of the item runs on one thread, at most: every pass runs the layers, the head
 * comes after, and what chooses candidates of it. */
static int64_t
steps_of(const BenchRun *run, const BenchItem *item)
{
    const bool prefill = item->entry == ENTRY_prefill;
    const AbiEntry *entry = program_entry(run->program, run->graph[item->entry]);
    const int64_t passes =
        prefill ? (item->tokens + entry->block - 1) / entry->block : item->tokens;
    return passes * (entry->layers.count + entry->head.count + entry->choose.count);
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

/* Traces have up to millions of events: each is written as it is made. kind: X an interval, M a
 * name. */
static Json *
event_new(const char *name, const char *kind, int thread)
{
    Json *event = json_object_new_object();
    json_put_text(event, "name", name);
    json_put_text(event, "ph", kind);
    json_put(event, "pid", json_object_new_int(1));
    json_put(event, "tid", json_object_new_int(thread));
    json_put(event, "args", json_object_new_object());
    return event;
}

static Json *
microseconds(double seconds)
{
    char text[40];
    snprintf(text, sizeof text, "%.3f", 1e6 * seconds);
    return json_object_new_double_s(1e6 * seconds, text);
}

static void
put_lane(StrBuf *out, const BenchRun *run, const char *entry, const RtLane *lane, int thread,
         double start)
{
    for (int64_t i = 0; i < lane->count; i++) {
        const RtEvent *e = &lane->events[i];
        Json *event = event_new(run->program->steps[e->step].name, "X", thread);
        json_put_text(event, "cat", entry);
        json_put(event, "ts", microseconds(e->from - start));
        json_put(event, "dur", microseconds(e->to - e->from));
        json_put(json_object_object_get(event, "args"), "step", json_object_new_int((int)e->step));
        sb_puts(out, ",\n");
        json_write(out, event, false);
    }
}

static void
put_names(StrBuf *out, int threads)
{
    for (int t = -1; t < threads; t++) {
        char name[32] = "ssmc";
        Json *event = event_new(t < 0 ? "process_name" : "thread_name", "M", t < 0 ? 0 : t);
        if (t >= 0)
            snprintf(name, sizeof name, "thread %d", t);
        json_put_text(json_object_object_get(event, "args"), "name", name);
        sb_puts(out, t < 0 ? "" : ",\n");
        json_write(out, event, false);
    }
}

static ssmc_status
trace_item(StrBuf *out, BenchRun *run, const BenchItem *item, double start)
{
    const int threads = run->threads[item->threads];
    ssmc_session *session = run->session[item->threads];
    Arena *arena = arena_new();
    RtLane *lanes = lanes_new(arena, threads, steps_of(run, item));
    double seconds = 0;
    rt_session_trace(session, lanes);
    const ssmc_status status = bench_item_once(run, item, &seconds);
    rt_session_trace(session, NULL);
    for (int t = 0; t < threads; t++)
        put_lane(out, run, entry_info[item->entry].name, &lanes[t], t, start);
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
