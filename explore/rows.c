/* explore/rows.c -- rows of a sweep's results, and the machine they are from. */
#include "explore/explore.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const ColumnInfo column_info[COLUMN_COUNT] = {
#define COLUMN(kind, id, doc) [COLUMN_##id] = {#id, COLUMN_##kind, offsetof(ExploreRow, id), doc},
#include "explore/columns.def"
#undef COLUMN
};

static const ColumnId keys[] = {
#define KEY(kind, id, doc) COLUMN_##id,
#define COLUMN(kind, id, doc)
#include "explore/columns.def"
#undef COLUMN
};

const HeadInfo head_info[HEAD_COUNT] = {
#define HEAD(id, same, doc) [HEAD_##id] = {#id, doc, same},
#include "explore/head.def"
#undef HEAD
};

const CeilingInfo ceiling_info[CEILING_COUNT] = {
#define CEILING(name, field, key, label) {name, key, label, offsetof(BenchCeilings, field)}
    CEILING("f32", f32, "f32_gflops", "f32, GFLOP/s"),
    CEILING("bf16", bf16, "bf16_gflops", "bf16, GFLOP/s"),
    CEILING("int8", i8, "int8_gops", "int8, GOP/s"),
    CEILING("matrix_bf16", matrix_bf16, "matrix_bf16_gflops", "matrix unit, bf16, GFLOP/s"),
    CEILING("matrix_int8", matrix_i8, "matrix_int8_gops", "matrix unit, int8, GOP/s"),
    CEILING("read", read, "read_gbs", "memory read, GB/s"),
    CEILING("update", update, "update_gbs", "read + write, GB/s"),
    CEILING("l1", l1, "l1_gbs", "L1, GB/s"),
    CEILING("l2", l2, "l2_gbs", "L2, GB/s"),
    CEILING("l3", l3, "l3_gbs", "L3, GB/s"),
#undef CEILING
};

const BenchSample *
ceiling_of(const BenchCeilings *c, int which)
{
    return (const BenchSample *)(const void *)((const char *)c + ceiling_info[which].offset);
}

const char explore_no_form[] = "none";
const char explore_ok[] = "ok", explore_unbuilt[] = "cannot be built",
           explore_no_room[] = "does not fit", explore_unmeasured[] = "not measured";

/* ---- rows ---------------------------------------------------------------------------------- */

ExploreRow
explore_row(void)
{
    return (ExploreRow){
#define EMPTY_INT             (-1)
#define EMPTY_NUM             NAN
#define EMPTY_TEXT            ""
#define COLUMN(kind, id, doc) .id = EMPTY_##kind,
#include "explore/columns.def"
#undef COLUMN
    };
}

bool
explore_is_ok(const ExploreRow *row)
{
    return strcmp(row->status, explore_ok) == 0;
}

static int
column_order(const ExploreRow *a, const ExploreRow *b, ColumnId id)
{
    const char *x = (const char *)a + column_info[id].offset,
               *y = (const char *)b + column_info[id].offset;
    if (column_info[id].kind == COLUMN_TEXT)
        return strcmp(*(const char *const *)(const void *)x, *(const char *const *)(const void *)y);
    const int64_t i = *(const int64_t *)(const void *)x, k = *(const int64_t *)(const void *)y;
    return (i > k) - (i < k);
}

int
explore_row_order(const void *a, const void *b)
{
    int order = 0;
    for (size_t i = 0; i < COUNT_OF(keys) && order == 0; i++)
        order = column_order(a, b, keys[i]);
    return order;
}

void
explore_add(ExploreTable *t, const ExploreRow *row)
{
    VEC_PUSH(t->arena, t->rows, t->nrows, t->cap, *row);
}

const ExploreRow *
explore_find(const ExploreTable *t, const ExploreRow *key)
{
    for (int i = 0; i < t->nrows; i++)
        if (explore_row_order(&t->rows[i], key) == 0)
            return &t->rows[i];
    return NULL;
}

/* ---- the machine --------------------------------------------------------------------------- */

/* What follows "key" and a colon in a file of such lines; "" where there is none. */
static const char *
file_value(Arena *arena, const char *path, const char *key)
{
    char line[512];
    const char *value = "";
    FILE *f = fopen(path, "r");
    while (f && !value[0] && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, strlen(key)) != 0)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        value = arena_strndup(arena, colon, strcspn(colon, "\n"));
    }
    if (f)
        fclose(f);
    return value;
}

const char *
explore_machine(Arena *arena, const Machine *t)
{
    const char *name = file_value(arena, "/proc/cpuinfo", "model name");
    const long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    const char *device =
        t->gpu.kind == GPU_none ? "" : arena_printf(arena, "%s; ", bench_device_name(arena, t));
    return arena_printf(arena, "%s%s (%s), %d cores, %.0f GiB of memory", device,
                        name[0] ? name : "CPU", t->cpu, rt_cores(),
                        (double)pages * (double)bytes / (1 << 30));
}

/* What a control group leaves, where the process is in one with a limit. */
static int64_t
group_free(void)
{
    long long limit = 0, used = 0;
    FILE *most = fopen("/sys/fs/cgroup/memory.max", "r"),
         *now = fopen("/sys/fs/cgroup/memory.current", "r");
    const bool both =
        most && now && fscanf(most, "%lld", &limit) == 1 && fscanf(now, "%lld", &used) == 1;
    if (most)
        fclose(most);
    if (now)
        fclose(now);
    return both ? limit - used : INT64_MAX;
}

int64_t
explore_memory_free(void)
{
    Arena *arena = arena_new();
    const long long kib = atoll(file_value(arena, "/proc/meminfo", "MemAvailable"));
    const int64_t group = group_free(), machine = kib > 0 ? (int64_t)kib * 1024 : INT64_MAX;
    arena_free(arena);
    return group < machine ? group : machine;
}
