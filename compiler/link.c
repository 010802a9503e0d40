/* compiler/link.c -- objects of a model and the runtime's archives to a library or program.
 *
 * Everything is made in a folder beside the product; the last step is one rename, so that a reader
 * of the product's name finds the old file, the new one, or none, whatever happens on the way. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/product.h"

typedef struct {
    Arena *arena;
    const char **list; /* ends with NULL once a tool runs */
    int count, cap;
} Args;

static void
arg(Args *a, const char *text)
{
    VEC_PUSH(a->arena, a->list, a->count, a->cap, text);
}

/* ---- places -------------------------------------------------------------------------------- */

/* The folder of the command itself; NULL: the system does not say. */
static const char *
own_folder(Arena *arena)
{
    char path[PATH_MAX];
    const ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    if (len > 0)
        path[len] = '\0';
    else if (!realpath((const char *)getauxval(AT_EXECFN), path)) /* /proc is not mounted */
        return NULL;
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    return arena_strdup(arena, path);
}

/* libssmc_<name>.a: beside the command where it was built, below ../lib where it is installed. */
static const char *
archive_find(const Product *p, const char *name)
{
    static const char *const places[] = {"lib/ssmc", "../lib/ssmc"};
    const char *own = own_folder(p->arena);
    for (size_t i = 0; own && i < COUNT_OF(places); i++) {
        const char *path =
            arena_printf(p->arena, "%s/%s/%s/libssmc_%s.a", own, places[i], p->arch, name);
        if (access(path, R_OK) == 0)
            return path;
    }
    tell_fault(
        p->listener, EXIT_FAILED,
        "there is no lib/ssmc/%s/libssmc_%s.a beside the command or in ../lib: the runtime was "
        "not built for %s (its compiler is Debian's gcc-%s-linux-gnu)",
        p->arch, name, p->arch, p->arch);
    return NULL;
}

/* cc, ld, ar: this machine's, or those of a cross compiler. */
static const char *
tool_name(const Product *p, const char *tool)
{
#if defined(__x86_64__)
    static const char here[] = "x86_64";
#else
    static const char here[] = "aarch64";
#endif
    if (strcmp(p->arch, here) == 0)
        return tool;
    return arena_printf(p->arena, "%s-linux-gnu-%s", p->arch,
                        strcmp(tool, "cc") == 0 ? "gcc" : tool);
}

const char *
product_file(const Product *p, const char *name)
{
    return arena_printf(p->arena, "%s/%s", p->dir.name, name);
}

bool
product_begin(Product *p)
{
    struct stat st;
    const bool there = stat(p->out, &st) == 0;
    if (there && !S_ISREG(st.st_mode)) {
        tell_fault(p->listener, EXIT_BAD_INPUT, "cannot write %s: it is not a regular file",
                   p->out);
        return false;
    }
    if (there) { /* through a symbolic link the file it names is replaced, not the link */
        char *real = realpath(p->out, NULL);
        p->out = real ? arena_strdup(p->arena, real) : p->out;
        free(real);
    }
    if (rt_temporary_open(p->out, true, &p->dir))
        return true;
    tell_fault(p->listener, EXIT_BAD_INPUT, "cannot write %s: %s", p->out, strerror(errno));
    return false;
}

void
product_end(Product *p)
{
    rt_temporary_close(&p->dir);
}

/* ---- shared libraries and programs --------------------------------------------------------- */

static const struct {
    const char *name;
    bool compiled;
} exported[] = {
#define EXPORT_compiled            true
#define EXPORT_runtime             false
#define EXPORT(name, where, since) {#name, EXPORT_##where},
#include "runtime/exports.def"
#undef EXPORT
#undef EXPORT_compiled
#undef EXPORT_runtime
};

/* The symbol that `ssmc run MODEL.so` looks up, beside the model's own. */
static const char *
version_script(const Product *p)
{
    StrBuf text = {0};
    const char *path = product_file(p, "exports.map"), *why = NULL;
    sb_printf(&text, "SSMC_%d {\n  global:\n    %s_compiled;\n    %s;\n", ABI_VERSION, p->symbol,
              ABI_COMPILED_SYMBOL);
    for (size_t i = 0; i < COUNT_OF(exported); i++)
        if (exported[i].compiled)
            sb_printf(&text, "    %s;\n", exported[i].name);
    sb_puts(&text, "  local: *;\n};\n");
    const bool ok = file_write(p->arena, path, sb_text(&text), text.len, &why);
    sb_free(&text);
    if (!ok)
        tell_fault(p->listener, EXIT_FAILED, "%s", why);
    return ok ? path : NULL;
}

static void
put_objects(Args *a, const Product *p)
{
    for (int i = 0; i < p->nobjects; i++)
        arg(a, p->objects[i]);
}

/* Static archives of Debian's -dev packages: a product asks for no library but libc and libm, and
 * opens OpenBLAS itself where a projection chose it. */
static void
put_libraries(Args *a, const Product *p)
{
    const bool tokenizer = p->kind == PRODUCT_exe;
    if (p->files || tokenizer)
        arg(a, "-l:libjson-c.a");
    if (tokenizer) {
        arg(a, "-l:libpcre2-8.a");
        arg(a, "-l:libutf8proc.a");
    }
    arg(a, "-lm");
    arg(a, "-lpthread");
}

static bool
put_shared(Args *a, const Product *p)
{
    const char *script = version_script(p), *slash = strrchr(p->out, '/');
    if (!script)
        return false;
    arg(a, "-shared");
    arg(a, arena_printf(p->arena, "-Wl,-soname,%s", slash ? slash + 1 : p->out));
    arg(a, arena_printf(p->arena, "-Wl,--version-script=%s", script));
    arg(a, arena_printf(p->arena, "-Wl,--defsym=%s=%s_data", ABI_COMPILED_SYMBOL, p->symbol));
    for (size_t i = 0; i < COUNT_OF(exported); i++)
        if (exported[i].compiled)
            arg(a, arena_printf(p->arena, "-Wl,-u,%s", exported[i].name));
    return true;
}

static int
link_whole(const Product *p, const char *result)
{
    Args a = {.arena = p->arena};
    const char *runtime = archive_find(p, "runtime");
    const char *exe = p->kind == PRODUCT_exe && runtime ? archive_find(p, "exe") : NULL;
    if (!runtime || (p->kind == PRODUCT_exe && !exe))
        return EXIT_FAILED;
    arg(&a, tool_name(p, "cc"));
    arg(&a, "-o");
    arg(&a, result);
    if (p->kind == PRODUCT_so && !put_shared(&a, p))
        return EXIT_FAILED;
    arg(&a, "-Wl,--gc-sections");
    arg(&a, "-Wl,-z,relro,-z,now,-z,noexecstack");
    arg(&a, "-Wl,--as-needed");
    arg(&a, "-s");
    if (exe)
        arg(&a, exe); /* first: its main asks for the rest */
    put_objects(&a, p);
    if (exe)
        arg(&a, exe);
    arg(&a, runtime);
    put_libraries(&a, p);
    arg(&a, NULL);
    return tool_run(p, a.list);
}

/* ---- static libraries and objects ---------------------------------------------------------- */

/* Members of an archive as files of a folder of their own, appended to a. */
static int
unpack(Args *a, const Product *p, const char *archive, const char *name)
{
    const char *dir = product_file(p, name);
    const char *const argv[] = {tool_name(p, "ar"), "x", "--output", dir, archive, NULL};
    const int before = a->count;
    if (mkdir(dir, 0777) != 0)
        return tell_fault(p->listener, EXIT_FAILED, "cannot make %s: %s", dir, strerror(errno));
    const int status = tool_run(p, argv);
    if (status != EXIT_DONE)
        return status;
    DIR *entries = opendir(dir);
    errno = entries ? 0 : errno;
    for (const struct dirent *e; entries && (e = readdir(entries)) != NULL;)
        if (e->d_name[0] != '.')
            arg(a, arena_printf(a->arena, "%s/%s", dir, e->d_name));
    const int reason = errno;
    if (entries)
        closedir(entries);
    if (reason)
        return tell_fault(p->listener, EXIT_FAILED, "cannot read %s: %s", dir, strerror(reason));
    return a->count > before ? EXIT_DONE
                             : tell_fault(p->listener, EXIT_FAILED, "there is nothing in %s", dir);
}

/* The members of the runtime come along, so that one -l is enough; a linker takes from an archive
 * what it lacks, so two such libraries in one program share theirs. */
static int
archive_whole(const Product *p, const char *result)
{
    Args a = {.arena = p->arena};
    const char *runtime = archive_find(p, "runtime");
    if (!runtime)
        return EXIT_FAILED;
    arg(&a, tool_name(p, "ar"));
    arg(&a, "qcsD");
    arg(&a, result);
    put_objects(&a, p);
    const int status = unpack(&a, p, runtime, "runtime");
    if (status != EXIT_DONE)
        return status;
    arg(&a, NULL);
    return tool_run(p, a.list);
}

static int
object_whole(const Product *p, const char *result)
{
    if (p->nobjects == 1)
        return rename(p->objects[0], result) == 0
                   ? EXIT_DONE
                   : tell_fault(p->listener, EXIT_FAILED, "cannot write %s: %s", result,
                                strerror(errno));
    Args a = {.arena = p->arena};
    arg(&a, tool_name(p, "ld"));
    arg(&a, "-r");
    arg(&a, "-o");
    arg(&a, result);
    put_objects(&a, p);
    arg(&a, NULL);
    return tool_run(p, a.list);
}

/* ---- the last step ------------------------------------------------------------------------- */

/* On disk before it has its name, so that the name never stands for a part of it. */
static int
commit(const Product *p, const char *result)
{
    const int fd = open(result, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    ok = ok && rename(result, p->out) == 0;
    const int reason = errno;
    if (fd >= 0)
        close(fd);
    return ok ? EXIT_DONE
              : tell_fault(p->listener, EXIT_BAD_INPUT, "cannot write %s: %s", p->out,
                           strerror(reason));
}

int
product_link(const Product *p)
{
    const char *result = product_file(p, "product");
    int status = EXIT_FAILED;
    switch (p->kind) {
    case PRODUCT_obj:
        status = object_whole(p, result);
        break;
    case PRODUCT_lib:
        status = archive_whole(p, result);
        break;
    case PRODUCT_so:
    case PRODUCT_exe:
        status = link_whole(p, result);
        break;
    }
    return status == EXIT_DONE ? commit(p, result) : status;
}
