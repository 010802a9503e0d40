/* driver/model_kind.c -- MODEL that is no description: what it is, and what to give instead. */
#include <string.h>
#include <sys/stat.h>

#include "driver/driver.h"

/* A directory without a config.json. */
static bool
lacks_config(Arena *arena, const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
           stat(arena_printf(arena, "%s/config.json", path), &st) != 0;
}

int
model_is_readable(const Options *o)
{
    const char *path = o->model;
    if (rt_hub_name(path))
        return job_runtime_fault(o, rt_hub_fault(path));
    if (lacks_config(o->arena, path))
        return job_runtime_fault(
            o, rt_folder_fault(path, "config.json, so it is no checkpoint directory"));
    const RtKind kind = rt_kind_of(path);
    return kind == RT_KIND_other ? EXIT_DONE : job_runtime_fault(o, rt_kind_fault(path, kind));
}
