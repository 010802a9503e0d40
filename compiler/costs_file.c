/* compiler/costs_file.c -- the constants that `ssmc tune` measured, in the user's cache folder.
 *
 * A file is for one CPU and its features, and of one version; it is found by them, so that files of
 * several versions lie side by side, and says them.
 * What is in it may be anything: a file that is not exactly what tune writes is not used. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "compiler/internal.h"

enum { MOST_BYTES = 1 << 16 };

/* ---- where ------------------------------------------------------------------------------- */

/* What code may use of the CPU: in a process that is refused its matrix unit, not that. arena. */
static const char *
features_of(Arena *arena, const Machine *m)
{
    return m->refused ? arena_printf(arena, "%s without %s", m->llvm, m->refused) : m->llvm;
}

/* A relative path is ignored, as the XDG rules want it. */
const char *
cache_path(Arena *arena, const char *name)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const bool by_xdg = xdg && xdg[0] == '/';
    if (!by_xdg && !(home && home[0] == '/'))
        return NULL;
    return arena_printf(arena, "%s%s/ssmc/%s", by_xdg ? xdg : home, by_xdg ? "" : "/.cache", name);
}

const char *
costs_path(Arena *arena, const Machine *m)
{
    const char *features = features_of(arena, m);
    return cache_path(arena, arena_printf(arena, "costs-v%d-%s-%016" PRIx64 ".txt", COST_VERSION,
                                          m->cpu, hash_bytes(features, strlen(features), 0)));
}

/* ---- reading ----------------------------------------------------------------------------- */

static const char *
header_of(Arena *arena, const Machine *m)
{
    return arena_printf(arena, "ssmc costs %d\ncpu %s\nfeatures %s\n", COST_VERSION, m->cpu,
                        features_of(arena, m));
}

static bool
costs_read(Arena *arena, const char *path, const Machine *m, CostTable *out, const char **why)
{
    char *text = NULL;
    size_t len = 0;
    if (!file_read(arena, path, MOST_BYTES, &text, &len, why))
        return false;
    const char *header = header_of(arena, m);
    const size_t head = strlen(header);
    if (strlen(text) == len && strncmp(text, header, head) == 0)
        return costs_parse(arena, text + head, out, why);
    *why =
        arena_printf(arena, "it is no file of constants, version %d, for %s", COST_VERSION, m->cpu);
    return false;
}

void
costs_load(Arena *arena, Machine *m, const Listener *listener)
{
    struct stat st;
    const char *why = NULL, *path = costs_path(arena, m);
    if (!path || stat(path, &st) != 0 || costs_read(arena, path, m, &m->costs, &why))
        return;
    tell_text(listener, TOLD_note, "%s is not used: %s; `ssmc tune` makes it anew", path, why);
}

/* ---- writing ----------------------------------------------------------------------------- */

bool
costs_folder(Arena *arena, const char *path, const char **why)
{
    char *folder = arena_strdup(arena, path);
    for (char *at = strchr(folder + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
            *why = arena_printf(arena, "cannot make the folder %s: %s", folder, strerror(errno));
            return false;
        }
        *at = '/';
    }
    return true;
}

bool
costs_write(Arena *arena, const char *path, const Machine *m, const char **why)
{
    StrBuf text = {0};
    sb_puts(&text, header_of(arena, m));
    costs_print(&text, &m->costs);
    const bool ok =
        costs_folder(arena, path, why) && file_write(arena, path, sb_text(&text), text.len, why);
    sb_free(&text);
    return ok;
}
