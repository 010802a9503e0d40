/* compiler/kind.c -- MODEL that is no description: what it is, and what to give instead. */
#include <string.h>
#include <sys/stat.h>

#include "compiler/compiler.h"

int
model_is_readable(Arena *arena, const char *path, const Listener *listener)
{
    struct stat st;
    if (rt_hub_name(path))
        return tell_runtime_fault(listener, rt_hub_fault(path));
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && stat(fe_config_path(arena, path), &st) != 0)
        return tell_runtime_fault(
            listener, rt_folder_fault(path, "config.json, so it is no checkpoint directory"));
    const RtKind kind = rt_kind_of(path);
    return kind == RT_KIND_other || kind == RT_KIND_gguf
               ? EXIT_DONE
               : tell_runtime_fault(listener, rt_kind_fault(path, kind));
}
